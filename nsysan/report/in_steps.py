"""What the timelines of many steps show, asked of each trace once: operations in the steps' windows, NVTX ranges."""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.columns.intervals import I64
from nsysan.columns.times import shifted
from nsysan.report.operation_facts import with_facts
from nsysan.run.placed import PlacedTrace

_OPERATION = (
    "rank",
    "context",
    "stream",
    "cls",
    "name",
    "begin",
    "end",
    "last",
    "launch_start",
    "launch_end",
    "launch",
    "start",
    "demangled",
    "bytes",
    "message_bytes",
)


def operations_of(placed: PlacedTrace, steps: list[int]) -> pl.DataFrame:
    """Those columns of the operations in the windows of these steps that a timeline shows, and the step.

    An operation that reaches over the end of a window is in the next one as well.
    """
    _ = placed.host_clocks
    own = placed.windows.filter(pl.col("step").is_in(steps)).sort("begin")

    def of_rank(rank: int) -> pl.DataFrame:
        windows = own.filter(pl.col("rank") == rank)
        times = placed.frame(("begin", "end"), rank)
        rows, which = _meeting(
            (times["begin"].to_numpy(), times["end"].to_numpy()),
            (windows["begin"].to_numpy(), windows["finish"].to_numpy()),
        )
        work = placed.clocked(_OPERATION, rank, rows)
        return work.with_columns(windows["step"].gather(which).alias("step"))

    return with_facts(placed, pl.concat(placed.each(of_rank)))


def _meeting(times: tuple[I64, I64], windows: tuple[I64, I64]) -> tuple[I64, I64]:
    """Rows of times, and of the windows that they share time with, a pair each; windows: ascending, apart."""
    begins, ends = times
    first = np.searchsorted(windows[1], begins, side="right")
    count = np.maximum(np.searchsorted(windows[0], ends, side="left") - first, 0)
    rows = np.repeat(np.arange(len(begins)), count)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    return rows, first[rows] + nth


def ranges_of(placed: PlacedTrace, spans: pl.DataFrame) -> pl.DataFrame:
    """step, rank, start, end, name of the NVTX ranges of the ranks' processes; spans: step, begin, finish."""
    owners = pl.DataFrame(
        [(rank.process, rank.rank) for rank in placed.placement.ranks],
        schema={"process": pl.Int64, "rank": pl.Int64},
        orient="row",
    )
    ranges = placed.trace.ranges.select("start", "end", "process", "name").join(owners, on="process")
    ranges = shifted(ranges, placed.placement.shift).select("rank", "start", "end", "name").sort("start")
    starts, ends = ranges["start"].to_numpy(), ranges["end"].to_numpy()
    latest = np.maximum.accumulate(ends)
    steps, rows = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for step, begin, finish in spans.select("step", "begin", "finish").iter_rows():
        # Before the first none reaches the span, though some may do later that began earlier.
        first, last = np.searchsorted(latest, begin, side="right"), np.searchsorted(starts, finish, side="left")
        inside = first + np.flatnonzero(ends[first:last] > begin)
        rows.append(inside)
        steps.append(np.full(len(inside), step))
    found = ranges.select(pl.all().gather(pl.Series(np.concatenate(rows))))
    return found.with_columns(step=pl.Series(np.concatenate(steps)))
