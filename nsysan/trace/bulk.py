"""Tables of numbers with millions of rows, read from SQLite into columns without a Python object a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING

import polars as pl

from nsysan import progress
from nsysan.processors import processors
from nsysan.trace.narrow import Chunks

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows at a time, few enough to stay in a processor's cache; the reader tells a column's type from the first ones.
BATCH = 8_192
_MOST_THREADS = 4
#: Types of a column in the file, as pyarrow names them.
_IN_FILE = {pl.Int64(): "int64", pl.Int32(): "int64", pl.Binary(): "binary"}


def parts() -> int:
    """How many parts of a table are read at once."""
    return min(_MOST_THREADS, processors())


def read(
    uri: str, statement: str, types: Mapping[str, pl.DataType], bounds: Sequence[tuple[int, int]], most: tuple[int, int]
) -> pl.DataFrame | None:
    """The columns of a statement with two places for numbers, {} and {}, once for each of the bounds, in their order.

    types: Int64, Int32 (see store.Store.read) or Binary by column. None where a value is of another type and not null,
    the file cannot be read on, or there are more rows, or bytes of Binary columns, than `most`.
    """
    stop = Event()
    results: SimpleQueue[tuple[int, Chunks | None]] = SimpleQueue()

    def work(number: int) -> None:
        try:
            results.put((number, _chunks(uri, statement, types, bounds[number], most, stop)))
        except Exception:  # a thread has nobody to tell but the one that waits for its result
            results.put((number, None))

    # Daemons: an interrupted read must not keep the process from ending.
    threads = [Thread(target=work, args=(number,), daemon=True) for number in range(len(bounds))]
    for thread in threads:
        thread.start()
    found: dict[int, Chunks] = {}
    try:
        for _ in bounds:
            number, chunks = results.get()
            if chunks is None:
                stop.set()
                for thread in threads:
                    thread.join()
                return None
            found[number] = chunks
    finally:
        stop.set()
    whole = Chunks(types)
    for number in sorted(found):
        whole.extend(found.pop(number))
    return None if whole.exceeds(*most) else whole.frame()


def _chunks(
    uri: str,
    statement: str,
    types: Mapping[str, pl.DataType],
    bound: tuple[int, int],
    most: tuple[int, int],
    stop: Event,
) -> Chunks | None:
    # The driver's DBAPI would import pandas.
    import adbc_driver_sqlite
    import pyarrow as pa
    from adbc_driver_manager import AdbcConnection, AdbcStatement

    schema = _schema(types)
    chunks = Chunks(types)
    with (
        adbc_driver_sqlite.connect(uri) as database,
        AdbcConnection(database) as connection,
        AdbcStatement(connection) as query,
    ):
        for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
            query.set_sql_query(f"PRAGMA {pragma}")
            query.execute_update()
        query.set_options(**{adbc_driver_sqlite.StatementOptions.BATCH_ROWS.value: str(BATCH)})
        query.set_sql_query(statement.format(*bound))
        stream, _ = query.execute_query()
        for batch in pa.RecordBatchReader.from_stream(stream):
            if batch.num_rows and batch.schema != schema:
                return None
            if batch.num_rows:
                progress.advance(batch.num_rows)
                chunks.add(batch.columns)
            if stop.is_set() or chunks.exceeds(*most):
                return None
    return chunks


def _schema(types: Mapping[str, pl.DataType]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, getattr(pa, _IN_FILE[dtype])()) for name, dtype in types.items()])
