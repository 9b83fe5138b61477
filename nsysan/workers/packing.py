"""Values as few bytes, for their way between machines: frames hold times and ids, which rise, and few texts."""

from __future__ import annotations

import io
import pickle
import zlib
from collections.abc import Callable

import numpy as np
import polars as pl

from nsysan.workers.numbers import I64, Coded, coded, decoded

_NUMBERS = (pl.Int64(), pl.Int32(), pl.Int16(), pl.Int8(), pl.UInt32(), pl.UInt16(), pl.UInt8(), pl.Boolean())
_TEXTS = (pl.String, pl.Categorical, pl.Enum)
#: How much time is taken for fewer bytes, of 9.
_EFFORT = 6
#: name, type, texts that the numbers stand for, which rows are not null (all, where None).
_Head = tuple[str, pl.DataType, list[str] | None, bytes | None]


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: object) -> tuple[Callable[..., object], tuple[object, ...]]:
        if not isinstance(value, pl.DataFrame):
            return NotImplemented  # type: ignore[no-any-return]
        return _frame, _parts(value)


def packed(value: object) -> bytes:
    """The value as bytes; everything in it has to be known to the reader by the same name."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return zlib.compress(buffer.getvalue(), _EFFORT)


def unpacked(message: bytes) -> object:
    """The value again."""
    return pickle.loads(zlib.decompress(message))


def _parts(frame: pl.DataFrame) -> tuple[list[_Head | pl.Series], list[Coded], int]:
    """The columns, those of numbers as what is left of them; how many rows."""
    heads: list[_Head | pl.Series] = []
    numbers: list[I64] = []
    for column in frame.get_columns():
        if frame.is_empty() or not (column.dtype in _NUMBERS or column.dtype in _TEXTS):
            heads.append(column)
            continue
        texts = column.drop_nulls().cast(pl.String).unique(maintain_order=True) if column.dtype in _TEXTS else None
        codes = column if texts is None else column.cast(pl.String).cast(pl.Enum(texts)).to_physical()
        there = column.is_not_null().to_numpy() if column.null_count() else None
        heads.append(
            (
                column.name,
                column.dtype,
                None if texts is None else texts.to_list(),
                None if there is None else np.packbits(there).tobytes(),
            )
        )
        numbers.append(
            codes.cast(pl.Int64).fill_null(strategy="forward").fill_null(strategy="backward").fill_null(0).to_numpy()
        )
    return heads, coded(numbers), frame.height


def _frame(heads: list[_Head | pl.Series], parts: list[Coded], rows: int) -> pl.DataFrame:
    numbers = iter(decoded(parts, rows))
    return pl.DataFrame([head if isinstance(head, pl.Series) else _whole(*head, next(numbers)) for head in heads])


def _whole(name: str, dtype: pl.DataType, texts: list[str] | None, there: bytes | None, numbers: I64) -> pl.Series:
    column = pl.Series(name, numbers)
    if there is not None:
        known = np.unpackbits(np.frombuffer(there, dtype=np.uint8), count=len(numbers)).astype(np.bool_)
        column = pl.select(pl.when(pl.Series(known)).then(column)).to_series().rename(name)
    if texts is not None:
        column = pl.Series(texts, dtype=pl.String).gather(column).rename(name)
    return column.cast(dtype)
