"""Which CUDA graphs each step replays, and how much it computes outside of them (DEFINITIONS.md, section 4)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from nsysan.columns.threads import each_of
from nsysan.model.operations import Operations, is_communication
from nsysan.model.steps.replayed_kinds import GRAPHS
from nsysan.model.steps.step_windows import StepWindows

_OF_STEPS = ("correlation", "graph", "graph_node", "type", "cls", "start", "end")


def with_graphs(work: Operations, found: StepWindows) -> StepWindows:
    """The windows with graphs: how many the step replays; graph: a number for which; eager_ns: compute outside of them.

    As they are where ranges tell what the steps do, or nothing was replayed.
    """
    windows = found.windows
    told = "kind" in windows.columns and windows["kind"].is_not_null().any()
    if told or not ("graph_node" in work.stored or (work.descriptions["type"] == "graph").any()):
        return found
    parts = [part for part in each_of(lambda key: _of_owner(work, found, key), work.keys, len(work)) if len(part)]
    if not parts:
        return found
    added = windows.with_row_index("member").with_columns(pl.col("member").cast(pl.Int64))
    added = added.join(pl.concat(parts), on="member", how="left", maintain_order="left").drop("member")
    return replace(found, windows=added)


def _of_owner(work: Operations, found: StepWindows, key: int) -> pl.DataFrame:
    """member and the columns of GRAPHS of the windows of one owner that hold operations."""
    member = pl.Series("member", found.member[slice(*work.rows(key))].astype(np.int64))
    own = work.frame(_OF_STEPS, key).with_columns(member)
    replayed = pl.col("graph_node").is_not_null() | (pl.col("type") == "graph")
    graph = pl.coalesce("graph", pl.col("graph_node") // (1 << 32)).alias("graph")
    # A replay is of the step in which it begins, also where its last nodes run beside the next.
    replays = own.filter(replayed).group_by("correlation").agg(pl.first("member"), graph.first())
    of_steps = replays.group_by("member").agg(graphs=pl.n_unique("graph"), graph=pl.col("graph").unique().hash().sum())
    compute = own.filter(~replayed & ~is_communication() & (pl.col("type") != "memset"))
    eager = compute.group_by("member").agg(eager_ns=(pl.col("end") - pl.col("start")).sum())
    both = of_steps.join(eager, on="member", how="full", coalesce=True).filter(pl.col("member") >= 0)
    return both.select("member", *(pl.col(name).cast(kind) for name, kind in GRAPHS.items()))
