"""One analysed run: its ranks, operations, steps and collectives, and the ledger over them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.metrics.ledger import build_ledger
from nsysan.model import classes
from nsysan.model.classes import load_catalogue
from nsysan.model.matching import match_collectives
from nsysan.model.operations import load_operations
from nsysan.model.payloads import with_payloads
from nsysan.model.ranks import Rank, identify_ranks
from nsysan.model.steps import Steps, find_steps
from nsysan.trace.export import Trace

_KEY = ["process", "device"]


@dataclass(frozen=True)
class Run:
    """The model of one trace.

    ranks: in rank order. bystanders: (process, device) with GPU work but without a step.
    work: all GPU operations of the ranks: the columns of operations.load_operations, and rank, step (null
      outside steps), last (last arrival at a matched collective).
    windows: step, rank, begin, finish, label, excluded (see steps.Steps).
    collectives: calls inside steps with message_bytes, communicator, and the columns of match_collectives.
    """

    trace: Trace
    ranks: list[Rank]
    bystanders: list[tuple[int, int]]
    steps: Steps
    work: pl.DataFrame
    windows: pl.DataFrame
    collectives: pl.DataFrame

    @property
    def kernels(self) -> pl.DataFrame:
        """Every kernel of the ranks, one row each (see `work`)."""
        return self.work.filter(pl.col("type") == "kernel")

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """The ledger per step and rank (see metrics.ledger.build_ledger)."""
        return build_ledger(self.work, self.windows)

    @property
    def steady_steps(self) -> list[int]:
        """Numbers of the steps that the headline figures describe, ascending."""
        return self.windows.filter(pl.col("excluded").is_null())["step"].unique().sort().to_list()


def analyze(trace: Trace, steps: str | None = None, *, use_nvtx: bool = True) -> Run:
    """Build the model of a trace; NsysanError where it holds no GPU work or `steps` matches nothing.

    steps: regular expression for the NVTX ranges that mark steps. use_nvtx=False: find steps without ranges.
    """
    work = load_operations(trace, load_catalogue())
    if not (work["type"].is_in(["kernel", "graph"])).any():
        raise NsysanError(_nothing(trace), ExitCode.NOTHING_TO_ANALYSE)
    keys = work.select(_KEY).unique().sort(_KEY).with_row_index("rank_key").cast({"rank_key": pl.Int64})
    work = work.join(keys, on=_KEY, how="left", maintain_order="left")
    found = find_steps(trace, work, steps, use_nvtx=use_nvtx)
    stepped = keys.join(found.windows.select("rank_key").unique(), on="rank_key", how="semi").sort("rank_key")
    ranks = identify_ranks(trace, list(stepped.select(_KEY).iter_rows()))
    numbers = pl.DataFrame(
        {"process": [r.process for r in ranks], "device": [r.device for r in ranks], "rank": [r.rank for r in ranks]},
        schema={"process": pl.Int64, "device": pl.Int64, "rank": pl.Int64},
    ).join(keys, on=_KEY)
    bystanders = list(keys.join(stepped, on="rank_key", how="anti").select(_KEY).iter_rows())
    rank_of = numbers.select("rank_key", "rank")
    work = work.join(rank_of, on="rank_key", how="inner", maintain_order="left")
    work = work.join(found.membership, on="row", how="left", maintain_order="left").drop("rank_key")
    windows = found.windows.join(rank_of, on="rank_key").drop("rank_key").sort("step", "rank")
    communication = work.filter(pl.col("cls").is_in(list(classes.COMMUNICATION)) & pl.col("step").is_not_null())
    collectives = match_collectives(with_payloads(communication, trace), len(ranks)).sort("rank", "begin")
    work = work.join(collectives.select("row", "last"), on="row", how="left", maintain_order="left")
    return Run(trace, ranks, bystanders, found, work, windows, collectives)


def _nothing(trace: Trace) -> str:
    why = "; ".join(
        sorted({d.text for d in trace.diagnostics if d.severity >= 2 and ("CUDA" in d.text or "Protected" in d.text)})
    )
    said = f" (the profiler said: {why})" if why else ""
    return (
        f"{trace.path}: no CUDA kernel and no graph replay in it{said}; capture with "
        f"`nsys profile --trace=cuda,nvtx --trace-fork-before-exec=true --cuda-graph-trace=node`"
    )
