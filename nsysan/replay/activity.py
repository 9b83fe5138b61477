"""What a replay is made of: the operations of chosen steps of all ranks, and the calls of their hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from nsysan.columns.times import in_any, shifted
from nsysan.replay.stretches import LEAD_IN, Steps, stretches_of
from nsysan.run.placed import PlacedTrace
from nsysan.run.run import Run

#: So many operations a graph is made of at the most, over all ranks.
MAX_OPERATIONS = 60_000
#: Where that is not all, several stretches have no more than this.
OF_STRETCHES = 36_000
_BEFORE = -(1 << 63)
#: Of the delays from a launch to its work all but these show whether a GPU's clock is early.
_LEAST = 0.001
_OPERATION = (
    "row",
    "rank",
    "process",
    "step",
    "begin",
    "end",
    "context",
    "stream",
    "cls",
    "type",
    "name",
    "graph_node",
    "correlation",
    "thread",
    "launch_start",
    "launch_end",
    "launch",
    "last",
)


class Activity(NamedTuple):
    """What ranks and their hosts did in stretches of consecutive steps, on the run's clock, int64 ns.

    operations: stretch and the columns _OPERATION. waits: stretch, rank, thread, start, end, name, correlation of the
    hosts' calls that wait or ask; beside: the same of threads that launch nothing. orders: stretch, rank; correlation,
    context, stream of a call that makes its host or a stream wait; at, on_context, on_stream: for all that had been
    launched when the call with that correlation was made. os_calls: stretch, rank, thread, start, end, name, waits of
    what the launching threads call of the operating system (see trace.os_calls), none where that was not traced.
    steps: stretch, step, rank, begin, population, counted (whether periods are taken of it), in order. whole: whether
    every steady step is in a stretch. early: ns that were taken off the times of a rank's host, by rank; negative where
    it is behind.
    """

    operations: pl.DataFrame
    waits: pl.DataFrame
    beside: pl.DataFrame
    orders: pl.DataFrame
    os_calls: pl.DataFrame
    steps: pl.DataFrame
    whole: bool
    early: dict[int, int]


def activity(run: Run, most: int = MAX_OPERATIONS) -> Activity | None:
    """What a replica did in its steady steps, in as many as are of no more operations; None where it has none."""
    steps, whole = _chosen(run, most)
    if not steps["counted"].any():
        return None
    spans = steps.group_by("stretch", "rank").agg(pl.min("begin"), finish=pl.max("finish"))
    found = run.ask_each(activity_of, run.by_trace(spans))
    operations, waits, beside, orders, asked = (
        pl.concat([own[i] for own in found], how="vertical_relaxed") for i in range(5)
    )
    early = _early(operations) | {rank: -clock.behind for rank, clock in run.host_clocks.items() if clock.behind}
    operations = _earlier(operations, early, "launch_start", "launch_end")
    waits, beside, asked = (_earlier(calls, early, "start", "end") for calls in (waits, beside, asked))
    return Activity(operations, waits, beside, orders, asked, steps.drop("finish"), whole, early)


def _early(operations: pl.DataFrame) -> dict[int, int]:
    """ns by which a rank's GPU is early beside its host, by rank, where its work begins before it is launched."""
    launched = operations.select("rank", "begin", "launch_start").drop_nulls("launch_start").group_by("rank")
    least = launched.agg(ns=(pl.col("begin") - pl.col("launch_start")).quantile(_LEAST, "lower").cast(pl.Int64))
    return {rank: -ns for rank, ns in least.filter(pl.col("ns") < 0).sort("rank").iter_rows()}


def _earlier(calls: pl.DataFrame, by: Mapping[int, int], *times: str) -> pl.DataFrame:
    """The calls of hosts on their GPUs' clocks."""
    if not by:
        return calls
    early = pl.col("rank").replace_strict(dict(by), default=0, return_dtype=pl.Int64)
    return calls.with_columns(pl.col(times) - early)


def activity_of(
    placed: PlacedTrace, spans: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """operations, waits, beside, orders and os_calls (see Activity) of a trace's ranks.

    spans: stretch, rank, begin, finish.
    """

    def of_rank(rank: int) -> pl.DataFrame:
        begun = placed.frame(("begin",), rank)["begin"].to_numpy()
        own = spans.filter(pl.col("rank") == rank).select("stretch", "begin", "finish")
        inside = [np.flatnonzero((begun >= begin) & (begun < finish)) for _, begin, finish in own.iter_rows()]
        work = placed.launched(_OPERATION, rank, at=np.concatenate([np.zeros(0, dtype=np.int64), *inside]))
        return work.with_columns(pl.Series("stretch", np.repeat(own["stretch"].to_numpy(), [len(at) for at in inside])))

    operations = pl.concat(placed.each(of_rank))
    threads = (
        operations.select("stretch", "thread", "rank", "process", "launch_start", "launch_end")
        .drop_nulls("thread")
        .group_by("stretch", "thread")
        .agg(pl.first("rank", "process"), first=pl.min("launch_start"), final=pl.max("launch_end"))
    )
    calls = _near(shifted(placed.trace.waiting_calls.frame(), placed.placement.shift), threads)
    calls = calls.with_columns(pl.col("name").cast(pl.String))
    waits = calls.filter(pl.col("thread").is_in(threads["thread"].implode())).join(threads.drop("process"), on="thread")
    # A process of several ranks does not tell of which one its other threads are.
    processes = threads.group_by("stretch", "process")
    alone = processes.agg(pl.first("rank"), pl.min("first"), pl.max("final"), ranks=pl.col("rank").n_unique())
    others = calls.filter(~pl.col("thread").is_in(threads["thread"].implode()))
    beside = others.join(alone.filter(pl.col("ranks") == 1), on="process")
    within = (pl.col("start") >= pl.col("first")) & (pl.col("start") < pl.col("final"))
    told = ("stretch", "rank", "thread", "start", "end", "name", "correlation")
    return (
        operations,
        waits.filter(within).select(told),
        beside.filter(within).select(told),
        _orders(placed, operations),
        _os_calls(placed, threads),
    )


def _os_calls(placed: PlacedTrace, threads: pl.DataFrame) -> pl.DataFrame:
    """os_calls (see Activity) between the first and the last launch of each of the threads in its stretch."""
    shift = placed.placement.shift
    begin, end = threads.select(pl.min("first").fill_null(0), pl.max("final").fill_null(0)).row(0)
    found = placed.trace.os_calls(threads["thread"].to_list(), shift.back(begin), shift.back(end))
    found = shifted(found, shift).with_columns(pl.col("name").cast(pl.String))
    found = found.join(threads.select("stretch", "rank", "thread", "first", "final"), on="thread")
    return found.filter((pl.col("start") >= pl.col("first")) & (pl.col("start") < pl.col("final"))).select(
        "stretch", "rank", "thread", "start", "end", "name", "waits"
    )


def _near(calls: pl.DataFrame, threads: pl.DataFrame) -> pl.DataFrame:
    """Those of the calls of a trace, of which there may be millions, that begin while a stretch is launched."""
    spans = threads.group_by("stretch").agg(pl.min("first"), pl.max("final")).drop_nulls()
    start = calls["start"].to_numpy()
    near = in_any(start, start + 1, (spans["first"].to_numpy(), spans["final"].to_numpy()))
    return calls.filter(pl.Series(near))


def _orders(placed: PlacedTrace, operations: pl.DataFrame) -> pl.DataFrame:
    """orders (see Activity) of calls between the first and the last launch of each rank's stretch."""
    spans = operations.group_by("stretch", "rank", "process").agg(
        first=pl.min("correlation"), final=pl.max("correlation")
    )
    given = spans.group_by("stretch").agg(pl.min("first"), pl.max("final")).drop_nulls().sort("stretch")
    read = list(given.select("first", "final").iter_rows())
    waits, records = placed.trace.synchronizations(read), placed.trace.event_records(read)
    told = ["process", "event"] if records["record"].null_count() else ["process", "event", "record"]
    known = records.select(*told, at="correlation", on_context="context", on_stream="stream").sort("at")
    asked = waits.filter(pl.col("event").is_not_null()).sort("correlation")
    found = asked.join_asof(
        known, left_on="correlation", right_on="at", by=told, strategy="backward", check_sortedness=False
    )
    # What was recorded before the stretch began is before all of it.
    found = found.drop_nulls("at") if known.is_empty() else found.with_columns(pl.col("at").fill_null(_BEFORE))
    whole = waits.filter(pl.col("event").is_null()).with_columns(
        at=pl.col("correlation"), on_context=pl.col("context"), on_stream=pl.col("stream")
    )
    columns = ("process", "correlation", "context", "stream", "at", "on_context", "on_stream")
    orders = pl.concat([found.select(columns), whole.select(columns)])
    orders = orders.join(spans, on="process").filter(
        (pl.col("correlation") >= pl.col("first")) & (pl.col("correlation") <= pl.col("final"))
    )
    return orders.select("stretch", "rank", "correlation", "context", "stream", "at", "on_context", "on_stream")


def _chosen(run: Run, most: int) -> tuple[pl.DataFrame, bool]:
    """The steps of the stretches, as Activity has them, with finish; and whether they are all."""
    windows = run.windows.select("step", "rank", "begin", "finish", "population", steady=pl.col("excluded").is_null())
    by_step = windows.group_by("step").agg(
        pl.all("steady"),
        pl.first("population"),
        ranks=pl.len(),
        period=(pl.col("finish") - pl.col("begin")).median(),
    )
    by_step = by_step.sort("step")
    kinds = by_step["population"].to_list()
    full = by_step["ranks"].to_numpy() == by_step["ranks"].max()
    numbers, steady = by_step["step"].to_list(), (by_step["steady"].to_numpy() & full).tolist()
    if not any(steady):
        return _frame(windows, [], []), True
    first = steady.index(True)
    last = len(steady) - 1 - steady[::-1].index(True)
    begin, end = max(0, first - LEAD_IN), min(len(numbers), last + 2)
    sizes = run.tally.by_step.group_by("step").agg(pl.sum("operations"))
    each = float(sizes.filter(pl.col("step").is_in(numbers[begin:end]))["operations"].mean() or 1)  # type: ignore[arg-type]
    possible = max(1, int(most / each))
    if end - begin <= possible:
        stretches = [(begin, end)]
    else:
        inside = slice(begin, end)
        steps = Steps(steady[inside], kinds[inside], by_step["period"].to_list()[inside])
        found = stretches_of(steps, max(1, int(min(most, OF_STRETCHES) / each)), possible)
        stretches = [(begin + at, begin + after) for at, after in found]
    counted = [
        [at for at in range(b, e - 1) if steady[at] and (at - b >= LEAD_IN or (b == 0 and e - b <= LEAD_IN + 2))]
        or [at for at in range(b, e - 1) if steady[at]]
        for b, e in stretches
    ]
    # A kind of steps that has no other is told by those in which hosts and GPUs may not have come to their pace.
    told = {kinds[at] for own in counted for at in own}
    counted = [
        sorted({*own, *(at for at in range(b, e - 1) if steady[at] and kinds[at] not in told)})
        for own, (b, e) in zip(counted, stretches, strict=True)
    ]
    frame = _frame(
        windows,
        [[numbers[at] for at in range(b, e)] for b, e in stretches],
        [[numbers[at] for at in own] for own in counted],
    )
    return frame, len(stretches) == 1 and end - begin <= possible


def _frame(windows: pl.DataFrame, stretches: list[list[int]], counted: list[list[int]]) -> pl.DataFrame:
    rows = [
        (number, step, step in own)
        for number, (steps, own) in enumerate(zip(stretches, (set(c) for c in counted), strict=True))
        for step in steps
    ]
    schema = {"stretch": pl.Int64, "step": pl.Int64, "counted": pl.Boolean}
    chosen = pl.DataFrame(rows, schema=schema, orient="row")
    return chosen.join(windows.drop("steady"), on="step").sort("stretch", "rank", "begin")
