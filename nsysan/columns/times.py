"""Times: the order of operations, the intervals in which times lie, and another clock for them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

_I64 = npt.NDArray[np.int64]
#: Columns that hold a time.
_TIMES = ("start", "end", "begin", "launch_start", "launch_end", "finish")


def by_begin(begins: _I64, ends: _I64, rows: npt.NDArray[np.uint32]) -> _I64 | None:
    """The order by begin, end and row; None where they are in it, as they mostly are."""
    same = begins[1:] == begins[:-1]
    same_end = same & (ends[1:] == ends[:-1])
    later = (begins[1:] > begins[:-1]) | same & (ends[1:] > ends[:-1]) | same_end & (rows[1:] > rows[:-1])
    return None if later.all() else np.lexsort((rows, ends, begins))


def by_time(begun: _I64, starts: _I64, ends: _I64) -> _I64:
    """For each time the number of the last interval begun by then, if it lies in it, else -1; starts: ascending."""
    window = np.searchsorted(starts, begun, side="right") - 1
    inside = (window >= 0) & (begun < ends[np.maximum(window, 0)])
    return np.where(inside, window, -1)


def in_any(begins: _I64, ends: _I64, spans: tuple[_I64, _I64]) -> npt.NDArray[np.bool_]:
    """Whether each interval shares time with some span; spans: begins and ends, in any order, overlapping at will."""
    order = np.argsort(spans[0], kind="stable")
    starts, latest = spans[0][order], np.maximum.accumulate(spans[1][order])
    # Of the spans that begin before an interval ends, whether any ends after it begins.
    before = np.searchsorted(starts, ends, side="left")
    found = before > 0
    found[found] = latest[before[found] - 1] > begins[found]
    return found


def shifted(frame: pl.DataFrame, offset: int) -> pl.DataFrame:
    """The frame with `offset` ns added to every column that holds a time."""
    if not offset:
        return frame
    return frame.with_columns(pl.col(name) + offset for name in _TIMES if name in frame.columns)
