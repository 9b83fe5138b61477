"""Tables of numbers with millions of rows, read from SQLite into columns without a Python object a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING

import polars as pl

from nsysan import progress
from nsysan.processors import processors

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows at a time; the reader tells a column's type from the first ones.
BATCH = 65_536
_BATCH_OPTION = "adbc.sqlite.query.batch_rows"
_MOST_THREADS = 4
#: Types of a column, as pyarrow names them.
INTEGER, BYTES = "int64", "binary"


def parts() -> int:
    """How many parts of a table are read at once."""
    return min(_MOST_THREADS, processors())


def read(
    uri: str, statement: str, types: Mapping[str, str], bounds: Sequence[tuple[int, int]], most_rows: int
) -> pl.DataFrame | None:
    """The columns of a statement with two parameters, once for each of the bounds, in their order.

    types: INTEGER or BYTES by column. None where a value is of another type and not null, the file cannot be read on,
    or there are more than `most_rows` rows.
    """
    stop = Event()
    results: SimpleQueue[tuple[int, list[pa.RecordBatch] | None]] = SimpleQueue()

    def work(number: int) -> None:
        try:
            results.put((number, _batches(uri, statement, types, bounds[number], most_rows, stop)))
        except Exception:  # a thread has nobody to tell but the one that waits for its result
            results.put((number, None))

    # Daemons: an interrupted read must not keep the process from ending.
    for number in range(len(bounds)):
        Thread(target=work, args=(number,), daemon=True).start()
    found: dict[int, list[pa.RecordBatch]] = {}
    try:
        for _ in bounds:
            number, batches = results.get()
            if batches is None:
                return None
            found[number] = batches
    finally:
        stop.set()
    return _joined([batch for number in sorted(found) for batch in found[number]], types, most_rows)


def _batches(
    uri: str, statement: str, types: Mapping[str, str], bound: tuple[int, int], most_rows: int, stop: Event
) -> list[pa.RecordBatch] | None:
    import adbc_driver_sqlite.dbapi as adbc

    schema = _schema(types)
    batches, rows = [], 0
    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.adbc_statement.set_options(**{_BATCH_OPTION: str(BATCH)})
        cursor.execute(statement, bound)
        for batch in cursor.fetch_record_batch():
            rows += batch.num_rows
            if stop.is_set() or rows > most_rows or (batch.num_rows and batch.schema != schema):
                return None
            if batch.num_rows:
                progress.advance(batch.num_rows)
                batches.append(batch)
    return batches


def _schema(types: Mapping[str, str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, getattr(pa, dtype)()) for name, dtype in types.items()])


def _joined(batches: list[pa.RecordBatch], types: Mapping[str, str], most_rows: int) -> pl.DataFrame | None:
    import pyarrow as pa

    table = pa.Table.from_batches(batches, _schema(types))
    frame = pl.from_arrow(table)
    return frame if isinstance(frame, pl.DataFrame) and len(frame) <= most_rows else None
