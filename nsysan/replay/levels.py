"""What an operation or a host's segment takes where nothing is wrong with its rank (METRICS section 7).

Every duration has noise, which stays when a rank is put right: cutting each down to what it takes elsewhere would save
time on balanced ranks too. What counts is what a rank takes longer at a place in most steps, or at the places of a
group (the launches of a kind, a kernel of a name) together, or by far in one step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.model.operations import is_communication
from nsysan.replay.delays import Delays
from nsysan.replay.engine import I64
from nsysan.replay.graph import Graph
from nsysan.replay.links import Link

#: So many standard errors lie between what is noise and what is not, of a place or group over the steps.
_ERRORS = 4.0
#: So many standard deviations, and so large a share of the period, is a step's own excess at a place.
_DEVIATIONS, _SHARE = 6.0, 0.01
#: Of normal noise: deviation by the median absolute deviation; standard error of a median.
_BY_MAD, _OF_MEDIAN = 1.4826, 1.2533


@dataclass(frozen=True)
class Levels:
    """lane: the delay of each node in its lane, where it takes no more than its place does elsewhere; ns.

    gone: whether an edge is the launch of work that most ranks do not have.
    """

    lane: I64
    gone: npt.NDArray[np.bool_]


def levels_of(graph: Graph, delays: Delays, period: int) -> Levels:
    """The levels of a graph: the lower median over the ranks that have the place, 0 where it is extra."""
    excess = round(_SHARE * period)
    lane = delays.lane.copy()
    first, end = graph.first_operation, graph.first_arrival
    work = graph.operations.select(_key(), group="name", ns=pl.Series(delays.lane[first + 1 : end : 2]))
    right, extra = _right(work, excess)
    lane[first + 1 : end : 2] = right
    # What waits in a call, or moves data between ranks, is no rank's own.
    together = graph.operations.select(is_communication() & ~pl.Series("extra", extra)).to_series().to_numpy()
    lane[first + 1 : end : 2] = np.where(together, delays.lane[first + 1 : end : 2], lane[first + 1 : end : 2])
    lane[first:end:2] = np.where(extra, 0, lane[first:end:2])
    for offset, group in ((0, pl.lit("")), (1, pl.col("launch"))):
        calls = graph.calls.select(_key(), group=group, ns=pl.Series(delays.lane[offset:first:2]))
        lane[offset:first:2], _ = _right(calls, excess)
    target = (graph.edges.target - first) // 2
    launches = graph.link == Link.LAUNCH
    gone = np.zeros(len(launches), dtype=np.bool_)
    gone[launches] = extra[target[launches]]
    return Levels(lane, gone)


def _key() -> list[pl.Expr]:
    return [pl.col("stretch", "step", "rank", "place", "peers")]


def _right(rows: pl.DataFrame, excess: int) -> tuple[I64, npt.NDArray[np.bool_]]:
    """What each row takes on a rank that is right; and whether it is what most ranks do not have.

    rows: stretch, step, rank, place (null where nothing is alike on other ranks), peers (how many ranks may have it),
    group, ns.
    """
    if rows.is_empty():
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    at_once = rows.group_by("stretch", "step", "place").agg(n=pl.len(), then=_lower_median("ns"))
    usual = rows.group_by("rank", "place").agg(
        pl.first("group"), steps=pl.len(), usual=pl.median("ns"), spread=(pl.col("ns") - pl.median("ns")).abs().median()
    )
    # Noise is that of the place; a rank that is late in half of its steps is no noise.
    usual = usual.with_columns(
        level=_lower_median("usual").over("place"), deviation=_BY_MAD * _lower_median("spread").over("place")
    )
    error = _ERRORS * _OF_MEDIAN * pl.col("deviation") / pl.col("steps").sqrt()
    usual = usual.with_columns(late=pl.col("usual") - pl.col("level") > error, error=error**2)
    # Of what no place shows alone the places of a group may show it together.
    rest = usual.group_by("rank", "group").agg(
        total=pl.when("late").then("level").otherwise("usual").sum(), error=pl.col("error").sum().sqrt()
    )
    rest = rest.with_columns(level=_lower_median("total").over("group"))
    slower = pl.col("total") - pl.col("level") > pl.col("error")
    rest = rest.select("rank", "group", factor=pl.when(slower).then(pl.col("level") / pl.col("total")).otherwise(1.0))
    usual = usual.join(rest, on=["rank", "group"]).drop("group", "steps", "spread", "error")
    told = rows.join(at_once, on=["stretch", "step", "place"], how="left", maintain_order="left")
    told = told.join(usual, on=["rank", "place"], how="left", maintain_order="left")
    # What half of them have is extra where the others have nothing in its stead.
    told = told.with_columns(of_half=(pl.col("n") * 2 == pl.col("peers")) & pl.col("place").is_not_null())
    in_step = told.group_by("stretch", "step", "rank").agg(halves=pl.col("of_half").sum())
    least = in_step.group_by("stretch", "step").agg(pl.min("halves"))
    told = told.join(least, on=["stretch", "step"], how="left", maintain_order="left", nulls_equal=True)
    fewer = (pl.col("n") * 2 < pl.col("peers")) | (pl.col("of_half") & (pl.col("halves") == 0))
    extra = pl.col("place").is_not_null() & fewer
    ns, wide = pl.col("ns"), _DEVIATIONS * pl.col("deviation")
    alone = ns - pl.max_horizontal("usual", "then") > pl.max_horizontal(wide, pl.lit(excess))
    # Late in most steps, and not in this one.
    spared = (
        pl.col("late") & (ns < (pl.col("usual") + pl.col("level")) / 2) & (pl.col("usual") - pl.col("level") > wide)
    )
    factor = pl.when("late").then(pl.col("level") / pl.col("usual")).otherwise("factor")
    right = (
        pl.when(extra)
        .then(0)
        .when(pl.col("usual").is_null() | spared)
        .then(ns)
        .when(alone)
        .then(pl.min_horizontal("then", "ns"))
        .otherwise((ns * factor).round())
    )
    found = told.select(right=right.cast(pl.Int64), extra=extra)
    return found["right"].to_numpy(), found["extra"].fill_null(value=False).to_numpy()


def _lower_median(column: str) -> pl.Expr:
    """Of 2 the less, of 4 the second."""
    return pl.col(column).sort().gather((pl.len() - 1) // 2).first()
