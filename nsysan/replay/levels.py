"""What an operation or a host's segment takes where nothing is wrong with its rank (METRICS section 7).

Every duration has noise, which stays when a rank is put right: cutting each down to what it takes elsewhere would save
time on balanced ranks too. What counts is what a rank takes longer at a place in most steps, or at the places of a
group (the launches of a kind, a kernel of a name) together, or by far in one step.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import codes
from nsysan.model.operations import is_communication
from nsysan.replay.engine import I64, NEVER
from nsysan.replay.links import Link
from nsysan.replay.prompt import slow_edges
from nsysan.replay.right import right_of
from nsysan.replay.shape import Delays, Graph, Levels
from nsysan.replay.subjects import inside_graph

#: So large a share of the period is what few places or one step lose.
_SHARE = 0.01
#: Gaps of two GPUs of a model differ by up to 13 % with their clocks.
_CLOCKS = 1.25
#: A gap in which another process has the GPU is so many times a gap.
_SLICE = 10.0


def levels_of(graph: Graph, delays: Delays, period: int) -> Levels:
    """The levels of a graph: the lower median over the ranks of the stage that have the place, 0 where few have it."""
    peers, excess = _peers(graph), round(_SHARE * period)
    lane = delays.lane.copy()
    first, end = graph.first_operation, graph.first_arrival
    work = graph.operations.select(
        *_key("home"), "name", group=_group("name"), ns=pl.Series(delays.lane[first + 1 : end : 2])
    )
    communicates = graph.operations.select(is_communication()).to_series().fill_null(value=False).to_numpy()
    right, extra = right_of(work, pl.col("name"), peers, excess, ~communicates)
    lane[first + 1 : end : 2] = right
    # What waits in a call, or moves data between ranks, is no rank's own.
    together = communicates & ~extra
    lane[first + 1 : end : 2] = np.where(together, delays.lane[first + 1 : end : 2], lane[first + 1 : end : 2])
    # Between the nodes of a graph no host comes in.
    inside = _inside_graphs(graph)
    gaps = work.with_columns(group=pl.lit(0), ns=pl.Series(delays.lane[first:end:2])).filter(pl.Series(inside))
    lane[first:end:2][inside], _ = right_of(
        gaps, pl.col("name"), peers, excess, np.ones(len(gaps), dtype=np.bool_), _CLOCKS, _SLICE
    )
    lane[first:end:2] = np.where(extra, 0, lane[first:end:2])
    kind = pl.concat_str("launch", "name", ignore_nulls=True)
    for offset, group in ((0, pl.lit(0)), (1, _group("launch"))):
        calls = graph.calls.select(
            *_key("step"), "launch", "name", group=group, ns=pl.Series(delays.lane[offset:first:2])
        )
        lane[offset:first:2], extra_calls = right_of(calls, kind, peers, excess)
        if offset == 0 and extra_calls.any():
            before = _with_next(graph.calls, delays.lane[0:first:2], extra_calls)
            lane[0:first:2], _ = right_of(calls.with_columns(ns=pl.Series(before)), kind, peers, excess)
    # What a thread does that launches for several ranks is none's own.
    own = graph.calls.select(pl.col("rank").n_unique().over("thread") == 1).to_series().to_numpy()
    for offset in (0, 1):
        lane[offset:first:2] = np.where(own, lane[offset:first:2], delays.lane[offset:first:2])
    cross, owner = slow_edges(graph, delays, peers, own, excess)
    launches = np.flatnonzero(graph.link == Link.LAUNCH)
    gone = launches[extra[(graph.edges.target[launches] - first) // 2]]
    cross[gone], owner[gone] = NEVER, graph.edges.target[gone]
    return Levels(lane, cross, owner)


def _inside_graphs(graph: Graph) -> npt.NDArray[np.bool_]:
    """Whether an operation comes after another node of its graph in its stream."""
    inside = graph.operations.select(inside_graph()).to_series().to_numpy()
    return inside & ~graph.opens[graph.first_operation : graph.first_arrival : 2]


def _with_next(calls: pl.DataFrame, before: I64, extra: npt.NDArray[np.bool_]) -> I64:
    """What a host does before each call, where that before what only its rank launches counts as done before the next
    call that all have: the same is done before that on the other ranks, which have nothing in between.
    """
    lanes = codes([calls["stretch"], calls["thread"]])[0]
    order = np.argsort(lanes, kind="stable")
    kept = ~extra[order]
    # The run of each call: the extra ones, and the one after them.
    runs = np.concatenate([[0], np.cumsum(kept)[:-1]])
    runs = runs + np.concatenate([[0], np.cumsum(np.diff(lanes[order]) != 0)]) * (len(calls) + 1)
    _, run = np.unique(runs, return_inverse=True)
    sums = np.zeros(run.max() + 1, dtype=np.int64)
    np.add.at(sums, run, before[order])
    told = np.zeros_like(before)
    told[order[kept]] = sums[run[kept]]
    return told


def _key(step: str) -> list[pl.Expr]:
    return [pl.col(step).alias("step"), pl.col("stretch", "rank", "segment", "place")]


def _group(text: str) -> pl.Expr:
    """A number for each text."""
    return pl.col(text).cast(pl.Categorical).to_physical().cast(pl.Int64).fill_null(-1)


def _peers(graph: Graph) -> pl.DataFrame:
    """rank, stage, peers: how many ranks do the same."""
    stages = [(rank, number, len(stage)) for number, stage in enumerate(graph.stages) for rank in stage]
    return pl.DataFrame(stages, schema={"rank": pl.Int64, "stage": pl.Int64, "peers": pl.Int64}, orient="row")
