"""Values as few bytes, for their way between machines: frames hold times and ids, which rise, and few texts."""

from __future__ import annotations

import io
import pickle
import zlib
from collections.abc import Callable

import polars as pl

#: Columns of whole numbers that are sent as the differences from row to row.
_NUMBERS = (pl.Int64(), pl.UInt32())
#: Texts are sent once each, unless more of them than this share differ.
_DIFFERENT = 0.5


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: object) -> tuple[Callable[..., object], tuple[object, ...]]:
        if not isinstance(value, pl.DataFrame):
            return NotImplemented  # type: ignore[no-any-return]
        return _frame, ([_short(column) for column in value.get_columns()], dict(value.schema))


def packed(value: object) -> bytes:
    """The value as bytes; everything in it has to be known to the reader by the same name."""
    buffer = io.BytesIO()
    _Pickler(buffer).dump(value)
    return zlib.compress(buffer.getvalue(), 1)


def unpacked(message: bytes) -> object:
    """The value again."""
    return pickle.loads(zlib.decompress(message))


def _short(column: pl.Series) -> pl.Series:
    if _is_delta(column.dtype) and not column.null_count():
        numbers = column.cast(pl.Int64)
        return numbers.diff().fill_null(numbers.head(1).item()) if len(column) else numbers
    if column.dtype == pl.String:
        texts = column.drop_nulls().unique().sort()
        if len(texts) <= _DIFFERENT * len(column):
            return column.cast(pl.Enum(texts))
    return column


def _frame(columns: list[pl.Series], schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame([_whole(column, schema[column.name]) for column in columns])


def _whole(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    rising = _is_delta(dtype) and not column.null_count()
    return (column.cum_sum() if rising else column).cast(dtype)


def _is_delta(dtype: pl.DataType) -> bool:
    return dtype in _NUMBERS
