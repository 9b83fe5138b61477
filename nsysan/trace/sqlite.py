"""A guarded, read-only view of an SQLite file: which tables and columns it has, and their rows as polars."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from threading import RLock

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan import progress
from nsysan._errors import NsysanError
from nsysan.budgets import SQLITE_LEAST_ROW, SQLITE_OPCODES, SQLITE_VALUE, TABLES
from nsysan.columns.chunks import fitted
from nsysan.trace import bulk
from nsysan.trace.beside import check_finished
from nsysan.trace.btree import is_tree, page_kinds
from nsysan.trace.guard import STEP, Guard, allowance, read_only_uri
from nsysan.trace.sql import ABSENT, LONG, ODD, conditions_sql, first_bytes, free_name, quoted, state_of
from nsysan.trace.sqlite_header import checked_size
from nsysan.trace.store import completed, damaged, decoded, is_number
from nsysan.trace.where import Where, applicable

_BATCH = 100_000
#: Larger tables of numbers are read column by column in threads, which smaller ones are not worth.
BULK_ROWS = 10_000
_ALLOWED = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION))


class SqliteFile:
    """One SQLite database, opened so that neither it nor its folder is ever written to.

    ``tables`` maps each plain table (no view, no virtual table, no generated column) to its columns in file order.
    Statements can only read tables, and are bounded by what a file of this size can hold.
    Raises NsysanError for a missing, empty, foreign or damaged file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = checked_size(path)
        check_finished(path)
        self._uri = read_only_uri(path)
        self._lock = RLock()
        with self._reading("its schema"):
            # Whichever thread asks, one at a time (see _reading).
            self._connection = sqlite3.connect(self._uri, uri=True, check_same_thread=False)
            # Python 3.13 warns of a connection that nobody closed; of a trace nobody has to.
            weakref.finalize(self, self._connection.close)
            self._guard = Guard(self._connection, SQLITE_VALUE, self._size)
            self._start_statement(columns=10)
            self._connection.execute("PRAGMA query_only = ON")
            self.tables: dict[str, tuple[str, ...]] = {name: self._columns(name) for name in self._plain_tables()}
            self._row_ids = {name: self._row_id(name) for name in self.tables}
            self._connection.set_authorizer(_authorize)

    def close(self) -> None:
        """Close the connection; the frames already read stay valid."""
        self._connection.close()

    def read(self, table: str, columns: Mapping[str, pl.DataType], where: Sequence[Where] = ()) -> pl.DataFrame:
        """The named columns of a table (see store.Store.read)."""
        schema = dict(columns)
        there = self.tables.get(table, ())
        present = [name for name in columns if name in there]
        if not present:
            return pl.DataFrame(schema=schema)
        own = {name: schema[name] for name in present}
        conditions = applicable(where, there)
        with self._reading(f"table {table}"):
            numbers = {name: dtype for name, dtype in own.items() if is_number(dtype)}
            last = self._last_row(table) if numbers else None
            if last is not None and last >= BULK_ROWS:
                frame = self._read_large(table, own, numbers, conditions)
            else:
                frame = self._read_rows(table, own | dict.fromkeys(numbers, pl.Int64()), conditions)
                frame = frame.with_columns(fitted(frame[name]) for name, dtype in own.items() if dtype == pl.Int32())
        return completed(frame, schema)

    def count(self, table: str) -> int:
        """Number of rows of a table."""
        with self._reading(f"table {table}"):
            most = self._most_rows()
            self._start_statement(columns=1)
            sql = f"SELECT count(*) FROM (SELECT 1 FROM {quoted(table)} LIMIT {most + 1})"
            return self._checked_rows(table, int(self._connection.execute(sql).fetchone()[0]))

    def damaged(self, what: str) -> NsysanError:
        """The error for content that cannot be what nsys wrote."""
        return damaged(self.path, what, "sqlite")

    # ---- reading

    def _read_large(
        self, table: str, schema: Mapping[str, pl.DataType], numbers: Mapping[str, pl.DataType], where: Sequence[Where]
    ) -> pl.DataFrame:
        """Columns in bulk, but for those with values that only the guarded connection may read."""
        others = {name: dtype for name, dtype in schema.items() if name not in numbers}
        sources = {name: quoted(name) for name in numbers}
        types = dict(numbers)
        states = {}
        for name, dtype in others.items():
            states[name] = free_name(f"state of {name}", {**schema, **types})
            sources |= {name: first_bytes(name), states[name]: state_of(name, dtype)}
            types |= {name: pl.Binary(), states[name]: pl.Int32()}
        rows = self._last_row(table) or 0
        batch = bulk.batch_of(rows)
        self._check_types(table, list(numbers), batch)
        progress.stage(f"reading {table}", 0 if where else rows)
        frame = self._in_bulk(table, sources, types, where, batch)
        columns = []
        for name, dtype in others.items():
            if (frame[name].bin.size() > LONG).any() or (frame[states[name]] == ODD).any():
                columns.append(self._read_rows(table, {name: dtype}, where)[name])
                continue
            values = frame.select(pl.when(pl.col(states[name]) != ABSENT).then(name).alias(name))[name]
            columns.append(decoded(values) if dtype == pl.String() else values)
        return frame.with_columns(columns).select(list(schema))

    def _in_bulk(
        self,
        table: str,
        sources: Mapping[str, str],
        types: Mapping[str, pl.DataType],
        where: Sequence[Where],
        batch: int,
    ) -> pl.DataFrame:
        """Columns by name, each with its SQL expression and its type as for bulk.read, so many rows at a time."""
        # Rows that a condition drops are not counted by anyone.
        if where and not is_tree(self.path, self._root(table), self._page_kinds):
            raise self.damaged(f"table {table}: its pages form no tree")
        row = self._row_ids[table]
        columns = ", ".join(f"{source} AS {quoted(name)}" for name, source in sources.items())
        statements = [
            f"SELECT {columns} FROM {quoted(table)} WHERE {row} BETWEEN {first} AND {last}{conditions_sql(where)}"
            for first, last in self._row_bounds(table)
        ]
        frame = bulk.read(
            self._uri,
            statements,
            types,
            (self._most_rows(), 2 * self._size + SQLITE_VALUE),
            allowance(self._size),
            batch,
        )
        if frame is None:
            raise self.damaged(f"table {table} holds values of a wrong type, or more than its pages can")
        return frame

    def _read_rows(self, table: str, schema: Mapping[str, pl.DataType], where: Sequence[Where]) -> pl.DataFrame:
        """Rows through Python objects."""
        # Bytes in a column that is declared as text: read as text, what is not UTF-8 would be lost.
        wanted = [f"CAST({quoted(n)} AS BLOB)" if dtype == pl.Binary() else quoted(n) for n, dtype in schema.items()]
        # By row, not in the order of an index that a tool has added.
        source = f"{quoted(table)} NOT INDEXED WHERE TRUE{conditions_sql(where)} LIMIT {self._most_rows() + 1}"
        sql = f"SELECT {', '.join(wanted)} FROM {source}"
        self._start_statement(len(schema))
        has_bytes = pl.Binary() in schema.values()
        batch = 1_000 if has_bytes else _BATCH
        cursor = self._connection.execute(sql)
        frames, read, spent = [], 0, 0
        # In batches: as Python objects, millions of rows take ten times the memory of their frame.
        while True:
            rows = cursor.fetchmany(batch)
            frames.append(self._frame(table, rows, schema))
            read = self._checked_rows(table, read + len(rows))
            spent += int(frames[-1].estimated_size()) if has_bytes else 0
            if spent > 2 * self._size + SQLITE_VALUE:
                raise self.damaged(f"table {table} holds more than the file")
            if len(rows) < batch:
                return pl.concat(frames)

    def _frame(self, table: str, rows: list[tuple[object, ...]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
        try:
            # Column by column: built from rows, polars turns 1.5 into 1 and numbers into text, strict or not.
            values = zip(*rows, strict=True) if rows else ((),) * len(schema)
            return pl.DataFrame(
                [pl.Series(name, v, dtype=schema[name], strict=True) for name, v in zip(schema, values, strict=True)]
            )
        except (TypeError, pl.exceptions.PolarsError, OverflowError) as error:
            raise self.damaged(f"table {table} holds values of a wrong type") from error

    def _check_types(self, table: str, numbers: Sequence[str], rows: int) -> None:
        """The first rows of each part have numbers only, by which the bulk reader tells a column's type."""
        wrong = " OR ".join(f"typeof({quoted(name)}) <> 'integer' AND {quoted(name)} NOTNULL" for name in numbers)
        row = self._row_ids[table]
        for begin, end in self._row_bounds(table):
            self._start_statement(len(numbers) + 5)
            columns = ", ".join(map(quoted, numbers))
            first = f"SELECT {columns} FROM {quoted(table)} WHERE {row} BETWEEN ? AND ? LIMIT {rows}"
            if self._connection.execute(f"SELECT 1 FROM ({first}) WHERE {wrong} LIMIT 1", (begin, end)).fetchone():
                raise self.damaged(f"table {table} holds values of a wrong type")

    def _row_bounds(self, table: str) -> list[tuple[int, int]]:
        """First and last rowid of each part of a table."""
        self._start_statement(columns=1)
        row = self._row_ids[table]
        first = self._connection.execute(f"SELECT min({row}) FROM {quoted(table)}").fetchone()[0] or 0
        last = self._last_row(table) or 0
        parts = bulk.parts()
        cuts = [first + (last + 1 - first) * part // parts for part in range(parts + 1)]
        return [(begin, end - 1) for begin, end in pairwise(cuts)]

    def _root(self, table: str) -> int:
        self._start_statement(columns=5)
        sql = "SELECT rootpage FROM sqlite_master WHERE type = 'table' AND name = ?"
        return int(self._connection.execute(sql, (table,)).fetchone()[0])

    def _last_row(self, table: str) -> int | None:
        """The largest row id; None for a table without rows, or whose rows have no id that can be named."""
        row = self._row_ids[table]
        if row is None:
            return None
        self._start_statement(columns=1)
        try:
            last: int | None = self._connection.execute(f"SELECT max({row}) FROM {quoted(table)}").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "no such column" in str(error):  # WITHOUT ROWID, which nsys never writes
                return None
            raise
        return last

    @cached_property
    def _page_kinds(self) -> npt.NDArray[np.uint8]:
        return page_kinds(self.path)

    # ---- guards

    def _plain_tables(self) -> list[str]:
        rows = self._connection.execute("PRAGMA table_list").fetchmany(TABLES + 1)
        if rows:
            names = [name for schema, name, kind, *_ in rows if (schema, kind) == ("main", "table")]
            names = [name for name in names if not name.startswith("sqlite_")]
        else:  # SQLite before 3.37
            sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE%VIRTUAL%'"
            names = [name for (name,) in self._connection.execute(sql).fetchmany(TABLES + 1)]
        if len(rows) > TABLES or len(names) > TABLES:
            raise self.damaged(f"more than {TABLES} tables")
        return sorted(names)

    def _columns(self, table: str) -> tuple[str, ...]:
        # table_info leaves generated columns out: what they compute is the sender's, and may never end.
        return tuple(row[1] for row in self._connection.execute(f"PRAGMA table_info({quoted(table)})"))

    def _row_id(self, table: str) -> str | None:
        """What a statement can call the row id of a table, if it has one; None where columns have all of its names."""
        rows = self._connection.execute(f"PRAGMA table_xinfo({quoted(table)})")  # generated columns, too
        taken = {name.lower() for _, name, *_ in rows}
        return next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)

    def _most_rows(self) -> int:
        return self._size // SQLITE_LEAST_ROW

    def _checked_rows(self, table: str, rows: int) -> int:
        if rows > self._most_rows():
            raise self.damaged(f"table {table} has more rows than its pages can hold")
        return rows

    def _start_statement(self, columns: int) -> None:
        """A new budget: what the largest table that this file could hold would need."""
        self._guard.allow(1 + self._most_rows() * (columns + 2) * SQLITE_OPCODES // STEP, 2 * self._size + SQLITE_VALUE)

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        # SQLite waits for its connection with Python's lock held, and its guard waits for that lock.
        try:
            with self._lock:
                yield
        # A damaged schema can put bytes into SQLite's message that Python cannot decode.
        except (sqlite3.Error, UnicodeDecodeError) as error:
            said = "it takes longer than a file of its size can" if str(error) == "interrupted" else error
            raise self.damaged(f"{what}: {said}") from error


def _authorize(action: int, first: str | None, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED and first != "load_extension" else sqlite3.SQLITE_DENY
