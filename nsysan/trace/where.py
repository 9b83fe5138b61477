"""Which rows of a table are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Where:
    """Rows to read: those whose `column` is in `one_of`, at least `at_least` and below `below`, and in one of `spans`
    (with its last number), as far as given.
    """

    column: str
    one_of: Sequence[int] | None = None
    at_least: int | None = None
    below: int | None = None
    spans: Sequence[tuple[int, int]] | None = None


def applicable(where: Sequence[Where], present: Sequence[str]) -> list[Where]:
    """The conditions on columns that are present."""
    return [condition for condition in where if condition.column in present]
