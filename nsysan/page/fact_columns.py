"""What the page tells of single operations, as numbers of the few different ones that there are."""

from __future__ import annotations

from typing import Any

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

    def columns(self, slices: pl.DataFrame) -> dict[str, list[int]]:
        """fact: the number of each slice's facts, -1 where nothing is told.

        call: 0, or where a matched collective begins its number less that of the one before on the lane (or -1);
        slices: those of a step in order of their lanes (`number`) and begins.
        """
        if not set(FACTS) <= set(slices.columns):
            return {"fact": [-1] * len(slices), "call": [0] * len(slices)}
        full = pl.when(pl.col("demangled") != pl.col("name")).then("demangled").alias("demangled")
        told = slices.select(full, "stream", "bytes", "grid", "block")
        kinds = told.unique(maintain_order=True)
        numbers = pl.Series([self._numbered(row) for row in kinds.iter_rows()], dtype=pl.Int64)
        found = told.join(
            kinds.with_columns(fact=numbers), on=told.columns, how="left", nulls_equal=True, maintain_order="left"
        )
        before = pl.col("call").forward_fill().shift(1).over("number").fill_null(-1)
        steps = slices.select(step=(pl.col("call") - before).fill_null(0))["step"]
        return {"fact": found["fact"].to_list(), "call": steps.to_list()}

    def _numbered(self, row: tuple[Any, ...]) -> int:
        if all(value is None for value in row) or (len(self._number) >= _MOST and row not in self._number):
            return -1
        return self._number.setdefault(row, len(self._number))
