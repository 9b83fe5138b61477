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
from nsysan.replay.engine import I64
from nsysan.replay.links import Link
from nsysan.replay.shape import Delays, Graph, Levels

#: So many standard errors lie between what is noise and what is not, of a place or group over the steps.
_ERRORS = 4.0
#: So many standard deviations, and so large a share of the period, is a step's own excess at a place.
_DEVIATIONS, _SHARE = 6.0, 0.01
#: Other work in the place of what a rank lacks is as good as that unless it takes longer by this share.
_ALIKE = 0.05
_PAIR = 2
#: What is one place of one step.
_AT_ONCE = ("stretch", "step", "place")
#: Of normal noise: deviation by the median absolute deviation; standard error of a median.
_BY_MAD, _OF_MEDIAN = 1.4826, 1.2533


def levels_of(graph: Graph, delays: Delays, period: int) -> Levels:
    """The levels of a graph: the lower median over the ranks of the stage that have the place, 0 where few have it."""
    peers, excess = _peers(graph), round(_SHARE * period)
    lane = delays.lane.copy()
    first, end = graph.first_operation, graph.first_arrival
    work = graph.operations.select(
        *_key("home"), "name", group=_group("name"), ns=pl.Series(delays.lane[first + 1 : end : 2])
    )
    right, extra = _right(work, pl.col("name"), peers, excess)
    lane[first + 1 : end : 2] = right
    # What waits in a call, or moves data between ranks, is no rank's own.
    together = graph.operations.select(is_communication() & ~pl.Series("extra", extra)).to_series().to_numpy()
    lane[first + 1 : end : 2] = np.where(together, delays.lane[first + 1 : end : 2], lane[first + 1 : end : 2])
    lane[first:end:2] = np.where(extra, 0, lane[first:end:2])
    kind = pl.concat_str("launch", "name", ignore_nulls=True)
    for offset, group in ((0, pl.lit(0)), (1, _group("launch"))):
        calls = graph.calls.select(
            *_key("step"), "launch", "name", group=group, ns=pl.Series(delays.lane[offset:first:2])
        )
        lane[offset:first:2], extra_calls = _right(calls, kind, peers, excess)
        if offset == 0 and extra_calls.any():
            before = _with_next(graph.calls, delays.lane[0:first:2], extra_calls)
            lane[0:first:2], _ = _right(calls.with_columns(ns=pl.Series(before)), kind, peers, excess)
    # What a thread does that launches for several ranks is none's own.
    own = graph.calls.select(pl.col("rank").n_unique().over("thread") == 1).to_series().to_numpy()
    for offset in (0, 1):
        lane[offset:first:2] = np.where(own, lane[offset:first:2], delays.lane[offset:first:2])
    target = (graph.edges.target - first) // 2
    launches = graph.link == Link.LAUNCH
    gone = np.zeros(len(launches), dtype=np.bool_)
    gone[launches] = extra[target[launches]]
    return Levels(lane, gone)


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


def _right(rows: pl.DataFrame, kind: pl.Expr, peers: pl.DataFrame, excess: int) -> tuple[I64, npt.NDArray[np.bool_]]:
    """What each row takes on a rank that is right; and whether it is what most ranks do not have.

    rows: stretch, step, rank, segment, place (null where nothing is alike on other ranks), group (a number), ns, and
    what kind each is told by.
    """
    if rows.is_empty():
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    rows = rows.join(peers, on="rank", how="left", maintain_order="left")
    # A place is one of a stage, and so is a group.
    rows = rows.with_columns(
        place=pl.col("place") * (pl.col("stage").max() + 1) + pl.col("stage"),
        group=pl.col("group") * (pl.col("stage").max() + 1) + pl.col("stage"),
    )
    at, own = (pl.Series(codes(rows.select(key).get_columns())[0]) for key in (_AT_ONCE, ("rank", "place")))
    rows = rows.with_columns(at=at, own=own)
    at_once = rows.group_by("at").agg(
        pl.first(*_AT_ONCE, "segment", "stage", "peers"), n=pl.len(), then=_lower_median("ns").cast(pl.Int64)
    )
    # Of two ranks that one has it is no more than that the other has not, whose time is the shorter.
    at_once = at_once.with_columns(
        extra=pl.col("place").is_not_null()
        & ((2 * pl.col("n") < pl.col("peers")) | ((pl.col("peers") == _PAIR) & (pl.col("n") == 1)))
    )
    instead = None
    if at_once["extra"].any():
        at_once = _without_moved(rows.with_columns(kind=kind), at_once)
        instead = _instead(rows, at_once)
    rows = rows.with_columns(extra=at_once.sort("at")["extra"][at])
    usual = rows.group_by("own").agg(
        pl.first("rank", "place", "group"),
        # What is mostly extra there is in no sum of what all have.
        common=~pl.col("extra").cast(pl.Float64).mean().gt(0.5).fill_null(value=False),
        steps=pl.len(),
        usual=pl.median("ns"),
        spread=(pl.col("ns") - pl.median("ns")).abs().median(),
    )
    # Noise is that of the place; a rank that is late in half of its steps is no noise.
    usual = usual.with_columns(
        level=_lower_median("usual").over("place"), deviation=_BY_MAD * _lower_median("spread").over("place")
    )
    error = _ERRORS * _OF_MEDIAN * pl.col("deviation") / pl.col("steps").sqrt()
    usual = usual.with_columns(late=pl.col("usual") - pl.col("level") > error, error=error**2)
    # Of what no place shows alone the places of a group may show it together.
    rest = (
        usual.filter("common")
        .group_by("rank", "group")
        .agg(total=pl.when("late").then("level").otherwise("usual").sum(), error=pl.col("error").sum().sqrt())
    )
    rest = rest.with_columns(level=_lower_median("total").over("group"))
    slower = pl.col("total") - pl.col("level") > pl.col("error")
    rest = rest.select("rank", "group", factor=pl.when(slower).then(pl.col("level") / pl.col("total")).otherwise(1.0))
    usual = usual.join(rest, on=["rank", "group"], how="left").with_columns(pl.col("factor").fill_null(1.0))
    told = (
        rows.select("rank", "segment", "place", "ns")
        .hstack(at_once.sort("at").select("then", "extra")[at])
        .hstack(usual.sort("own").select("usual", "level", "deviation", "late", "factor")[own])
    )
    if instead is None:
        told = told.with_columns(instead=pl.lit(None, dtype=pl.Float64))
    else:
        told = told.join(instead, on=["rank", "segment", "place"], how="left", maintain_order="left")
    other = pl.col("extra") & pl.col("instead").is_not_null()
    extra = pl.col("extra") & ~other
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
        .when(other)
        .then((ns * pl.col("instead")).round())
        .when(pl.col("place").is_null() | spared)
        .then(ns)
        .when(alone)
        .then(pl.min_horizontal("then", "ns"))
        .otherwise((ns * factor).round())
    )
    found = told.select(right=right.cast(pl.Int64), extra=extra)
    return found["right"].to_numpy(), found["extra"].fill_null(value=False).to_numpy()


def _without_moved(rows: pl.DataFrame, at_once: pl.DataFrame) -> pl.DataFrame:
    """at_once, with nothing extra of which the rank has no more than others have, somewhere else in their steps."""
    extra = rows.join(at_once.filter("extra").select("at"), on="at", how="semi")
    kinds = rows.join(extra.select("stage", "kind").unique(), on=["stage", "kind"], how="semi")
    counts = kinds.group_by("stage", "kind", "rank").agg(pl.first("peers"), n=pl.len().cast(pl.Int64))
    # Of the lower median: a rank that has none of the kind counts as well.
    at = (pl.first("peers") - 1) // 2 - (pl.first("peers") - pl.len())
    level = counts.group_by("stage", "kind").agg(
        level=pl.when(at >= 0).then(pl.col("n").sort().gather(at.clip(0)).first()).otherwise(0)
    )
    mine = extra.group_by("stage", "kind", "rank").agg(extra=pl.len())
    moved = mine.join(counts, on=["stage", "kind", "rank"]).join(level, on=["stage", "kind"])
    moved = moved.filter(pl.col("n") - pl.col("level") < pl.col("extra") / 2)
    places = extra.join(moved, on=["stage", "kind", "rank"], how="semi")["at"].unique()
    return at_once.with_columns(extra=pl.col("extra") & ~pl.col("at").is_in(places.implode()))


def _instead(rows: pl.DataFrame, at_once: pl.DataFrame) -> pl.DataFrame:
    """rank, segment, place, instead: of what a rank alone has in the place of what others have, by another name, the
    share that these take.
    """
    where = ("stretch", "step", "segment")
    own = rows.join(at_once.filter("extra").select("at"), on="at", how="semi")
    sums = own.group_by(*where, "rank", "stage").agg(pl.sum("ns"))
    partly = at_once.filter(
        pl.col("place").is_not_null(),
        pl.col("n") < pl.col("peers"),
        ~pl.col("extra") | (pl.col("peers") == _PAIR),
    )
    lacking = partly.join(sums.select(*where, "stage", "rank"), on=[*where, "stage"]).join(
        rows.select(*where[:2], "place", "rank"), on=[*where[:2], "place", "rank"], how="anti"
    )
    lacking = lacking.group_by(*where, "rank").agg(lacks=pl.sum("then"))
    # A step that is cut off lacks what it has in all others.
    told = sums.join(lacking, on=[*where, "rank"], how="left").with_columns(pl.col("lacks").fill_null(0))
    told = told.group_by("rank", "segment").agg(pl.median("ns", "lacks")).filter(pl.col("lacks") > 0)
    share = pl.col("lacks") / pl.col("ns")
    told = told.select("rank", "segment", instead=pl.when(share < 1 - _ALIKE).then(share).otherwise(1.0).fill_nan(1.0))
    return own.select("rank", "segment", "place").unique().join(told, on=["rank", "segment"])


def _lower_median(column: str) -> pl.Expr:
    """Of 2 the less, of 4 the second."""
    return pl.col(column).quantile(0.5, "lower")
