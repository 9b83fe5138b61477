"""What an operation or a host's segment takes at its place on the other ranks (METRICS section 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.replay.delays import Delays
from nsysan.replay.engine import I64
from nsysan.replay.graph import Graph, Link

_PLACE = ("stretch", "step", "place")


@dataclass(frozen=True)
class Levels:
    """lane: the delay of each node in its lane, where it takes no more than its place does elsewhere; ns.

    gone: whether an edge is the launch of work that most ranks do not have.
    """

    lane: I64
    gone: npt.NDArray[np.bool_]


def levels_of(graph: Graph, delays: Delays) -> Levels:
    """The levels of a graph: the lower median over the ranks that have the place, 0 where fewer than half have it."""
    half = len(graph.ranks) / 2
    lane = delays.lane.copy()
    first, end = graph.first_operation, graph.first_arrival
    work = graph.operations.select(*_PLACE, ns=pl.Series(delays.lane[first + 1 : end : 2]))
    level, extra = _level(work, half)
    lane[first + 1 : end : 2] = np.minimum(lane[first + 1 : end : 2], level)
    # What waits in a matched call is no work.
    met = graph.edges.target[graph.link == Link.WIRE]
    lane[met] = delays.lane[met]
    lane[first:end:2] = np.where(extra, 0, lane[first:end:2])
    for offset in (0, 1):
        calls = graph.calls.select(*_PLACE, ns=pl.Series(delays.lane[offset:first:2]))
        level, missing = _level(calls, half)
        lane[offset:first:2] = np.minimum(lane[offset:first:2], np.where(missing, 0, level))
    target = (graph.edges.target - first) // 2
    launches = graph.link == Link.LAUNCH
    gone = np.zeros(len(launches), dtype=np.bool_)
    gone[launches] = extra[target[launches]]
    return Levels(lane, gone)


def _level(frame: pl.DataFrame, half: float) -> tuple[I64, npt.NDArray[np.bool_]]:
    """The level of each row, its own where it has no place; and whether too few ranks have its place."""
    if frame.is_empty():
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    places = frame.group_by(_PLACE).agg(n=pl.len(), level=pl.col("ns").sort().gather((pl.len() - 1) // 2).first())
    joined = frame.join(places, on=list(_PLACE), how="left", maintain_order="left")
    told = pl.col("place").is_not_null() & pl.col("n").is_not_null()
    found = joined.select(
        level=pl.when(told & (pl.col("n") < half)).then(0).when(told).then("level").otherwise("ns"),
        extra=told & (pl.col("n") < half),
    )
    return found["level"].to_numpy(), found["extra"].to_numpy()
