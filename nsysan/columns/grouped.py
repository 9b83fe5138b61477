"""Sums over rows with the same keys, by the numbers that stand for these: polars looks each row up by its keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import codes

_I64 = npt.NDArray[np.int64]
_EXACT = 1 << 53


def sums(number: npt.NDArray[np.integer[Any]], values: _I64, count: int) -> _I64:
    """The sum of the values that have each number below `count`."""
    # In floating point, which is several times as fast, whole numbers are exact as long as none exceeds this.
    if values.min(initial=0) >= 0 and values.sum() < _EXACT:
        return np.bincount(number, values, count).astype(np.int64)
    found = np.zeros(count, dtype=np.int64)
    np.add.at(found, number, values)
    return found


def summed(keys: pl.DataFrame, values: Mapping[str, npt.NDArray[np.bool_] | _I64]) -> pl.DataFrame:
    """The distinct rows of the keys, which are numbers or categories, with the sum of each value over their rows.

    Of what is true or false the sum is how many rows it is true of.
    """
    number, distinct = codes(keys.get_columns())

    def of(one: npt.NDArray[np.bool_] | _I64) -> _I64:
        if one.dtype == np.bool_:
            return np.bincount(number[one], minlength=len(distinct))
        return sums(number, one.astype(np.int64, copy=False), len(distinct))

    return distinct.hstack([pl.Series(name, of(one), dtype=pl.Int64) for name, one in values.items()])
