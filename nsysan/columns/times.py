"""Times: the order of operations, the intervals in which times lie, and another clock for them."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Shift:
    """From one clock to another that runs faster by `drift` (ns a ns): `by` ns later at `origin`, of the one clock."""

    by: int = 0
    drift: float = 0.0
    origin: int = 0

    def of(self, name: str) -> pl.Expr:
        """A column of times on the other clock; what comes later comes later there too."""
        if not self.drift:
            return pl.col(name) + self.by
        grown = ((pl.col(name) - self.origin).cast(pl.Float64) * self.drift).round().cast(pl.Int64)
        return pl.col(name) + self.by + grown

    def back(self, time: int) -> int:
        """A time of the other clock on the one, to within a ns."""
        return self.origin + round((time - self.by - self.origin) / (1 + self.drift)) if self.drift else time - self.by

    def __bool__(self) -> bool:
        return bool(self.by or self.drift)


#: The same clock.
SAME = Shift()


def shifted(frame: pl.DataFrame, shift: Shift) -> pl.DataFrame:
    """The frame with every column that holds a time on the other clock."""
    if not shift:
        return frame
    return frame.with_columns(shift.of(name) for name in _TIMES if name in frame.columns)
