"""Hosts that keep step with each other though none of them is seen to wait (METRICS section 7)."""

from __future__ import annotations

import polars as pl

from nsysan.replay.delays import Delays
from nsysan.replay.graph import Graph
from nsysan.replay.levels import Levels

#: Hosts of which each is seen to wait for less than this share of its time.
_SEEN = 0.03


def seen_waiting(graph: Graph, delays: Delays) -> dict[int, float]:
    """rank: the share of its hosts' time in calls beyond what these take themselves."""
    first = graph.first_operation
    taken = (graph.time[1:first:2] - graph.time[0:first:2]) - delays.lane[1:first:2]
    calls = graph.calls.select("stretch", "rank", "thread", "start", "end", waited=pl.Series(taken))
    lanes = calls.group_by("stretch", "rank", "thread").agg(
        pl.sum("waited"), lasted=pl.max("end") - pl.min("start"), calls=pl.len()
    )
    # Of several threads the one that does most.
    busiest = lanes.sort("calls", descending=True).unique(["stretch", "rank"], keep="first", maintain_order=True)
    shares = busiest.group_by("rank").agg(share=pl.sum("waited") / pl.sum("lasted"))
    return dict(shares.sort("rank").iter_rows())


def waits_unseen(graph: Graph, delays: Delays) -> bool:
    """Whether hosts must wait for each other where no call shows it.

    A host that is done before another is seen to wait for it: for a collective, by a call that waits for the GPU, or it
    runs ahead. Where none does, some segment of each but the slowest is waiting, and which is not told.
    """
    shares = seen_waiting(graph, delays)
    return len(shares) > 1 and max(shares.values()) < _SEEN and _in_step(graph)


def _in_step(graph: Graph) -> bool:
    """Whether the hosts of all ranks take the same time from their first step to their last."""
    begun = (
        graph.calls.drop_nulls("step")
        .group_by("stretch", "rank", "step")
        .agg(pl.min("start"))
        .group_by("stretch", "rank")
        .agg(lasted=pl.max("start") - pl.min("start"))
    )
    of_rank = begun.group_by("rank").agg(pl.sum("lasted"))["lasted"]
    least, most = int(of_rank.min() or 0), int(of_rank.max() or 0)  # type: ignore[arg-type]
    return most - least < _SEEN * most


def in_place(levels: Levels, graph: Graph, delays: Delays) -> Levels:
    """The levels, with what the hosts do as it is."""
    lane = levels.lane.copy()
    lane[: graph.first_operation] = delays.lane[: graph.first_operation]
    return Levels(lane, levels.gone)
