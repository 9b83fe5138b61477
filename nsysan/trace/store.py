"""What every kind of export gives: the names of its tables and columns, and their rows as polars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.trace.where import Where


class Store(Protocol):
    """An export on disk that is never written to."""

    @property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        """Each table with its columns in file order."""

    def read(self, table: str, columns: Mapping[str, pl.DataType], where: Sequence[Where] = ()) -> pl.DataFrame:
        """The named columns of a table, all null where the file lacks the column, no rows where it lacks the table.

        Rows come in file order. Conditions on columns that the file lacks are left out. A column asked for as Int32
        comes as Int64 where a number does not fit.
        """

    def count(self, table: str) -> int:
        """Number of rows of a table."""

    def damaged(self, what: str) -> NsysanError:
        """The error for content that cannot be what nsys wrote."""

    def close(self) -> None:
        """Let go of the file; the frames already read stay valid."""


def damaged(path: Path, what: str, kind: str) -> NsysanError:
    """The error for a file whose content cannot be what nsys wrote; kind: as `nsys export --type` names it."""
    return NsysanError(
        f"{path}: the file is damaged or cut off ({what}); copy it again, or export it again with "
        f"`nsys export --type {kind}`",
        ExitCode.DAMAGED,
    )


def is_number(dtype: pl.DataType) -> bool:
    """Whether a column is asked for as whole numbers."""
    return dtype in (pl.Int64(), pl.Int32())


def decoded(data: pl.Series) -> pl.Series:
    """Bytes as text; what is not UTF-8 with a sign in its place."""
    try:
        return data.cast(pl.String)
    except pl.exceptions.PolarsError:
        return data.map_elements(lambda raw: raw.decode("utf-8", "replace"), return_dtype=pl.String)


def completed(frame: pl.DataFrame, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The frame with null columns for what the file lacks, in the order asked for."""
    if frame.columns == list(columns):
        return frame
    missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in columns.items() if name not in frame.columns]
    return frame.with_columns(missing).select(list(columns))
