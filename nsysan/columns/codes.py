"""Columns of few distinct values, and numbers that stand for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.rows import filled, taken

_I64 = npt.NDArray[np.int64]
_Codes = npt.NDArray[Any]
#: Up to this many possible numbers have a place each in a table; more are looked for.
_TABLE = 1 << 22
_AT_ONCE = 1 << 16
_NULL = -(1 << 62) - 1
_WHOLE = (1 << 63) - 1


def codes(columns: Sequence[pl.Series]) -> tuple[_Codes, pl.DataFrame]:
    """For each row the number of its distinct row, in as few bytes as it takes, and the distinct rows themselves.

    columns: of equal length, at least one; numbers or categories.
    """
    places = [_Places(column) for column in columns]
    rows = len(columns[0])
    held: list[_Places | _Numbered] = []
    for place in places:
        # Of what many columns could be together little is there: those so far are one, of fewer values.
        if len(held) > 1 and _size(held) * place.count > _TABLE:
            number, first = _from_table(held, rows)
            held = [_Numbered(number, len(first))]
        held.append(place)
        if _size(held) > _TABLE:
            break
    number, first = _from_table(held, rows) if _size(held) <= _TABLE else _from_search(places, rows)
    at = pl.Series(first)
    return number, pl.DataFrame([taken(column, at) for column in columns])


def coded(frame: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
    """The same of a frame, whose columns may be texts too: by numbers few rows are told apart sooner than by texts."""
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    if not texts:
        number, distinct = codes(frame.get_columns())
        return pl.Series("code", number), distinct
    number, distinct = codes(frame.with_columns(pl.col(texts).cast(pl.Categorical)).get_columns())
    return pl.Series("code", number), distinct.with_columns(pl.col(texts).cast(pl.String))


def as_they_come(codes: _Codes, count: int) -> _I64:
    """The codes below `count` in the order in which they first come, then those that do not: that of categories is
    another each time.
    """
    first = np.full(count, len(codes))
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return np.argsort(first, kind="stable")


def occurrences(codes: _Codes) -> _I64:
    """For each row how many rows before it have the same code."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(order)])
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    return found


def _size(places: Sequence[_Places | _Numbered]) -> int:
    return prod(place.count for place in places)


def _from_table(places: Sequence[_Places | _Numbered], rows: int) -> tuple[_Codes, _I64]:
    """Codes, and a row that has each: every combination has a place in a table."""
    size = _size(places)
    key, row = np.empty(rows, dtype=np.uint32), np.full(size, -1, dtype=np.int64)
    # A part at a time stays in a processor's cache, and is indexed by whole words.
    parts = [slice(first, min(first + _AT_ONCE, rows)) for first in range(0, rows, _AT_ONCE)]
    for part in parts:
        own = _combined([(place.of(part.start, part.stop - part.start), place.count) for place in places])
        key[part] = own
        row[own] = np.arange(part.start, part.stop)
    used = np.flatnonzero(row >= 0)
    number = np.zeros(size, dtype=_code_type(len(used)))
    number[used] = np.arange(len(used))
    found = np.empty(rows, dtype=number.dtype)
    for part in parts:
        found[part] = number.take(key[part])
    return found, row[used]


def _from_search(places: Sequence[_Places], rows: int) -> tuple[_Codes, _I64]:
    """The same of combinations that are too many for a table."""
    key, count = np.zeros(rows, dtype=np.int64), 1
    for place in places:
        if count * place.count > _WHOLE:
            # Numbered anew, so that the product fits.
            distinct, key = np.unique(key, return_inverse=True)
            count = len(distinct)
        key, count = _combined([(key, count), (place.of(0, rows), place.count)]), count * place.count
    _, first, key = np.unique(key, return_index=True, return_inverse=True)
    return key.astype(_code_type(len(first))), first


def _combined(parts: Sequence[tuple[_I64, int]]) -> _I64:
    key = parts[0][0]
    for number, count in parts[1:]:
        key = key * count + number if count > 1 else key
    return key


def _code_type(count: int) -> type[np.uint16] | type[np.uint32]:
    return np.uint16 if count <= 1 << 16 else np.uint32


def looked_up(ids: pl.Series, known: pl.Series, values: pl.Series) -> pl.Series:
    """For each id the value of the known one that it is, null where it is none; known: distinct, without nulls."""
    return taken(values.extend_constant(None, 1), pl.Series(_positions(ids, known)))


def numbered(values: pl.Series, numbers: Mapping[str, int]) -> npt.NDArray[np.int8]:
    """The number (-1 to 127) of each text or category, -1 for one that has none."""
    if values.dtype != pl.Categorical:
        values = values.cast(pl.Categorical)
    which, distinct = codes([values])
    number = np.array([numbers.get(text, -1) for text in distinct.to_series().to_list()], dtype=np.int8)
    return number.take(which)


def _positions(ids: pl.Series, known: pl.Series) -> npt.NDArray[np.uint32]:
    """Where in `known` each id is, and behind its end for one that is not there."""
    keys = known.cast(pl.Int64).to_numpy()
    least, most = int(keys.min(initial=0)), int(keys.max(initial=-1))
    small = least >= 0 and most < _TABLE
    # What lies outside is at the end of the table, from either side.
    table = np.full(most + 2 if small else 0, len(keys), dtype=np.uint32)
    order = np.argsort(keys)
    if small:
        table[keys] = np.arange(len(keys))
    found = np.empty(len(ids), dtype=np.uint32)
    for first in range(0, len(ids), _AT_ONCE):
        wanted = _numbers(ids.slice(first, _AT_ONCE))
        if small:
            found[first : first + _AT_ONCE] = table[np.clip(wanted, -1, most + 1)]
        else:
            nearest = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
            found[first : first + _AT_ONCE] = np.where(keys[nearest] == wanted, nearest, len(keys))
    return found


def _numbers(column: pl.Series) -> _I64:
    numbers = column.to_physical() if column.dtype == pl.Categorical else column
    return filled(numbers.cast(pl.Int64), _NULL).to_numpy()


class _Numbered:
    """Numbers below `count`."""

    def __init__(self, numbers: _Codes, count: int) -> None:
        self._numbers, self.count = numbers, count

    def of(self, first: int, rows: int) -> _I64:
        """The numbers of some rows."""
        return self._numbers[first : first + rows].astype(np.int64)


class _Places:
    """A number from 0 up, below `count`, for each value of a column, the same for equal ones."""

    def __init__(self, column: pl.Series) -> None:
        self._column = column.to_physical() if column.dtype == pl.Categorical else column
        # As they lie in memory, where none is null.
        self._values = None if self._column.null_count() else self._column.to_numpy()
        least, most = self._ends()
        self._least = least if isinstance(least, int) else 0
        self._distinct: _I64 | None = None
        if not isinstance(least, int) or not isinstance(most, int) or (least == most and self._values is not None):
            self.count = 1
        elif most - least < 1 << 16:
            self.count = most - least + 2  # the last is that of null
        else:
            self._distinct = np.sort(_numbers(self._column.unique()))
            self.count = len(self._distinct)

    def _ends(self) -> tuple[object, object]:
        """The least value and the largest, sooner told by what lies in memory than by a query."""
        if self._values is not None and len(self._values) and self._values.dtype.kind in "iu":
            return int(self._values.min()), int(self._values.max())
        return self._column.min(), self._column.max()

    def of(self, first: int, rows: int) -> _I64:
        """The numbers of some rows."""
        if self.count == 1:
            return np.zeros(rows, dtype=np.int64)
        column = self._column.slice(first, rows)
        if self._distinct is not None:
            return np.searchsorted(self._distinct, _numbers(column))
        if self._values is not None:
            return np.asarray(np.subtract(self._values[first : first + rows], self._least, dtype=np.int64))
        return filled(column.cast(pl.Int64) - self._least, self.count - 1).to_numpy()
