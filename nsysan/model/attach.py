"""Columns for some rows of a large frame, put in place by number, which takes no table of hashes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl


def attach(frame: pl.DataFrame, told: pl.DataFrame, on: str = "row") -> pl.DataFrame:
    """`frame` with the other columns of `told`, null where no row of it has the number; a left join in order.

    on: a column of small numbers from 0 up, unique in `told`, and without nulls in both.
    """
    size = 1 + max((int(part[on].max() or 0) for part in (frame, told)), default=0)  # type: ignore[arg-type]
    place = np.full(size, -1, dtype=np.int64)
    place[told[on].to_numpy()] = np.arange(len(told))
    return beside(frame, told.drop(on), place[frame[on].to_numpy()])


def beside(frame: pl.DataFrame, told: pl.DataFrame, index: npt.NDArray[np.int64]) -> pl.DataFrame:
    """`frame` with the columns of `told`, in each row those of the row that `index` says; null where it is negative."""
    rows = pl.select(index=pl.Series(index)).select(pl.when(pl.col("index") >= 0).then("index")).to_series()
    return frame.with_columns(told.select(pl.all().gather(rows)).get_columns())
