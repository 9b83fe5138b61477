"""What is counted of all operations of a run: by step and rank, of launches, of names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from nsysan.columns.grouped import summed
from nsysan.model.classes import WorkClass
from nsysan.trace.vocabulary import UNNAMED

#: Kernels launched one by one from this share on: a step that is half in graphs is not eager.
EAGER_SHARE = 0.5


@dataclass(frozen=True)
class Tally:
    """Counts of operations.

    operations: all; launched: those whose launch call is recorded; named: those whose call has a name; untold: those
    whose call should be recorded and is not (a replay traced as one block has none). kernels, unnamed: kernels, and
    those without a name.
    kernel_ns: ns of all kernels. lookalikes: name, calls, ns of kernels that are named like a collective but are not in
    the catalogue. by_step: step, rank, operations, kernels, alone (kernels that no graph replayed), replays (CUDA
    graph launches), compute (operations), trimmed (operations) and trimmed_ns, a row for each step and rank.
    """

    operations: int
    launched: int
    named: int
    untold: int
    kernels: int
    unnamed: int
    kernel_ns: int
    lookalikes: pl.DataFrame
    by_step: pl.DataFrame

    def __add__(self, other: Tally) -> Tally:
        both = self.lookalikes
        if not other.lookalikes.is_empty():
            both = pl.concat([both, other.lookalikes]).group_by("name").agg(pl.sum("calls", "ns"))
        return Tally(
            self.operations + other.operations,
            self.launched + other.launched,
            self.named + other.named,
            self.untold + other.untold,
            self.kernels + other.kernels,
            self.unnamed + other.unnamed,
            self.kernel_ns + other.kernel_ns,
            both,
            pl.concat([self.by_step, other.by_step]),
        )


#: Columns of the operations that are counted.
TALLIED = (
    "rank",
    "step",
    "type",
    "cls",
    "name",
    "lookalike",
    "start",
    "end",
    "graph_node",
    "correlation",
    "trimmed",
    "launch_start",
    "launch",
)


def tally(work: pl.DataFrame) -> Tally:
    """The counts of some ranks' operations, with the columns TALLIED."""
    kernel = pl.col("type") == "kernel"
    launched = pl.col("launch_start").is_not_null()
    counts = work.select(
        launched.sum().alias("launched"),
        named=pl.col("launch").count(),
        untold=((pl.col("type") != "graph") & ~launched).sum(),
        kernels=kernel.sum(),
        unnamed=(kernel & (pl.col("name") == UNNAMED)).sum(),
        kernel_ns=(pl.col("end") - pl.col("start")).filter(kernel).sum(),
    ).row(0, named=True)
    return Tally(operations=len(work), **counts, lookalikes=lookalike_sums(work), by_step=_by_step(work))


def launched_one_by_one(by_step: pl.DataFrame, steps: list[int]) -> bool:
    """Whether kernels of these steps are launched one by one, and not in graphs; by_step: as Tally has it."""
    alone, kernels = by_step.filter(pl.col("step").is_in(steps)).select(pl.sum("alone", "kernels")).row(0)
    return bool(kernels) and alone >= EAGER_SHARE * kernels


def lookalike_sums(work: pl.DataFrame) -> pl.DataFrame:
    """name, calls, ns of the kernels that are named like a collective but are not in the catalogue."""
    unknown = work.select("lookalike", "name", "start", "end")
    unknown = unknown.filter("lookalike") if unknown["lookalike"].any() else unknown.clear()
    unknown = unknown.select(pl.col("name").cast(pl.String), ns=pl.col("end") - pl.col("start"))
    return unknown.group_by("name").agg(pl.len().cast(pl.Int64).alias("calls"), pl.sum("ns"))


def _by_step(work: pl.DataFrame) -> pl.DataFrame:
    kernel, replay = ((work["type"] == kind).to_numpy() for kind in ("kernel", "graph"))
    in_graph = work["graph_node"].is_not_null().to_numpy()
    trimmed = np.maximum(work["trimmed"].to_numpy(), 0)
    steps = summed(
        work.select("step", "rank"),
        {
            "operations": np.ones(len(work), dtype=np.bool_),
            "kernels": kernel,
            "alone": kernel & ~in_graph,
            "compute": (work["cls"] == WorkClass.COMPUTE.value).to_numpy(),
            "trimmed": trimmed > 0,
            "trimmed_ns": trimmed,
        },
    ).drop_nulls("step")
    counts = ["operations", "kernels", "alone", "replays", "compute", "trimmed", "trimmed_ns"]
    replayed = work.select("step", "rank", "correlation").filter(replay | in_graph).drop_nulls("step")
    if replayed.is_empty():
        return steps.select("step", "rank", *counts[:3], pl.lit(0, dtype=pl.Int64).alias("replays"), *counts[4:]).sort(
            "step", "rank"
        )
    replays = replayed.group_by("step", "rank").agg(replays=pl.n_unique("correlation").cast(pl.Int64))
    return (
        steps.join(replays, on=["step", "rank"], how="left")
        .with_columns(pl.col("replays").fill_null(0))
        .select("step", "rank", *counts)
        .sort("step", "rank")
    )
