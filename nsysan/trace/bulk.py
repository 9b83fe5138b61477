"""Tables of numbers with millions of rows, read from SQLite into columns without a Python object a value."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

import polars as pl

from nsysan import progress
from nsysan.columns.chunks import Chunks
from nsysan.columns.threads import Beside, processors

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows at a time, few enough to stay in a processor's cache. The reader tells a column's type from the first ones,
#: which are looked at before it: of a table of up to so many rows fewer at a time take less.
_BATCH, _SMALL_BATCH, _MANY = 8_192, 2_048, 1_000_000
_MOST_THREADS = 4
#: Types of a column in the file, as pyarrow names them.
_IN_FILE = {pl.Int64(): "int64", pl.Int32(): "int64", pl.Binary(): "binary"}


def parts() -> int:
    """How many parts of a table are read at once."""
    return min(_MOST_THREADS, processors())


def batch_of(rows: int) -> int:
    """How many rows of a table of so many are read at a time."""
    return _SMALL_BATCH if rows <= _MANY else _BATCH


def read(
    uri: str,
    statements: Sequence[str],
    types: Mapping[str, pl.DataType],
    most: tuple[int, int],
    seconds: float,
    batch: int = _BATCH,
) -> pl.DataFrame | None:
    """The columns of all statements, which are read at the same time, behind each other.

    types: Int64, Int32 (see store.Store.read) or Binary by column. None where a value is of another type and not null,
    the file cannot be read on, there are more rows, or bytes of Binary columns, than `most`, or a statement takes more
    than `seconds` of a processor. batch: rows at a time (batch_of).
    """
    stop = Event()

    def part(statement: str) -> Chunks | None:
        try:
            chunks = _chunks(uri, statement, types, most, seconds, batch, stop)
        except Exception:  # whatever the driver raises, the file cannot be read on
            chunks = None
        if chunks is None:
            stop.set()
        return chunks

    whole = Chunks(types)
    with Beside() as beside:
        results = [beside.begin(partial(part, statement)) for statement in statements]
        try:
            for result in results:
                chunks = result()
                if chunks is None:
                    return None
                whole.extend(chunks)
        finally:
            stop.set()
    return None if whole.exceeds(*most) else whole.frame()


def _chunks(
    uri: str,
    statement: str,
    types: Mapping[str, pl.DataType],
    most: tuple[int, int],
    seconds: float,
    batch_rows: int,
    stop: Event,
) -> Chunks | None:
    # The driver's DBAPI would import pandas.
    import adbc_driver_sqlite
    import pyarrow as pa
    from adbc_driver_manager import AdbcConnection, AdbcStatement

    schema = _schema(types)
    chunks = Chunks(types)
    until = time.thread_time() + seconds
    with (
        adbc_driver_sqlite.connect(uri) as database,
        AdbcConnection(database) as connection,
        AdbcStatement(connection) as query,
    ):
        for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
            query.set_sql_query(f"PRAGMA {pragma}")
            query.execute_update()
        query.set_options(**{adbc_driver_sqlite.StatementOptions.BATCH_ROWS.value: str(batch_rows)})
        query.set_sql_query(statement)
        stream, _ = query.execute_query()
        for batch in pa.RecordBatchReader.from_stream(stream):
            if batch.num_rows and batch.schema != schema:
                return None
            if batch.num_rows:
                progress.advance(batch.num_rows)
                chunks.add(batch.columns)
            if stop.is_set() or chunks.exceeds(*most) or time.thread_time() > until:
                return None
    return chunks


def _schema(types: Mapping[str, pl.DataType]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, getattr(pa, _IN_FILE[dtype])()) for name, dtype in types.items()])
