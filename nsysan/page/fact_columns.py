"""What the page tells of single operations, as numbers of the few different ones that there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.report.operation_facts import FACTS
from nsysan.text import plain

#: A name is cut at this: what a template of a kernel was made with stands at its begin.
_WIDTH = 600
#: In no real trace are there so many; what else there is is not told.
_MOST = 20_000


class Facts:
    """The different facts of all steps.

    table: for each its full name ("" where the name says it all), stream, bytes, grid and block; null where not told.
    """

    def __init__(self) -> None:
        self._number: dict[tuple[Any, ...], int] = {}

    @property
    def table(self) -> list[list[Any]]:
        """The facts by their numbers."""
        return [
            ["" if full is None else plain(full, _WIDTH), stream, size, grid, block]
            for full, stream, size, grid, block in self._number
        ]

    def columns(self, slices: pl.DataFrame, place: pl.Series) -> dict[str, npt.NDArray[np.int64]]:
        """fact: the number of each slice's facts, -1 where nothing is told.

        call: 0, or where a matched collective begins its number less that of the one before on the lane (or -1);
        slices: those of all steps (`number`) in order of their lanes, of which `place` is the number, and begins.
        """
        if not set(FACTS) <= set(slices.columns):
            none = np.zeros(len(slices), dtype=np.int64)
            return {"fact": none - 1, "call": none}
        told = slices.select("demangled", "stream", "bytes", "grid", "block")
        # By the numbers of the categories, as there are many rows.
        coded = told.select(pl.all().to_physical())
        first = coded.with_row_index("row").unique(coded.columns, keep="first", maintain_order=True)
        kinds = told.select(pl.all().gather(first["row"])).with_columns(
            pl.col("demangled", "grid", "block").cast(pl.String), name=slices["name"].gather(first["row"])
        )
        full = pl.when(pl.col("demangled") != pl.col("name")).then("demangled")
        rows = kinds.select(full, "stream", "bytes", "grid", "block").iter_rows()
        numbers = pl.Series([self._numbered(row) for row in rows], dtype=pl.Int64)
        found = coded.join(
            first.drop("row").with_columns(fact=numbers),
            on=coded.columns,
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
        calls = slices.select("number", place, "call").drop_nulls("call")
        on = (pl.col("call") - pl.col("call").shift(1).over("number", "place").fill_null(-1)).alias("on")
        call = np.zeros(len(slices), dtype=np.int64)
        call[slices["call"].is_not_null().to_numpy()] = calls.select(on)["on"].to_numpy()
        return {"fact": found["fact"].to_numpy(), "call": call}

    def _numbered(self, row: tuple[Any, ...]) -> int:
        if all(value is None for value in row) or (len(self._number) >= _MOST and row not in self._number):
            return -1
        return self._number.setdefault(row, len(self._number))
