"""Rows of large frames without a copy where none is needed."""

from __future__ import annotations

import polars as pl


def kept(frame: pl.DataFrame, *predicates: pl.Expr) -> pl.DataFrame:
    """The rows for which all predicates hold: the frame itself, where that is all of them."""
    if frame.is_empty():
        return frame
    mask = frame.select(kept=pl.all_horizontal(predicates).fill_null(False))["kept"]
    return frame if mask.all() else frame.filter(mask)
