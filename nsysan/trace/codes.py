"""Columns of few distinct values, and numbers that stand for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

_I64 = npt.NDArray[np.int64]
_Codes = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
#: Up to this many possible numbers have a place each in a table; more are looked for.
_TABLE = 1 << 22
_MOST = 1 << 62
_NULL = -(1 << 62) - 1


def codes(columns: Sequence[pl.Series]) -> tuple[_Codes, pl.DataFrame]:
    """For each row the number of its distinct row, in as few bytes as it takes, and the distinct rows themselves.

    columns: of equal length, at least one; numbers or categories.
    """
    key, size = np.zeros(len(columns[0]), dtype=np.int64), 1
    for column in columns:
        place, count = _places(column)
        if size * count > _MOST:
            key, size = _dense(key, size)[:2]
        key, size = (place, count) if size == 1 else (key * count + place, size * count)
    found, _, first = _dense(key, size)
    rows = pl.Series(first)
    return found.astype(np.uint16 if len(first) <= 1 << 16 else np.uint32), pl.DataFrame(
        [column.gather(rows) for column in columns]
    )


def looked_up(ids: pl.Series, known: pl.Series, values: pl.Series) -> pl.Series:
    """For each id the value of the known one that it is, null where it is none; known: distinct, without nulls."""
    wanted, keys = _numbers(ids), known.cast(pl.Int64).to_numpy()
    if not len(keys):
        return pl.repeat(None, len(ids), dtype=values.dtype, eager=True)
    least, most = int(keys.min()), int(keys.max())
    if least >= 0 and most < _TABLE:
        table = np.full(most + 2, len(keys), dtype=np.uint32)
        table[keys] = np.arange(len(keys))
        # What lies outside is at the end of the table, from either side.
        place = table[np.clip(wanted, -1, most + 1)]
    else:
        order = np.argsort(keys)
        nearest = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
        place = np.where(keys[nearest] == wanted, nearest, len(keys)).astype(np.uint32)
    return values.extend_constant(None, 1).gather(pl.Series(place))


def _numbers(column: pl.Series) -> _I64:
    numbers = column.to_physical() if column.dtype == pl.Categorical else column
    return numbers.cast(pl.Int64).fill_null(_NULL).to_numpy()


def _places(column: pl.Series) -> tuple[_I64, int]:
    """A number from 0 up for each value, equal for equal ones, and a number above all of them."""
    physical = column.to_physical() if column.dtype == pl.Categorical else column
    least, most = physical.min(), physical.max()
    if not isinstance(least, int) or not isinstance(most, int):
        return np.zeros(len(column), dtype=np.int64), 1
    if most - least < 1 << 16:
        shifted = (physical.cast(pl.Int64) - least).fill_null(most - least + 1)
        return shifted.to_numpy(), most - least + 2
    values = _numbers(column)
    distinct = np.sort(pl.Series(values).unique().to_numpy())
    return np.searchsorted(distinct, values), len(distinct)


def _dense(key: _I64, size: int) -> tuple[_I64, int, _I64]:
    """The keys (0 <= key < size) numbered without gaps, how many there are, and a row that has each."""
    if size <= _TABLE:
        row = np.full(size, -1, dtype=np.int64)
        row[key] = np.arange(len(key))
        used = np.flatnonzero(row >= 0)
        number = np.zeros(size, dtype=np.int64)
        number[used] = np.arange(len(used))
        return number[key], len(used), row[used]
    used, first, number = np.unique(key, return_index=True, return_inverse=True)
    return number, len(used), first
