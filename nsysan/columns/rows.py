"""Rows of large frames: those that are kept, and those that are pointed at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl


def none_if_negative(numbers: npt.NDArray[np.integer]) -> pl.Series:
    """The numbers, null where they are negative: what an index that finds nothing is gathered by."""
    column = pl.Series(numbers)
    return column.set(column < 0, None)


def taken(column: pl.Series, at: pl.Series) -> pl.Series:
    """The values in these rows, null where `at` is.

    As Series.gather, which makes a frame and a query of them: that takes longer than some thousand rows.
    """
    return column[at.cast(pl.UInt32)]


def filled(column: pl.Series, value: int) -> pl.Series:
    """The numbers, with this one in place of nulls: Series.fill_null makes a query of it, also where none is null."""
    return column.fill_null(value) if column.null_count() else column


def in_a_row(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | slice:
    """The rows, as a slice where each is the next after the one before: columns are then not copied."""
    if not len(rows) or rows[-1] - rows[0] + 1 != len(rows) or (rows[1:] - rows[:-1] != 1).any():
        return rows
    return slice(int(rows[0]), int(rows[-1]) + 1)


def repeated(value: int | None, count: int, dtype: pl.DataType) -> pl.Series:
    """A column of one value, as pl.repeat makes one by a query."""
    return pl.Series([value], dtype=dtype).new_from_index(0, count)


def kept(frame: pl.DataFrame, *predicates: pl.Expr) -> pl.DataFrame:
    """The rows for which all predicates hold: the frame itself, where that is all of them."""
    if frame.is_empty():
        return frame
    mask = frame.select(kept=pl.all_horizontal(predicates).fill_null(False))["kept"]
    return frame if mask.all() else frame.filter(mask)


def ordered(frame: pl.DataFrame, *by: str) -> pl.DataFrame:
    """The rows by some columns of numbers: the frame itself, where they are, as sorting copies all of its columns."""
    rises, same = (np.full(max(len(frame) - 1, 0), fill_value=first) for first in (False, True))
    for column in (frame[name].to_numpy() for name in by):
        rises |= same & (column[1:] > column[:-1])
        same &= column[1:] == column[:-1]
    return frame if rises.all() else frame.sort(by)


def parted(frame: pl.DataFrame, by: str) -> dict[int, pl.DataFrame]:
    """The rows of each number in a column, in their order; in one go, as there may be thousands of numbers."""
    parts = frame.partition_by(by, as_dict=True, maintain_order=True)
    return {int(str(number)): own for (number,), own in parts.items()}
