"""SQL that reads columns of strangers' tables: names that keep any character, conditions, and what a value is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from nsysan.trace.where import Where

#: Columns with longer texts or blobs are left to the guarded connection: a file can name one thousands of times.
LONG = 4_096
ABSENT, _THERE, ODD = range(3)
_FEW = 8


def quoted(identifier: str) -> str:
    """An SQL identifier that keeps any character it has."""
    return '"' + identifier.replace('"', '""') + '"'


def first_bytes(name: str) -> str:
    """SQL for a text or blob as bytes, which cannot be anything but what they are; no more than tell that it is long.

    Never NULL: the bulk reader tells a column's type from its first values.
    """
    return f"IFNULL(substr(CAST({quoted(name)} AS BLOB), 1, {LONG + 1}), x'')"


def state_of(name: str, dtype: pl.DataType) -> str:
    """SQL for what a column of texts (or of bytes, which may be texts) holds: nothing, one, or something else."""
    blob = "" if dtype == pl.String() else f" WHEN 'blob' THEN {_THERE}"
    return f"CASE typeof({quoted(name)}) WHEN 'null' THEN {ABSENT} WHEN 'text' THEN {_THERE}{blob} ELSE {ODD} END"


def conditions_sql(where: Sequence[Where]) -> str:
    """Conditions as SQL after a WHERE clause; their numbers are integers and need no quoting."""
    parts = []
    for condition in where:
        name = quoted(condition.column)
        if condition.one_of is not None:
            parts.append(_one_of(name, [int(value) for value in condition.one_of]))
        if condition.at_least is not None:
            parts.append(f"{name} >= {int(condition.at_least)}")
        if condition.below is not None:
            parts.append(f"{name} < {int(condition.below)}")
        if condition.spans is not None:
            told = (f"{name} BETWEEN {int(first)} AND {int(last)}" for first, last in condition.spans)
            parts.append(f"({' OR '.join(told) or 'FALSE'})")
        if condition == Where(condition.column):
            parts.append(f"{name} IS NOT NULL")
    return "".join(f" AND {part}" for part in parts)


def _one_of(name: str, values: Sequence[int]) -> str:
    """Whether a column has one of the values; SQLite looks each up in a table, which a few comparisons undercut."""
    if not 0 < len(values) <= _FEW:
        return f"{name} IN ({', '.join(map(str, values))})"
    return f"({' OR '.join(f'{name} = {value}' for value in values)})"


def free_name(name: str, taken: Mapping[str, object]) -> str:
    """The name, made longer where it is taken."""
    while name in taken:
        name += "_"
    return name
