"""Columns that grow part by part, each part in as few bytes as it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import pyarrow as pa


class Chunks:
    """Rows of a table as pyarrow gives them, a part after the other, and the frame that they make.

    A column of type Int32 becomes Int64 if a number does not fit; one without any value takes no memory until then.
    """

    def __init__(self, types: Mapping[str, pl.DataType]) -> None:
        self._types = types
        self._parts: list[list[pa.Array]] = [[] for _ in types]
        self.rows = 0

    def add(self, columns: Sequence[pa.Array]) -> None:
        """Rows of all columns; numbers as int64."""
        self.rows += len(columns[0])
        for parts, column, dtype in zip(self._parts, columns, self._types.values(), strict=True):
            parts.append(_narrowed(column) if dtype == pl.Int32() else column)

    def extend(self, others: Chunks) -> None:
        """The rows of another, behind the own."""
        self.rows += others.rows
        for parts, more in zip(self._parts, others._parts, strict=True):
            parts.extend(more)

    def frame(self) -> pl.DataFrame:
        """All rows, which are no longer held here: a column is let go when the next is made."""
        found = []
        for name, dtype in self._types.items():
            found.append(_joined(name, self._parts.pop(0), dtype))
        return pl.DataFrame(found)


def fitted(values: pl.Series) -> pl.Series:
    """Whole numbers as Int32, or as Int64 where one does not fit."""
    least, most = values.min(), values.max()
    fits = not isinstance(least, int) or not isinstance(most, int) or (least >= -(1 << 31) and most < 1 << 31)
    return values.cast(pl.Int32 if fits else pl.Int64)


def _narrowed(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    if column.null_count == len(column):
        return pa.nulls(len(column))
    try:
        return column.cast(pa.int32())
    except pa.ArrowInvalid:
        return column


def _joined(name: str, parts: list[pa.Array], dtype: pl.DataType) -> pl.Series:
    import pyarrow as pa

    types = {part.type for part in parts}
    if not parts or types == {pa.null()}:
        return pl.repeat(None, sum(map(len, parts)), dtype=dtype, eager=True).alias(name)
    if dtype == pl.Int32():
        common = pa.int64() if pa.int64() in types else pa.int32()
        parts = [part if part.type == common else part.cast(common) for part in parts]
    return pl.Series(name, pa.chunked_array(parts)).rechunk()
