"""Writing to the database of runs: all of a run or nothing, whoever else writes and whenever the process ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nsysan.history.cells import Row

if TYPE_CHECKING:
    from sqlite_utils import Database


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """What is done inside is done at once, by one process at a time, or not at all.

    Of sqlite-utils, a database's `create_table` and a table's `create_index` may be called inside; a table's `create`
    and inserts would end it (before 4.0).
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def insert(database: Database, table: str, rows: Sequence[Row]) -> None:
    """Add rows, which have one set of columns; those that the table lacks are added to it. All names are ours."""
    if not rows:
        return
    columns = list(rows[0])
    there = {column.name.lower() for column in database.table(table).columns}
    for column in columns:
        if column.lower() not in there:
            database.conn.execute(f'ALTER TABLE {table} ADD COLUMN "{column}" {_kind(rows, column)}')
    listed, places = ", ".join(f'"{column}"' for column in columns), ", ".join("?" * len(columns))
    database.conn.executemany(
        f"INSERT INTO {table} ({listed}) VALUES ({places})", [[row[column] for column in columns] for row in rows]
    )


def _kind(rows: Sequence[Row], column: str) -> str:
    kinds = {type(row[column]) for row in rows}
    return "FLOAT" if float in kinds else "INTEGER" if int in kinds else "TEXT"
