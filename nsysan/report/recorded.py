"""What traces recorded in the windows of steps, asked of each once: the operations of each rank, as they follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nsysan.columns.codes import codes
from nsysan.columns.intervals import I64
from nsysan.columns.rows import filled
from nsysan.report.in_steps import Axes, WorkInSteps, spread
from nsysan.report.kernel_shapes import shapes_of
from nsysan.report.step_slices import KIND
from nsysan.run.placed import PlacedTrace

_OPERATION = (
    "description",
    "queue",
    "caller",
    "start",
    "begin",
    "end",
    "last",
    "launch_start",
    "launch_end",
    "bytes",
    "message_bytes",
)


@dataclass(frozen=True)
class Track:
    """What a trace recorded of a rank in the windows of steps.

    rows: begin, end, launch_start, launch_end (ns of the run's clock, the latter null where no launch call is recorded)
    and kind (row of kinds) of operations in order of start, each once. windows: step, begin, finish, and first, count:
    the rows among which those are that share time with it. matched: at (row of rows), row (through the run), last (last
    arrival) of matched calls. kinds: cls, name and FACTS, context, thread and launch (that makes the launch call, and
    its name), launched (whether there is one).
    """

    rank: int
    rows: pl.DataFrame
    windows: pl.DataFrame
    matched: pl.DataFrame
    kinds: pl.DataFrame

    def meeting(self, step: int) -> I64:
        """The rows of operations that share time with the window of a step."""
        found = [np.zeros(0, dtype=np.int64)]
        for begin, finish, first, count in (
            self.windows.filter(step=step).select("begin", "finish", "first", "count").iter_rows()
        ):
            begins, ends = (self.rows[name].slice(first, count).to_numpy() for name in ("begin", "end"))
            found.append(first + np.flatnonzero((ends > begin) & (begins < finish)))
        return np.concatenate(found)


#: Operations of a rank, and windows and matched as in Track.
_Found = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


@dataclass(frozen=True)
class _Tables:
    """What the numbers of operations are rows of; the last of queues and callers is for what is not recorded."""

    descriptions: pl.DataFrame
    queues: pl.DataFrame
    callers: pl.DataFrame
    shapes: pl.DataFrame


def recorded_of(placed: PlacedTrace, axes: Axes) -> list[Track]:
    """The tracks of a trace's ranks in the windows of these steps."""
    own = placed.windows.filter(pl.col("step").is_in(axes.steps)).sort("begin")

    def of_rank(rank: int) -> _Found:
        windows = own.filter(pl.col("rank") == rank).select("step", "begin", "finish")
        start, end = (column.to_numpy() for column in placed.frame(("start", "end"), rank))
        first, count, at = _rows_of(start, end, (windows["begin"].to_numpy(), windows["finish"].to_numpy()))
        names = (*_OPERATION, *(("shape",) if placed.operations.shapes is not None else ()))
        work = placed.launched(names, rank, at)
        matched = np.flatnonzero(work["last"].is_not_null().to_numpy())
        told = placed.frame(("row",), rank, at=at[matched]).with_columns(
            at=pl.Series(matched), last=work["last"].gather(pl.Series(matched))
        )
        return work, windows.with_columns(first=pl.Series(first), count=pl.Series(count)), told

    found = placed.each(of_rank)
    shape, shapes = _shapes(placed, found)
    tables = placed.operations
    queues, callers = (
        pl.DataFrame([table[name].extend_constant(None, 1) for name in names])
        for table, names in ((tables.queues, ("context", "stream")), (tables.callers, ("thread", "launch")))
    )
    known = _Tables(tables.descriptions, queues, callers, shapes)
    return [_track(rank, work, own, known) for rank, work, own in zip(placed.ranks, found, shape, strict=True)]


def _rows_of(start: I64, end: I64, windows: tuple[I64, I64]) -> tuple[I64, I64, I64]:
    """The rows that windows need, and for each window its first row of those, and how many it has of them.

    start, end: of operations, by start; windows: begins and ends, ascending, apart.
    """
    # Those of a window lie between the first that ends in it and the last that starts before its end.
    until = int(np.searchsorted(start, windows[1].max(initial=0)))
    first = np.searchsorted(np.maximum.accumulate(end[:until]), windows[0], side="right")
    last = np.maximum(np.searchsorted(start[:until], windows[1]), first)
    # Windows that share rows, or follow one another, have one run of them.
    reach = np.maximum.accumulate(last)
    fresh = np.flatnonzero(np.append(True, first[1:] > reach[:-1])[: len(first)])
    begins = first[fresh]
    lengths = np.append(reach[fresh[1:] - 1], reach[-1:]) - begins
    _, at = spread(begins, lengths)
    run = np.repeat(np.arange(len(fresh)), np.diff(fresh, append=len(first)))
    place = first - begins[run] + (np.cumsum(lengths) - lengths)[run]
    return place, last - first, at


def _shapes(placed: PlacedTrace, found: Sequence[_Found]) -> tuple[list[pl.Series], pl.DataFrame]:
    """Of the operations of each rank the row of a table of grid and block, and that."""
    tables = placed.operations
    if tables.shapes is not None:
        return [work["shape"] for work, *_ in found], tables.shapes
    streams = tables.queues["stream"].extend_constant(None, 1)
    parts = [
        work.select("start", "end").with_columns(
            streams.gather(work["queue"].fill_null(len(streams) - 1).cast(pl.UInt32)).alias("stream"),
            rank=pl.lit(rank, dtype=pl.Int64),
            step=pl.Series(np.searchsorted(windows["finish"].to_numpy(), work["start"].to_numpy(), side="right")),
        )
        for rank, (work, windows, _) in zip(placed.ranks, found, strict=True)
    ]
    shape, shapes = shapes_of(placed, pl.concat(parts))
    ends = np.cumsum([len(part) for part in parts])
    return [shape.slice(end - len(part), len(part)) for end, part in zip(ends, parts, strict=True)], shapes


def _track(rank: int, found: _Found, shape: pl.Series, tables: _Tables) -> Track:
    work, windows, matched = found
    called = work["launch_start"]
    caller = filled(work["caller"].cast(pl.Int64), len(tables.callers) - 1)
    if called.null_count():
        caller = pl.Series(np.where(called.is_null().to_numpy(), -1, caller.to_numpy()))
    size = work["bytes"]
    if work["message_bytes"].null_count() < len(work):
        size = work.select(pl.coalesce("message_bytes", "bytes").cast(pl.Int64)).to_series()
    queue = filled(work["queue"].cast(pl.Int64), len(tables.queues) - 1)
    columns = {"description": work["description"], "queue": queue, "size": size, "shape": shape, "caller": caller}
    number, distinct = codes([column.alias(name) for name, column in columns.items()])
    kinds = pl.DataFrame(
        [
            *(tables.descriptions[name].gather(distinct["description"]) for name in ("cls", "name", "demangled")),
            *(column.gather(distinct["queue"]) for column in tables.queues),
            distinct["size"].alias("bytes"),
            *(column.gather(distinct["shape"]) for column in tables.shapes),
            *(column.gather(distinct["caller"].clip(0)) for column in tables.callers),
            (distinct["caller"] >= 0).alias("launched"),
        ]
    )
    rows = pl.DataFrame(
        [*(work[name] for name in ("begin", "end", "launch_start", "launch_end")), pl.Series("kind", number)]
    )
    return Track(rank, rows, windows, matched, kinds)


def work_of(tracks: Sequence[Track], axes: Axes) -> WorkInSteps:
    """The operations of these steps; tracks: of all traces."""
    kinds = pl.concat([track.kinds for track in tracks])
    before = np.cumsum([0, *(len(track.kinds) for track in tracks)])
    parts = []
    for track, first in zip(tracks, before[:-1].tolist(), strict=True):
        last = np.full(len(track.rows), _NONE)
        last[track.matched["at"].to_numpy()] = track.matched["last"].to_numpy()
        rows = track.rows.with_columns(pl.col("kind").cast(pl.Int64) + first, last=pl.Series(last).replace(_NONE, None))
        for step in axes.steps:
            at = track.meeting(step)
            group = pl.lit(int(axes.group(np.array([step]), track.rank)[0]), pl.Int64).alias("group")
            parts.append(rows.select(pl.all().gather(pl.Series(at)), group))
    queue, distinct = codes([kinds["context"], kinds["stream"]])
    work = pl.concat(parts)
    kind = work["kind"]
    rows = work.select(
        "group",
        "begin",
        "end",
        "last",
        "launch_start",
        "launch_end",
        "kind",
        queue=pl.Series(queue).cast(pl.UInt32).gather(kind),
        caller="kind",
    )
    return WorkInSteps(rows, kinds.select("cls", *KIND), distinct, kinds.select("launch"))


#: No time, as an operation that no other waits for has no last arrival.
_NONE = -(1 << 63)
