"""A guarded, read-only view of an SQLite file: which tables and columns it has, and their rows as polars."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import polars as pl

from nsysan._errors import ExitCode, NsysanError

MAGIC = b"SQLite format 3\x00"
_HEADER_SIZE = 100
_BATCH = 100_000


def quoted(identifier: str) -> str:
    """An SQL identifier that keeps any character it has."""
    return '"' + identifier.replace('"', '""') + '"'


class SqliteFile:
    """One SQLite database, opened so that neither it nor its folder is ever written to.

    ``tables`` maps each plain table (no view, no virtual table) to its columns in file order.
    Raises NsysanError for a missing, empty, foreign or damaged file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _check_header(path)
        # immutable: no lock, no -wal or -shm file beside the trace, whatever its journal mode.
        uri = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1"
        with self._reading("its schema"):
            self._connection = sqlite3.connect(uri, uri=True)
            # nsys writes host strings as they are, in whatever code page the host had.
            self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._connection.execute("PRAGMA query_only = ON")
            names = self._connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
            ).fetchall()
            self.tables: dict[str, tuple[str, ...]] = {name: self._columns(name) for (name,) in names}

    def close(self) -> None:
        """Close the connection; the frames already read stay valid."""
        self._connection.close()

    def read(self, table: str, columns: Mapping[str, pl.DataType], where: str = "") -> pl.DataFrame:
        """The named columns of a table, all null where the file lacks the column, no rows where it lacks the table.

        `where` is an SQL condition over columns that the caller has checked.
        """
        schema = dict(columns)
        present = [name for name in columns if name in self.tables.get(table, ())]
        if not present:
            return pl.DataFrame(schema=schema)
        # Bytes in a column that is declared as text: read as text, what is not UTF-8 would be lost.
        wanted = [f"CAST({quoted(n)} AS BLOB)" if schema[n] == pl.Binary() else quoted(n) for n in present]
        sql = f"SELECT {', '.join(wanted)} FROM {quoted(table)}"
        frames = []
        with self._reading(f"table {table}"):
            cursor = self._connection.execute(f"{sql} WHERE {where}" if where else sql)
            # In batches: as Python objects, millions of rows take ten times the memory of their frame.
            while True:
                rows = cursor.fetchmany(_BATCH)
                frames.append(self._frame(table, rows, {name: schema[name] for name in present}))
                if len(rows) < _BATCH:
                    break
        frame = pl.concat(frames)
        missing = [pl.lit(None, dtype=schema[name]).alias(name) for name in columns if name not in present]
        return frame.with_columns(missing).select(list(columns))

    def _frame(self, table: str, rows: list[tuple[object, ...]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
        try:
            # Column by column: built from rows, polars turns 1.5 into 1 and numbers into text, strict or not.
            values = zip(*rows, strict=True) if rows else ((),) * len(schema)
            return pl.DataFrame(
                [pl.Series(name, v, dtype=schema[name], strict=True) for name, v in zip(schema, values, strict=True)]
            )
        except (TypeError, pl.exceptions.PolarsError, OverflowError) as error:
            raise self.damaged(f"table {table} holds values of a wrong type") from error

    def count(self, table: str) -> int:
        """Number of rows of a table."""
        with self._reading(f"table {table}"):
            return int(self._connection.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()[0])

    def damaged(self, what: str) -> NsysanError:
        """The error for content that cannot be what nsys wrote."""
        return NsysanError(
            f"{self.path}: the file is damaged or cut off ({what}); copy it again, or export it again with "
            f"`nsys export --type sqlite`",
            ExitCode.DAMAGED,
        )

    def _columns(self, table: str) -> tuple[str, ...]:
        return tuple(row[1] for row in self._connection.execute(f"PRAGMA table_info({quoted(table)})"))

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        # A damaged schema can put bytes into SQLite's message that Python cannot decode.
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self.damaged(f"{what}: {error}") from error


def _check_header(path: Path) -> None:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise IsADirectoryError
        with path.open("rb") as file:
            header = file.read(_HEADER_SIZE)
    except IsADirectoryError:
        raise NsysanError(f"{path}: is a folder; name the .sqlite file in it", ExitCode.NO_SUCH_FILE) from None
    except FileNotFoundError:
        raise NsysanError(f"{path}: no such file", ExitCode.NO_SUCH_FILE) from None
    except OSError as error:
        raise NsysanError(f"{path}: cannot be read: {error.strerror}", ExitCode.NO_SUCH_FILE) from error
    if size == 0:
        raise NsysanError(
            f"{path}: the file is empty (an export that was interrupted?); export it again with "
            f"`nsys export --type sqlite`",
            ExitCode.DAMAGED,
        )
    if not header.startswith(MAGIC):
        raise NsysanError(
            f"{path}: not an SQLite file; nsysan reads what `nsys export --type sqlite` writes",
            ExitCode.NOT_SQLITE,
        )
    _check_length(path, header, size)
    if path.with_name(path.name + "-journal").exists():
        raise NsysanError(
            f"{path}: an export into it was interrupted (there is a -journal file beside it); export it again",
            ExitCode.DAMAGED,
        )


def _check_length(path: Path, header: bytes, size: int) -> None:
    """Compare the size in the SQLite header with the file's; a short read further on would be less clear."""
    page_size = int.from_bytes(header[16:18], "big")
    size_is_current = header[24:28] == header[92:96]
    pages = int.from_bytes(header[28:32], "big") if size_is_current else 1
    expected = (65536 if page_size == 1 else page_size) * pages
    if size < max(expected, _HEADER_SIZE):
        raise NsysanError(
            f"{path}: the file is cut off ({size} of {max(expected, _HEADER_SIZE)} bytes); copy it again",
            ExitCode.DAMAGED,
        )
