"""Hosts that keep step with each other though none of them is seen to wait (METRICS section 7)."""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.replay.alongside import works_alone
from nsysan.replay.shape import Delays, Graph, Levels

#: Hosts that wait for a larger share of their time are seen to.
SEEN = 0.1
#: Steps of hosts that do not run ahead are as long as each other's, but for so much.
_ALIKE = 0.05
#: So much of a step must be waiting before any is looked for.
_LEAST = 0.03
#: What starts within so many ns of when it could starts at once; so much of the work has to.
_AT_ONCE, _MOSTLY = 100, 0.5


def seen_waiting(graph: Graph, delays: Delays) -> dict[int, float]:
    """rank: the share of its hosts' time in calls beyond what these take themselves."""
    first = graph.first_operation
    taken = (graph.time[1:first:2] - graph.time[0:first:2]) - delays.lane[1:first:2]
    calls = graph.calls.select("stretch", "rank", "thread", "start", "end", waited=pl.Series(taken))
    return dict(waiting(busiest(calls)).sort("rank").iter_rows())


def waiting(threads: pl.DataFrame) -> pl.DataFrame:
    """rank, share: of the time of each rank's threads what they wait; threads: as busiest has them."""
    return threads.group_by("rank").agg(share=pl.sum("waited") / pl.sum("lasted"))


def busiest(calls: pl.DataFrame) -> pl.DataFrame:
    """stretch, rank, thread, waited, lasted, calls of the thread of each rank that does most.

    calls: stretch, rank, thread, start, end, waited (ns).
    """
    lanes = calls.group_by("stretch", "rank", "thread").agg(
        pl.sum("waited"), lasted=pl.max("end") - pl.min("start"), calls=pl.len()
    )
    return lanes.sort("calls", descending=True).unique(["stretch", "rank"], keep="first", maintain_order=True)


def launching(hosts: pl.DataFrame) -> pl.DataFrame:
    """The calls of the thread of each rank that launches most, in their order; with paused, when what is before each in
    its thread was over.
    """
    of_rank, lane = ("stretch", "rank"), ("stretch", "thread")
    most = hosts.select(*of_rank, "thread", "waits").filter(~pl.col("waits")).group_by(*of_rank, "thread").len()
    most = most.sort("len", descending=True).unique(list(of_rank), keep="first", maintain_order=True)
    calls = hosts.with_columns(paused=pl.col("end").cum_max().shift(1).over(lane))
    return calls.join(most, on=[*of_rank, "thread"], how="semi", maintain_order="left")


def waits_unseen(graph: Graph, delays: Delays, levels: Levels) -> bool:
    """Whether hosts must wait for each other where no call shows it.

    A host that is done before another is seen to wait for it: for a collective, by a call that waits for the GPU, or it
    runs ahead. Where none does, and each is slow at other places than the rest, so that all have as much to do, some of
    that is waiting for the others, and which is not told.
    """
    shares = seen_waiting(graph, delays)
    seen = max(shares.values(), default=1.0)
    alike = len(shares) > 1 and seen < SEEN and in_step(graph)
    unlike = alike and _beyond(graph, delays, levels) > max(seen, _LEAST)
    return unlike and not works_alone(graph, delays, levels)


def _beyond(graph: Graph, delays: Delays, levels: Levels) -> float:
    """The share of a step by which the levels of a stage's hosts sum to less than its lower median host has to do."""
    first = graph.first_operation
    own, right = (lane[0:first:2] + lane[1:first:2] for lane in (delays.lane, levels.lane))
    steps = graph.calls.select("stretch", "rank", "step", own=pl.Series(own), right=pl.Series(right))
    steps = steps.drop_nulls("step").group_by("rank", "stretch", "step").agg(pl.sum("own", "right"))
    usual = dict(steps.group_by("rank").agg(share=pl.struct(pl.median("own", "right"))).iter_rows())
    found = 0.0
    for stage in graph.stages:
        told = [usual[rank] for rank in stage if rank in usual]
        if len(told) > 1:
            total = sorted(one["own"] for one in told)[(len(told) - 1) // 2]
            level = sorted(one["right"] for one in told)[(len(told) - 1) // 2]
            found = max(found, (total - level) / total if total else 0.0)
    return found


def in_step(graph: Graph) -> bool:
    """Whether the hosts of all ranks take the same time for a step."""
    lane = ("stretch", "rank")
    begun = (
        graph.calls.select(*lane, "step", "start")
        .drop_nulls("step")
        .group_by(*lane, "step")
        .agg(pl.min("start"))
        .sort(*lane, "step")
    )
    taken = begun.with_columns(ns=(pl.col("start").shift(-1) - pl.col("start")).over(lane))
    usual = taken.group_by("rank").agg(pl.median("ns"))["ns"].drop_nulls()
    return len(usual) == len(graph.ranks) and float(usual.max()) <= (1 + _ALIKE) * float(usual.min())  # type: ignore[arg-type]


def in_place(levels: Levels, graph: Graph, delays: Delays) -> Levels:
    """The levels, with what the hosts do as it is."""
    lane = levels.lane.copy()
    lane[: graph.first_operation] = delays.lane[: graph.first_operation]
    cross = np.where(levels.owner < graph.first_operation, delays.cross, levels.cross)
    return Levels(lane, cross, levels.owner)


def waits_for_work(graph: Graph) -> bool:
    """Whether hosts launch work when the work before it ends, though no call waits for that.

    Where the host is behind, the GPU idles for as long as this takes; where it is ahead, work is queued for as long as
    the GPU takes. That most work starts at once both after its launch and after what is before it is no chance.
    """
    lane = ("stretch", "rank", "context", "stream")
    work = graph.operations.select(
        "rank",
        "graph_node",
        "type",
        gap=(pl.col("begin") - pl.col("end").shift(1)).over(lane),
        after=pl.col("begin") - pl.col("launch_start"),
    )
    work = work.filter(pl.col("graph_node").is_null(), pl.col("type") == "kernel").drop_nulls(["gap", "after"])
    if len(work) < len(graph.operations) / 2:
        return False
    at_once = (pl.col("gap") - pl.col("gap").min()).abs() <= _AT_ONCE
    as_usual = (pl.col("after") - pl.col("after").median()).abs() <= _AT_ONCE
    return bool(work.select((at_once & as_usual).over("rank").mean() > _MOSTLY).item())
