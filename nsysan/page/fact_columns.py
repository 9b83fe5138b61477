"""What the page tells of single operations, as numbers of the few different ones that there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.report.step_slices import FACTS
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

    def numbered(self, kinds: pl.DataFrame) -> npt.NDArray[np.int64]:
        """The number of the facts of each kind of slice, -1 where nothing is told; kinds: name and FACTS, by where they
        come first.
        """
        known: dict[tuple[Any, ...], int] = {}
        texts = [name for name, dtype in FACTS.items() if dtype == pl.Categorical]
        told = kinds.with_columns(pl.col("name", *texts).cast(pl.String))
        numbers = []
        for name, full, *rest in told.select("name", "demangled", "stream", "bytes", "grid", "block").iter_rows():
            facts = (full, *rest)
            if facts not in known:
                known[facts] = self._numbered((full if full != name else None, *rest))
            numbers.append(known[facts])
        return np.array(numbers, dtype=np.int64)

    def _numbered(self, row: tuple[Any, ...]) -> int:
        if all(value is None for value in row) or (len(self._number) >= _MOST and row not in self._number):
            return -1
        return self._number.setdefault(row, len(self._number))
