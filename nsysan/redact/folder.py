"""Folders of Parquet or Arrow tables: into an SQLite file that can be redacted, and what is left of it back again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from nsysan.redact import plan
from nsysan.trace.sql import quoted

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Form:
    """How a folder's tables are written: their schemas by name, the ending of a file, and whether as Arrow files."""

    schemas: dict[str, pa.Schema]
    suffix: str
    as_file: bool


def to_sqlite(folder: Path, target: Path) -> Form:
    """Put every table of a folder into a new SQLite file; NsysanError where a table cannot be read."""
    import pyarrow as pa

    # Opened as the reports do, which checks what can be checked before anything is read.
    from nsysan.trace.arrow_batches import is_file_format
    from nsysan.trace.columnar import ColumnarFolder, opened_table

    store = ColumnarFolder(folder)
    schemas = {}
    for name, file in store.files.items():
        try:
            with opened_table(file) as (schema, batches):
                schemas[name] = schema
                _ingest(target, name, schema, batches)
        except (pa.ArrowException, OSError, ValueError) as error:
            said = str(error).splitlines()
            raise store.damaged(f"table {name}: {said[0] if said else type(error).__name__}") from error
    first = next(iter(store.files.values()))
    return Form(schemas, first.suffix, as_file=first.suffix == ".arrow" and is_file_format(first))


def from_sqlite(copy: Path, folder: Path, form: Form) -> None:
    """Write each table of a redacted copy as a file of a new folder, its columns declared as they were."""
    from nsysan.trace.sqlite import SqliteFile

    folder.mkdir()
    store = SqliteFile(copy)
    for name, columns in store.tables.items():
        declared = form.schemas[name]
        kinds = {column: _kind(declared.field(column).type) for column in columns}
        frame = store.read(name, kinds)
        _write(folder / f"{name}{form.suffix}", _table(frame, declared), form)
    store.close()


def _kind(declared: pa.DataType) -> pl.DataType:
    import pyarrow as pa

    is_number = pa.types.is_integer(declared) or pa.types.is_boolean(declared)
    return pl.Int64() if is_number else pl.Binary()


def _table(frame: pl.DataFrame, declared: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns, fields = [], []
    for column in frame.get_columns():
        field = declared.field(column.name)
        columns.append(_array(column, field.type))
        fields.append(pa.field(column.name, field.type, nullable=field.nullable or column.null_count() > 0))
    return pa.table(columns, schema=pa.schema(fields))


def _array(column: pl.Series, declared: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_null(declared):
        return pa.nulls(len(column))
    # Texts go as bytes, which they need not be in UTF-8 either.
    plain = column.to_arrow()
    return (plain.cast(pa.large_binary()) if column.dtype == pl.Binary else plain).cast(declared, safe=False)


def _write(file: Path, table: pa.Table, form: Form) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if form.suffix == ".parquet":
        pq.write_table(table, file, compression="zstd")
        return
    new = pa.ipc.new_file if form.as_file else pa.ipc.new_stream
    with file.open("wb") as sink, new(sink, table.schema) as writer:
        writer.write_table(table)


def _ingest(target: Path, name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    """Rows into a table of that name; numbers as SQLite's, which has no unsigned ones."""
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        table = quoted(name)
        declared = ", ".join(_declared(name, quoted(field.name), field) for field in schema)
        connection.execute(f"CREATE TABLE {table} ({declared})")
        connection.execute("BEGIN")
        for batch in batches:
            # Most columns of a table of events have no value in most of its rows.
            held = [i for i in range(len(schema)) if batch.column(i).null_count < batch.num_rows] or [0]
            columns = [_values(batch.column(i), schema.field(i).type) for i in held]
            names, places = (
                ", ".join(parts) for parts in ((quoted(schema.field(i).name) for i in held), "?" * len(held))
            )
            rows = zip(*columns, strict=True)
            connection.executemany(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})", rows)
        connection.execute("COMMIT")


def _declared(table: str, column: str, field: pa.Field) -> str:
    kind = "INTEGER" if _kind(field.type) == pl.Int64() else "TEXT"
    key = " PRIMARY KEY" if table == plan.STRINGS and field.name == "id" else ""
    return f"{column} {kind}{'' if field.nullable else ' NOT NULL'}{key}"


def _values(column: pa.Array, kind: pa.DataType) -> list[object]:
    import pyarrow as pa

    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return list(column.cast(pa.int64(), safe=False).to_pylist())
    if pa.types.is_floating(kind):
        return list(column.to_pylist())
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    raw = column.cast(pa.binary() if pa.types.is_string(kind) else pa.large_binary()) if is_text else column
    # Offsets that lie outside of the text would be followed, into whatever memory is there.
    raw.validate(full=True)
    if pa.types.is_binary(raw.type) or pa.types.is_large_binary(raw.type):
        return _texts(raw)
    return [None if value is None else str(value) for value in raw.to_pylist()]


def _texts(raw: pa.Array) -> list[object]:
    """Bytes as text where they are text, as nsys has it in SQLite; nothing where there is nothing."""
    import pyarrow as pa

    # Once each: few texts are in millions of rows.
    coded = raw.dictionary_encode()
    told: list[object] = [_text(value) for value in coded.dictionary.to_pylist()]
    return [None if code is None else told[code] for code in coded.indices.cast(pa.int64()).to_pylist()]


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value
