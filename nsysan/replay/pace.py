"""What paces a replica's step, by replay of its graph (METRICS sections 7 and 10)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.metrics.whatif import call_wires, floors
from nsysan.model.operations import is_communication
from nsysan.replay import edits
from nsysan.replay.activity import MAX_OPERATIONS, Activity, activity
from nsysan.replay.delays import Delays, delays_of
from nsysan.replay.engine import I64, NEVER, Engine
from nsysan.replay.graph import Graph, build
from nsysan.replay.late import find_late
from nsysan.replay.levels import levels_of
from nsysan.replay.links import Link
from nsysan.replay.path import shares, walk
from nsysan.replay.told import LateRanks, Pace, Timed
from nsysan.run.run import Run

#: What may depend on an order that never shows.
_BOUNDED = ("no_skew", "floor_wire", "host_free", "graphs", "all")
#: Bounds so much of the period apart are told.
_APART = 0.02


#: A larger share of the period in communication that cannot be split may hide who is late.
_UNSPLIT = 0.03
#: So much of the steps is left out at either end where a middle is taken.
_OUTER = 0.3


def replay(run: Run, most: int = MAX_OPERATIONS) -> Pace | None:
    """The pace of a replica; None where it has no steady step."""
    found = activity(run, most)
    if found is None:
        return None
    graph = build(run, found)
    delays = delays_of(graph)
    levels = levels_of(graph, delays, _usual_period(found))
    basis = edits.basis(graph, delays, levels, floors(call_wires(run.collectives, run.steady_steps)))
    scenarios = _scenarios(graph, basis)
    names = ["measured", "usual", *scenarios]
    lane, cross = edits.applied(basis, list(scenarios.values()))
    engine = Engine(graph.opens, graph.edges, graph.time)
    released = graph.time.copy()
    released[graph.first_arrival :] = NEVER
    times = engine.times(lane, cross, released)
    exact = bool((times[:, 0] == graph.time).all())
    keys, periods = _periods(graph, found, times)
    told = dict(zip(names, _over_steps(keys, periods), strict=True))
    bounds = _bounds(told)
    measured = told["measured"]
    error = float(np.median(np.abs(periods[:, 1] - periods[:, 0]) / periods[:, 0]))

    def again(asked: list[edits.Edit]) -> list[Timed]:
        """The periods of other edits."""
        timed = engine.times(*edits.applied(basis, asked), released)
        return _over_steps(keys, _periods(graph, found, timed)[1])[2:]

    alone, without = ({rank: told.pop(f"{word}_{rank}") for rank in graph.ranks} for word in ("rank", "but"))
    unsplit = _unsplit(found, graph, measured.median)
    late: list[LateRanks] = []
    rotates = False
    if unsplit > _UNSPLIT:
        for name in list(told):
            if name not in ("measured", "usual"):
                del told[name]
        alone, bounds = {}, {}
    else:
        late, rotates = find_late(basis, again, measured, told["no_skew"], without, alone)
    frame = keys.with_columns(pl.Series(name, periods[:, i]) for i, name in enumerate(names))
    return Pace(
        period=measured,
        scenarios={name: timed for name, timed in told.items() if name not in ("measured", "usual")},
        ranks=alone,
        bounds=bounds,
        error=error,
        path=_path(graph, found, delays, basis.node_rank, measured.median),
        late=late,
        unsplit=unsplit,
        rotation=measured.median - told["no_skew"].median if rotates else 0,
        per_step=frame,
        exact=exact,
        nodes=len(graph.time),
        whole=found.whole,
    )


def _scenarios(graph: Graph, basis: edits.Basis) -> dict[str, edits.Edit]:
    everyone = edits.no_skew(basis.node_rank >= 0)
    found: dict[str, edits.Edit] = {
        "no_skew": everyone,
        "floor_wire": edits.floor_wire,
        "host_free": edits.host_free,
        "graphs": edits.graphs,
        "all": edits.together(everyone, edits.floor_wire, edits.host_free),
    }
    if (graph.link == Link.MAYBE).any():
        found |= {f"{name} unordered": edits.together(found[name], edits.unordered) for name in _BOUNDED}
    for rank in graph.ranks:
        found[f"rank_{rank}"] = edits.no_skew(basis.node_rank == rank)
        found[f"but_{rank}"] = edits.no_skew(basis.node_rank != rank)
    return found


def _bounds(told: dict[str, Timed]) -> dict[str, tuple[int, int]]:
    """The least and the most that a scenario may take, where that matters; `told` keeps the one that saves least."""
    found = {}
    for name in _BOUNDED:
        other = told.pop(f"{name} unordered", None)
        if other is None:
            continue
        low, high = sorted((told[name], other), key=lambda timed: timed.median)
        told[name] = high
        if high.median - low.median > _APART * told["measured"].median:
            found[name] = (low.median, high.median)
    return found


def _starts(graph: Graph, times: I64) -> tuple[pl.DataFrame, I64]:
    """stretch, rank, step; and when that step begins on that rank (a column a scenario)."""
    key = ("stretch", "rank", "step")
    lane = ("context", "stream")
    firsts = graph.operations.select(*key, *lane).with_row_index("at").drop_nulls("step")
    firsts = firsts.unique([*key, *lane], keep="first", maintain_order=True).sort(*key, "at")
    changed = firsts.select(pl.any_horizontal(pl.col(key).ne_missing(pl.col(key).shift(1)))).to_series().to_numpy()
    begins = np.flatnonzero(changed)
    nodes = graph.first_operation + 2 * firsts["at"].to_numpy().astype(np.int64)
    earliest = np.minimum.reduceat(times[nodes], begins, axis=0)
    return firsts[begins].select(key), earliest


def _periods(graph: Graph, found: Activity, times: I64) -> tuple[pl.DataFrame, I64]:
    keys, starts = _starts(graph, times)
    steps = found.steps.select("stretch", "rank", "step", "counted")
    keys = keys.with_row_index("at").join(steps, on=["stretch", "rank", "step"], how="left", maintain_order="left")
    keys = (
        keys.with_columns(order=pl.Series(starts[:, 0]))
        .sort("stretch", "rank", "order")
        .with_columns(next=pl.col("at").shift(-1).over("stretch", "rank"))
    )
    kept = keys.filter(pl.col("counted").fill_null(value=False) & pl.col("next").is_not_null())
    return kept.select("stretch", "step", "rank"), starts[kept["next"].to_numpy()] - starts[kept["at"].to_numpy()]


def _over_steps(keys: pl.DataFrame, periods: I64) -> list[Timed]:
    """The period of each scenario: of each rank its middle over the steps, and the median of these over the ranks.

    The middle is the mean of the middle two fifths: where hosts run ahead a step's own period is as it falls.
    """
    ranks = keys["rank"].to_numpy()
    each = [_middle(periods[ranks == rank]) for rank in np.unique(ranks)]
    median = np.median(each, axis=0)
    means = periods.mean(axis=0)
    # Of the run as it is the median itself.
    known = float(np.median([np.median(periods[ranks == rank, 0]) for rank in np.unique(ranks)]))
    return [Timed(round(known - (median[0] - m)), round(mean)) for m, mean in zip(median, means, strict=True)]


def _middle(values: I64) -> npt.NDArray[np.float64]:
    ordered = np.sort(values, axis=0)
    cut = int(_OUTER * len(ordered))
    return np.asarray(ordered[cut : len(ordered) - cut].mean(axis=0))


def _path(graph: Graph, found: Activity, delays: Delays, node_rank: I64, period: int) -> dict[tuple[str, int], int]:
    """ns of a step by class and rank: shares of the chain through the counted steps, times the period."""
    keys, starts = _starts(graph, graph.time[:, None])
    keys = keys.with_columns(start=pl.Series(starts[:, 0]))
    keys = keys.join(
        found.steps.select("stretch", "rank", "step", "counted"), on=["stretch", "rank", "step"], how="left"
    )
    keys = keys.sort("stretch", "rank", "start").with_columns(finish=pl.col("start").shift(-1).over("stretch", "rank"))
    keys = keys.filter(pl.col("counted") & pl.col("finish").is_not_null())
    # What comes after the last step that is counted tells which of its chains mattered.
    stretch_of = graph.operations["stretch"].to_numpy()
    ends = graph.time[graph.first_operation + 1 : graph.first_arrival : 2]
    total: dict[tuple[str, int], int] = {}
    for (stretch,), spans in keys.partition_by("stretch", as_dict=True, maintain_order=True).items():
        own = np.flatnonzero(stretch_of == stretch)
        last = int(own[np.argmax(ends[own])])
        pieces = walk(graph, delays, node_rank, graph.first_operation + 2 * last + 1, int(spans["start"].min()))  # type: ignore[arg-type]
        lasted = np.bincount(np.maximum(pieces[3], 0), pieces[1] - pieces[0])
        rank = int(np.argmax(lasted))
        for key, ns in shares(
            pieces, list(spans.filter(pl.col("rank") == rank).select("start", "finish").iter_rows())
        ).items():
            total[key] = total.get(key, 0) + ns
    return _summing_to(total, period)


def _summing_to(parts: dict[tuple[str, int], int], whole: int) -> dict[tuple[str, int], int]:
    """The parts in proportion, whole numbers that sum to the whole: what is left over goes to the largest rests."""
    total = sum(parts.values())
    if not total:
        return {}
    found = {key: ns * whole // total for key, ns in parts.items()}
    short = whole - sum(found.values())
    for key in sorted(parts, key=lambda key: (-(parts[key] * whole % total), key))[:short]:
        found[key] += 1
    return {key: ns for key, ns in found.items() if ns}


def _unsplit(found: Activity, graph: Graph, period: int) -> float:
    """Of the rank that has most of it, a step's share in communication that has no last arrival among several ranks."""
    if len(graph.ranks) < 2 or not period:
        return 0.0
    work = graph.operations.join(found.steps.filter("counted"), on=["stretch", "rank", "step"], how="semi")
    steps = found.steps.filter("counted").select("stretch", "step").n_unique()
    untold = work.filter(is_communication() & pl.col("last").is_null() & ~pl.col("single").fill_null(value=False))
    ns = untold.group_by("rank").agg((pl.col("end") - pl.col("begin")).sum())["end"].max()
    return float(ns or 0) / steps / period  # type: ignore[arg-type]


def _usual_period(found: Activity) -> int:
    following = pl.col("begin").shift(-1).over("stretch", "rank") - pl.col("begin")
    return round(found.steps.select(following.filter("counted").median()).item() or 0)
