"""A side's steps at another number of ranks, by replay: its kernels and calls take what they would there.

Hosts, gaps and copies take what they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from nsysan.compare.replay_told import Change, Key, Replayed
from nsysan.compare.sample import key_of
from nsysan.compare.step_work import F64, STEP, StepWork, compute_in_order, kind_of
from nsysan.metrics.ledger import build_ledger
from nsysan.metrics.lines import LINES, Line
from nsysan.model.operations import is_communication
from nsysan.replay import edits
from nsysan.replay.engine import I64
from nsysan.replay.links import Link
from nsysan.replay.prepared import Prepared
from nsysan.replay.shape import Graph


def replayed(work: StepWork, ready: Prepared, ranks: int, changes: Sequence[Change], *, alone: bool) -> Replayed:
    """The steps of a side of `ranks` ranks, with these changes; alone: without calls, as of one rank."""
    graph = ready.basis.graph
    at, place = _placed(work, graph)
    calls = _calls(work, graph, ranks)
    asked = [
        _edit(graph, at, _factor_of(change.factors, place), _behind(change, place), calls, change.longer)
        for change in changes
    ]
    if alone:
        asked = [edits.together(one, _alone) for one in asked]
    # A query that always found its work done is no wait, as far as the trace tells.
    told = [edits.together(one, edits.unasked) for one in asked]
    free = [edits.together(one, edits.host_free) for one in asked]
    times, found, needed = ready.replayed([edits.unchanged, *told, *free, asked[-1]])
    as_replayed = ready.over_steps(found)
    now, *rest = ready.no_shorter(as_replayed, needed)
    periods, without, waiting = rest[: len(told)], rest[len(told) : -1], rest[-1]
    ledger = _ledger(ready, times.of(1), as_replayed[1].median)
    # What a host needs longer than the replay shows, the GPU idles.
    if ledger:
        ledger[Line.IDLE] = ledger.get(Line.IDLE, 0.0) + periods[0].median - as_replayed[1].median
    hosts = float(np.median(needed[:, 1]))
    return Replayed(now, periods, without, waiting, hosts, hosts / max(1.0, _launches(graph)), ledger)


def _launches(graph: Graph) -> float:
    """Calls a step that launch something."""
    calls = graph.calls[np.unique(graph.edges.source[graph.link == Link.LAUNCH] // 2)].drop_nulls("step")
    return len(calls) / max(1, calls.select(STEP).n_unique())


def _placed(work: StepWork, graph: Graph) -> tuple[I64, list[int | str]]:
    """Rows of the steps' compute kernels, and the place of each; of a step that does not do as most, its kind."""
    ordered = compute_in_order(graph.operations)
    found: list[int | str] = []
    for names in ordered.group_by(STEP, maintain_order=True).agg("name")["name"].to_list():
        usual = tuple(names) == work.sequence
        found += work.place_of if usual else map(kind_of, names)
    return ordered["at"].to_numpy().astype(np.int64), found


def _factor_of(factors: F64, place: Sequence[int | str]) -> F64:
    """The factor of each kernel; of one without a place that of the step as a whole."""
    whole = float(np.mean(factors)) if len(factors) else 1.0
    return np.array([factors[one] if isinstance(one, int) else whole for one in place], dtype=np.float64)


def _behind(change: Change, place: Sequence[int | str]) -> F64:
    """ns behind each kernel: of a place with several behind the last."""
    if change.behind is None:
        return np.zeros(len(place))
    ends = [one != later for one, later in zip(place, [*place[1:], None], strict=True)]
    told = [change.behind[one] if isinstance(one, int) and end else 0.0 for one, end in zip(place, ends, strict=True)]
    return np.array(told, dtype=np.float64)


def _calls(work: StepWork, graph: Graph, ranks: int) -> list[tuple[Key, I64]]:
    """The edges of matched calls, from the last arrival to a rank's end, by what the call is."""
    edges = np.flatnonzero(graph.link == Link.WIRE)
    rows = graph.operations[(graph.edges.target[edges] - graph.first_operation) // 2].select("row", "message_bytes")
    kinds = rows.join(work.calls, on="row", how="left", maintain_order="left")
    keys = [key_of(str(kind), size, ranks) for kind, size in kinds.select("kind", "message_bytes").iter_rows()]
    by_key: dict[Key, list[int]] = {}
    for edge, key in zip(edges.tolist(), keys, strict=True):
        by_key.setdefault(key, []).append(edge)
    return [(key, np.array(own, dtype=np.int64)) for key, own in by_key.items()]


def _edit(
    graph: Graph, at: I64, factor: F64, behind: F64, calls: Sequence[tuple[Key, I64]], longer: Mapping[Key, float]
) -> edits.Edit:
    ends = graph.first_operation + 2 * at + 1

    def edit(basis: edits.Basis, lane: I64, cross: I64) -> None:
        del basis
        lane[ends] = np.rint(lane[ends] * factor + behind).astype(np.int64)
        for key, edges in calls:
            # A call's wire is that of the rank that leaves last; the others leave before it in proportion.
            source = graph.edges.source[edges]
            longest = np.zeros(len(graph.time), dtype=np.int64)
            np.maximum.at(longest, source, cross[edges])
            most = longest[source].astype(np.float64)
            then = np.maximum(most + longer.get(key, 0.0), 0.0)
            share = np.divide(then, most, out=np.zeros_like(most), where=most > 0)
            cross[edges] = np.rint(cross[edges] * share).astype(np.int64)

    return edit


def _alone(basis: edits.Basis, lane: I64, cross: I64) -> None:
    """No calls: they take no time, nor does what launches them, nor a gap before them."""
    graph = basis.graph
    calls = graph.operations.select(is_communication()).to_series().to_numpy()
    nodes = graph.first_operation + 2 * np.flatnonzero(calls)
    lane[nodes] = 0
    lane[nodes + 1] = 0
    cross[graph.link == Link.WIRE] = 0
    launching = ["stretch", "thread", "launch_start"]
    alone = graph.operations.filter(is_communication() & pl.col("graph_node").is_null()).select(launching).unique()
    launches = graph.calls.with_row_index("at").join(
        alone, left_on=["stretch", "thread", "start"], right_on=launching, how="semi"
    )
    lane[2 * launches["at"].to_numpy().astype(np.int64) + 1] = 0


def _ledger(ready: Prepared, times: I64, period: int) -> dict[Line, float]:
    """The ledger of the steps that are counted, at these times, to sum to the period: by idle time and waiting, where
    these can take the difference, else in proportion."""
    graph, counted = ready.basis.graph, ready.counted
    starts = ready.starts(times)
    begin, end = times[graph.first_operation : graph.first_arrival : 2], times[graph.first_operation + 1 :: 2]
    wire = graph.link == Link.WIRE
    last = np.full(len(graph.operations), -1, dtype=np.int64)
    last[(graph.edges.target[wire] - graph.first_operation) // 2] = times[graph.edges.source[wire]]
    met = pl.Series(last)
    work = graph.operations.select("stretch", "rank", "step", "cls").with_columns(
        begin=pl.Series(begin),
        end=pl.Series(end[: len(begin)]),
        trimmed=pl.lit(0, dtype=pl.Int64),
        last=pl.select(pl.when(met >= 0).then(met)).to_series(),
    )
    windows = counted.select(
        "step",
        "rank",
        begin=pl.Series(starts[counted["at"].to_numpy()]),
        finish=pl.Series(starts[counted["next"].to_numpy()]),
        excluded=pl.lit(None, dtype=pl.String),
    )
    rows = build_ledger(work, windows)
    means = {line: float(rows[line.column].fill_null(0).mean() or 0) for line in LINES}  # type: ignore[arg-type]
    whole, slack = sum(means.values()), means[Line.IDLE] + means[Line.WAIT]
    if slack > 0 and period >= whole - slack:
        means |= {line: means[line] * (period - whole + slack) / slack for line in (Line.IDLE, Line.WAIT)}
        return means
    return {line: ns * period / whole for line, ns in means.items()} if whole else {}
