"""What paces a replica's step, by replay of its graph (METRICS sections 7 and 10)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.model.operations import is_communication
from nsysan.replay import edits
from nsysan.replay.activity import MAX_OPERATIONS, Activity
from nsysan.replay.ahead import launches_ahead
from nsysan.replay.busy_stages import no_bubble
from nsysan.replay.engine import NotAcyclic
from nsysan.replay.host_times import host_times
from nsysan.replay.late import as_one, find_late
from nsysan.replay.links import Link
from nsysan.replay.meetings import from_last_to_first
from nsysan.replay.path import classes, shares, walk
from nsysan.replay.pieces import SCHEMA, pieces
from nsysan.replay.prepared import Prepared, prepare
from nsysan.replay.replies import OfRanks, told_at_once, unheard, waits_for_answers
from nsysan.replay.results import MAX_UNSPLIT, LateRanks, Pace, Timed
from nsysan.replay.shape import Graph
from nsysan.replay.told import as_told
from nsysan.replay.told_waits import NO_WAITS, told_waits
from nsysan.replay.unseen import waits_for_work
from nsysan.run.run import Run
from nsysan.timings import stage

#: What may depend on an order that never shows.
_BOUNDED = edits.STANDARD
#: Bounds so much of the period apart are told.
_APART = 0.02


@stage("replay")
def replay(run: Run, most: int = MAX_OPERATIONS) -> Pace | None:
    """The pace of a replica; None where it has no steady step, or what was recorded contradicts itself."""
    try:
        ready = prepare(run, most)
    except NotAcyclic:
        return None
    return None if ready is None else pace_of(ready)


def pace_of(ready: Prepared) -> Pace:
    """The pace of a replica whose graph is there."""
    found, basis = ready.found, ready.basis
    graph = basis.graph
    held_up = unheard(basis)
    scenarios = {"measured": edits.unchanged, "usual": edits.as_usual, **_scenarios(ready, held_up)}
    names = list(scenarios)
    piped, turns = len(graph.stages) > 1, bool((graph.link == Link.TURN).any())
    times, periods, needed = ready.replayed(list(scenarios.values()))
    exact = bool((times.of(0) == graph.time).all())
    replayed = dict(zip(names, ready.over_steps(periods), strict=True))
    told = dict(zip(names, ready.no_shorter(list(replayed.values()), needed), strict=True))
    if "no_bubble" in told:
        # Stages that do not wait for each other have periods of their own.
        told["no_bubble"] = ready.of_slowest(periods[:, names.index("no_bubble")])
    bounds = bounds_of(told, _BOUNDED)
    measured = told["measured"]
    error = float(np.median(np.abs(periods[:, 1] - periods[:, 0]) / periods[:, 0]))

    alone = {rank: told.pop(f"rank_{rank}") for rank in graph.ranks}
    without = {rank: replayed[f"but_{rank}"] for rank in graph.ranks if told.pop(f"but_{rank}")}
    # With all ranks right no step ends later than with one; a median of steps that differ need not show it.
    if told["no_skew"].median < measured.median:
        told["no_skew"] = _least(told["no_skew"], *alone.values())
    told["all"] = _least(*(told[name] for name in ("all", "no_skew", "floor_wire", "host_free")))
    bounds = {name: (min(low, told[name].median), told[name].median) for name, (low, _) in bounds.items()}
    unsplit = _unsplit(found, graph, measured.median)
    late: list[LateRanks] = []
    every: LateRanks | None = None
    rotates = False
    if unsplit > MAX_UNSPLIT:
        for name in list(told):
            if name not in ("measured", "usual"):
                del told[name]
        alone, bounds = {}, {}
    else:
        lost = measured.median - told["no_skew"].median
        late, rotates = find_late(basis, ready, measured, replayed["no_skew"], without, alone, lost)
        every = as_one(ready, measured, late) if late else None
        if every is not None and held_up is not None:
            *late, every = _may_save([*late, every], ready, measured, held_up)
    path, chain, inferred = _path(ready, measured.median)
    frame = ready.counted.select("stretch", "step", "rank")
    frame = frame.with_columns(pl.Series(name, periods[:, i]) for i, name in enumerate(names))
    if every is not None:
        frame = frame.with_columns(late=pl.Series(ready.periods(edits.put_right(every.ranks))))
    return Pace(
        period=measured,
        replayed=measured.median,
        scenarios={name: one for name, one in told.items() if name not in ("measured", "usual")},
        ranks=alone,
        bounds=bounds,
        error=error,
        path=path,
        pieces=chain,
        inferred=inferred,
        late=late,
        late_as_one=every,
        unsplit=unsplit,
        rotation=measured.median - told["no_skew"].median if rotates else 0,
        per_step=frame,
        exact=exact,
        nodes=len(graph.time),
        whole=found.whole,
        closed=not piped or turns or from_last_to_first(graph.operations, graph.stages),
        turns_inferred=turns,
        answered=waits_for_answers(graph),
        ahead=launches_ahead(graph),
        met=bool((graph.link == Link.HOST).any()),
        hosts=host_times(graph, found.os_calls, ready.counted),
        waits=NO_WAITS if found.os_calls.is_empty() else told_waits(graph, found.early),
    )


def _may_save(late: list[LateRanks], ready: Prepared, measured: Timed, held_up: OfRanks) -> list[LateRanks]:
    """The late ranks with what each may save at most, as it may have held up what other hosts are told."""
    told = ready.timed([held_up(one.ranks) for one in late])
    return [replace(one, most=measured.median - own.median) for one, own in zip(late, told, strict=True)]


def _least(*timed: Timed) -> Timed:
    return Timed(min(one.median for one in timed), min(one.mean for one in timed))


def _scenarios(ready: Prepared, held_up: OfRanks | None) -> dict[str, edits.Edit]:
    """By name; after a space how the trace can be taken too. held_up: as replies.unheard gives it."""
    basis, graph = ready.basis, ready.basis.graph
    found = edits.standard(basis)
    everyone = found["no_skew"]
    if edits.may_be_unordered(graph):
        found |= {f"{name} unordered": edits.together(found[name], edits.unordered) for name in _BOUNDED}
    if ready.unseen is not None:
        balanced = edits.no_skew(basis.node_rank >= 0, ready.unseen)
        found["no_skew of hosts"] = balanced
        found["all of hosts"] = edits.together(balanced, edits.floor_wire, edits.host_free)
    if (by_hosts := as_told(basis)) is not None:
        as_it_is, found["no_skew told"] = by_hosts
        found["floor_wire told"] = edits.together(as_it_is, edits.floor_wire)
    if (at_once := told_at_once(basis)) is not None:
        found["no_skew at once"] = edits.together(everyone, at_once)
    if held_up is not None:
        found["no_skew unheard"] = held_up(graph.ranks)
    if waits_for_work(graph):
        found |= {"host_free of hosts": edits.unchanged, "graphs of hosts": edits.unchanged}
        found["all of work"] = edits.together(everyone, edits.floor_wire)
    if edits.prepares(graph):
        found["graphs of layers"] = edits.graphs_of_layers
    if ready.wanting is not None:
        found["no_bubble"] = no_bubble(graph, ready.wanting)
    for rank in graph.ranks:
        found[f"rank_{rank}"] = edits.put_right([rank])
        found[f"but_{rank}"] = edits.put_right(other for other in graph.ranks if other != rank)
    return found


def alternatives(ready: Prepared) -> dict[str, list[edits.Edit]]:
    """How else the trace can be taken in each what-if of no rank."""
    found = _scenarios(ready, unheard(ready.basis))
    return {
        name: [edit for key, edit in found.items() if key.partition(" ")[0] == name and key != name]
        for name in _BOUNDED
    }


def bounds_of(told: dict[str, Timed], names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The least and the most that a scenario may take, where that matters; `told` keeps the one that saves least."""
    found = {}
    for name in names:
        others = [told.pop(key) for key in list(told) if key.startswith(f"{name} ")]
        if not others:
            continue
        low, *_, high = sorted((told[name], *others), key=lambda timed: timed.median)
        told[name] = high
        if high.median - low.median > _APART * told["measured"].median:
            found[name] = (low.median, high.median)
    return found


def _path(ready: Prepared, period: int) -> tuple[dict[tuple[str, int], int], pl.DataFrame, bool]:
    """ns of a step by class and rank: shares of the chain through the usual steps, times the period; its pieces; and
    whether the chain goes from stream to stream where no table tells of an order.
    """
    graph, basis = ready.basis.graph, ready.basis
    # What comes after the last step that is counted tells which of its chains mattered.
    stretch_of = graph.operations["stretch"].to_numpy()
    ends = graph.time[graph.first_operation + 1 : graph.first_arrival : 2]
    total: dict[tuple[str, int], int] = {}
    class_of, untold, crosses = classes(graph), _untold(ready), False
    chain = [SCHEMA.to_frame()]
    for (stretch,), spans in ready.counted.partition_by("stretch", as_dict=True, maintain_order=True).items():
        own = np.flatnonzero(stretch_of == stretch)
        last = graph.first_operation + 2 * int(own[np.argmax(ends[own])]) + 1
        found = walk(graph, basis.delays, basis.node_rank, class_of, last, int(spans["start"].min()))  # type: ignore[arg-type]
        lasted = np.bincount(np.maximum(found.ranks, 0), found.end - found.begin)
        of_rank = spans.filter(pl.col("rank") == int(np.argmax(lasted)))
        for (population,), own_spans in of_rank.partition_by("population", as_dict=True, maintain_order=True).items():
            usual = _usual(own_spans)
            weight = round(ready.weight_of(population) * len(own_spans) / len(usual))
            for key, ns in shares(found, list(usual.select("start", "finish").iter_rows())).items():
                total[key] = total.get(key, 0) + ns * weight
        chain.append(pieces(graph, found, of_rank))
        crosses |= bool(untold[found.edges[found.edges >= 0]].any())
    return _summing_to(total, period), pl.concat(chain), crosses


def _usual(spans: pl.DataFrame) -> pl.DataFrame:
    """The half of the steps that is nearest to the median: what a few lose beyond it is the tail's."""
    took = pl.col("finish") - pl.col("start")
    return spans.sort((took - took.median()).abs(), "start").head(-(-len(spans) // 2))


def _untold(ready: Prepared) -> npt.NDArray[np.bool_]:
    """Whether an edge is an order between streams that no table tells: of a graph's nodes none does."""
    graph = ready.basis.graph
    found: npt.NDArray[np.bool_] = graph.link == Link.ORDER
    if not ready.found.orders.is_empty():
        of_graph = graph.operations["graph_node"].is_not_null().to_numpy()
        found[found] = of_graph[(graph.edges.target[found] - graph.first_operation) // 2]
    return found


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
    told = ("stretch", "rank", "step", "cls", "begin", "end", "last", "single")
    work = graph.operations.select(told).join(found.steps.filter("counted"), on=["stretch", "rank", "step"], how="semi")
    steps = found.steps.filter("counted").select("stretch", "step").n_unique()
    untold = work.filter(is_communication() & pl.col("last").is_null() & ~pl.col("single").fill_null(value=False))
    ns = untold.group_by("rank").agg((pl.col("end") - pl.col("begin")).sum())["end"].max()
    return float(ns or 0) / steps / period  # type: ignore[arg-type]
