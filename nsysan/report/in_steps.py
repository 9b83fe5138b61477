"""What the timelines of many steps show, asked of each trace once: operations in the steps' windows, NVTX ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nsysan.columns.codes import codes
from nsysan.columns.intervals import I64
from nsysan.columns.times import shifted
from nsysan.report.kernel_shapes import shapes_of
from nsysan.report.step_slices import KIND
from nsysan.run.placed import PlacedTrace


@dataclass(frozen=True)
class Axes:
    """The steps and ranks that are asked for, ascending: each step of each rank is a group, numbered step by step."""

    steps: list[int]
    ranks: list[int]

    def group(self, steps: I64, rank: int) -> I64:
        """The groups of a rank's steps."""
        return np.searchsorted(self.steps, steps) * len(self.ranks) + self.ranks.index(rank)

    def groups(self, frame: pl.DataFrame) -> I64:
        """The groups of rows with step and rank."""
        step, rank = (frame[name].to_numpy() for name in ("step", "rank"))
        return np.searchsorted(self.steps, step) * len(self.ranks) + np.searchsorted(self.ranks, rank)

    def of(self, groups: I64) -> pl.DataFrame:
        """step and rank of groups."""
        steps, ranks = (np.asarray(numbers, dtype=np.int64) for numbers in (self.steps, self.ranks))
        return pl.DataFrame({"step": steps[groups // len(ranks)], "rank": ranks[groups % len(ranks)]})


@dataclass(frozen=True)
class WorkInSteps:
    """Operations in the windows of steps; one that reaches over the end of a window is in the next one as well.

    rows: group (see Axes), begin, end, last (last arrival at a matched collective, else null), launch_start,
    launch_end, and the rows of tables: kind, queue, caller. kinds: cls, name and FACTS; queues: context, stream;
    callers: launch, the name of the API call.
    """

    rows: pl.DataFrame
    kinds: pl.DataFrame
    queues: pl.DataFrame
    callers: pl.DataFrame


_TABLES = {"kind": "kinds", "queue": "queues", "caller": "callers"}
#: Of so many operations for each that there is it is tried whether they are in a window.
_TRIED = 2
_OPERATION = (
    "description",
    "queue",
    "caller",
    "begin",
    "end",
    "last",
    "launch_start",
    "launch_end",
    "bytes",
    "message_bytes",
)


def operations_of(placed: PlacedTrace, axes: Axes) -> WorkInSteps:
    """The operations in the windows of these steps of the trace's ranks."""
    _ = placed.host_clocks
    own = placed.windows.filter(pl.col("step").is_in(axes.steps)).sort("begin")

    def of_rank(rank: int) -> pl.DataFrame:
        windows = own.filter(pl.col("rank") == rank)
        start, begin, end = (column.to_numpy() for column in placed.frame(("start", "begin", "end"), rank))
        until = np.searchsorted(start, windows["finish"].to_numpy().max(initial=0))
        start, begin, end = start[:until], begin[:until], end[:until]
        rows, which = _meeting(start, begin, end, (windows["begin"].to_numpy(), windows["finish"].to_numpy()))
        group = axes.group(windows["step"].to_numpy(), rank)
        work = placed.clocked((*_OPERATION, "start" if placed.operations.shapes is None else "shape"), rank, rows)
        size = pl.coalesce("message_bytes", "bytes").cast(pl.Int64)
        return work.select(
            pl.exclude("message_bytes", "bytes"), size=size, group=pl.Series(group[which]).cast(pl.UInt32)
        )

    return _in_tables(placed, pl.concat(placed.each(of_rank)), axes)


def _in_tables(placed: PlacedTrace, work: pl.DataFrame, axes: Axes) -> WorkInSteps:
    tables = placed.operations
    queues, callers = (
        _with_none(table.select(names))
        for table, names in ((tables.queues, ("context", "stream")), (tables.callers, ("launch",)))
    )
    work = work.with_columns(
        pl.col("queue").fill_null(len(queues) - 1).cast(pl.UInt32),
        pl.col("caller").fill_null(len(callers) - 1).cast(pl.UInt32),
    )
    shapes = tables.shapes
    if shapes is None:
        told = queues["stream"].gather(work["queue"]), *axes.of(work["group"].to_numpy())
        shape, shapes = shapes_of(placed, work.select("start", "end", *told))
    else:
        shape = work["shape"]
    number, distinct = codes([work["description"], work["queue"], work["size"], shape.alias("shape")])
    kinds = pl.DataFrame(
        [
            *tables.descriptions.select(pl.col("cls", "name", "demangled").gather(distinct["description"])),
            queues["stream"].gather(distinct["queue"]),
            distinct["size"].alias("bytes"),
            *shapes.select(pl.all().gather(distinct["shape"])),
        ]
    )
    times = ("begin", "end", "last", "launch_start", "launch_end")
    rows = work.select("group", *times, "queue", "caller", kind=pl.Series(number).cast(pl.UInt32))
    return WorkInSteps(rows, kinds.select("cls", *KIND), queues, callers)


def _with_none(table: pl.DataFrame) -> pl.DataFrame:
    """With a last row for what is not recorded."""
    return pl.DataFrame([column.extend_constant(None, 1) for column in table])


def together(found: Sequence[WorkInSteps]) -> WorkInSteps:
    """What several traces answered, as of one."""
    if len(found) == 1:
        return found[0]
    tables = {table: [getattr(own, table) for own in found] for table in _TABLES.values()}
    before = {table: np.cumsum([0, *map(len, parts)]).tolist() for table, parts in tables.items()}
    rows = [
        own.rows.with_columns(
            (pl.col(number) + before[table][place]).cast(pl.UInt32) for number, table in _TABLES.items()
        )
        for place, own in enumerate(found)
    ]
    return WorkInSteps(pl.concat(rows), **{table: pl.concat(parts) for table, parts in tables.items()})


def _meeting(start: I64, begin: I64, end: I64, windows: tuple[I64, I64]) -> tuple[I64, I64]:
    """Rows of operations, and of the windows that they share time with, a pair each.

    start, begin, end: by start, which is no later than begin; windows: begins and ends, ascending, apart.
    """
    # Those of a window lie between the first that ends in it and the last that starts before its end.
    first = np.searchsorted(np.maximum.accumulate(end), windows[0], side="right")
    count = np.maximum(np.searchsorted(start, windows[1]) - first, 0)
    if count.sum() > _TRIED * len(start):
        # Something lasts for many windows.
        first = np.searchsorted(windows[1], begin, side="right")
        count = np.maximum(np.searchsorted(windows[0], end) - first, 0)
        return _spread(first, count)
    which, rows = _spread(first, count)
    inside = np.flatnonzero((end[rows] > windows[0][which]) & (begin[rows] < windows[1][which]))
    return rows[inside], which[inside]


def _spread(first: I64, count: I64) -> tuple[I64, I64]:
    """first, first + 1 ... of each row, `count` of them, and the rows before: number of the row, and the number."""
    rows = np.repeat(np.arange(len(count)), count)
    return rows, first[rows] + np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)


def ranges_of(placed: PlacedTrace, spans: pl.DataFrame) -> pl.DataFrame:
    """step, rank, start, end, name of the NVTX ranges of the ranks' processes; spans: step, begin, finish."""
    owners = pl.DataFrame(
        [(rank.process, rank.rank) for rank in placed.placement.ranks],
        schema={"process": pl.Int64, "rank": pl.Int64},
        orient="row",
    )
    ranges = shifted(placed.trace.ranges.select("start", "end", "process", "name"), placed.placement.shift)
    ranges = ranges.filter(pl.col("end") > spans["begin"].min(), pl.col("start") < spans["finish"].max())
    ranges = ranges.join(owners, on="process").select("rank", "start", "end", "name").sort("start")
    starts, ends = ranges["start"].to_numpy(), ranges["end"].to_numpy()
    latest = np.maximum.accumulate(ends)
    begins = spans["begin"].to_numpy()
    # Before the first none reaches the span, though some may do later that began earlier.
    first, last = np.searchsorted(latest, begins, side="right"), np.searchsorted(starts, spans["finish"].to_numpy())
    # A range that lasts for many steps makes these many: a step at a time.
    rows = [own + np.flatnonzero(ends[own:end] > at) for own, end, at in zip(first, last, begins, strict=True)]
    found = ranges.select(pl.all().gather(pl.Series(np.concatenate([first[:0], *rows]))))
    return found.with_columns(step=pl.Series(np.repeat(spans["step"].to_numpy(), [len(own) for own in rows])))
