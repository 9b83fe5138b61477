"""Rows of the database, in which anybody may have written: what a cell can be, and what is made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

#: A row by column.
Row = dict[str, str | int | float | None]


def usable(row: Mapping[str, object]) -> Row:
    """The row without what no figure and no text is: null for numbers beyond all bounds, text for bytes."""
    return {column: _cell(value) for column, value in row.items()}


def _cell(value: object) -> str | int | float | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float) else None


def measured(row: Row, column: str) -> float | None:
    """A number of the row; None where there is none, or something else."""
    value = row.get(column)
    return value if isinstance(value, int | float) else None


def words(row: Row, column: str) -> list[str]:
    """The texts that a column keeps as a JSON list; none where it holds something else."""
    value = row.get(column)
    try:
        listed = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return []
    return [item for item in listed if isinstance(item, str)] if isinstance(listed, list) else []
