"""Times: the order of operations, and the intervals in which times lie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_I64 = npt.NDArray[np.int64]


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
