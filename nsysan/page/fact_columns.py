"""What the page tells of single operations, as numbers of the few different ones that there are."""

from __future__ import annotations

from typing import Any

from nsysan.text import plain

#: A name is cut at this: what a template of a kernel was made with stands at its begin.
_WIDTH = 600
#: In no real trace are there so many; what else there is is not told.
_MOST = 20_000
#: What is told, in the order of the table: columns of step_slices.KIND.
TOLD = ("demangled", "stream", "bytes", "grid", "block")


class Facts:
    """The different facts of all steps.

    table: for each its full name ("" where the name says it all), stream, bytes, grid and block; null where not told.
    """

    def __init__(self) -> None:
        self._number: dict[tuple[Any, ...], int] = {}
        self._known: dict[tuple[Any, ...], int] = {}

    @property
    def table(self) -> list[list[Any]]:
        """The facts by their numbers."""
        return [
            ["" if full is None else plain(full, _WIDTH), stream, size, grid, block]
            for full, stream, size, grid, block in self._number
        ]

    def number(self, name: str | None, full: str | None, *rest: str | int | None) -> int:
        """The number of what is told of a kind of slices, -1 where that is nothing: its name, and the facts TOLD."""
        told = (name, full, *rest)
        if told not in self._known:
            self._known[told] = self._numbered((full if full != name else None, *rest))
        return self._known[told]

    def _numbered(self, row: tuple[Any, ...]) -> int:
        if all(value is None for value in row) or (len(self._number) >= _MOST and row not in self._number):
            return -1
        return self._number.setdefault(row, len(self._number))
