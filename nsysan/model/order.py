"""Operations in the order in which they begin to count."""

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
