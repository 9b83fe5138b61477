"""A folder of Parquet or Arrow files, one a table, as `nsys export --type parquetdir` or `arrowdir` writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nsysan import progress
from nsysan._errors import ExitCode, NsysanError
from nsysan.budgets import ARROW_BATCH_BYTES, TABLES, Budget, budget_of
from nsysan.columns.chunks import Chunks, fitted
from nsysan.columns.threads import each_of
from nsysan.trace.arrow_batches import opened_arrow
from nsysan.trace.parquet_pages import check_pages
from nsysan.trace.store import completed, damaged, decoded, is_number
from nsysan.trace.texts_read import TextsRead, is_text, size_of_texts
from nsysan.trace.where import Where, applicable

SUFFIXES = {".parquet": "parquetdir", ".arrow": "arrowdir"}
_T = TypeVar("_T")
#: Counts bytes of texts that are held.
_Spend = Callable[[int], None]
#: Larger tables are read in parts.
BULK_ROWS = 50_000
_BATCH = 65_536
_PARTS = 8


class ColumnarFolder:
    """The tables of a folder, opened read-only; `tables` maps each to its columns in file order.

    files: that of each table. Raises NsysanError for a folder without tables, and for a damaged file in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
        except OSError as error:
            raise NsysanError(f"{path}: cannot be read: {error.strerror}", ExitCode.NO_SUCH_FILE) from error
        if not files:
            what = "is a folder with no .parquet and no .arrow file in it; name the export"
            raise NsysanError(f"{path}: {what}", ExitCode.NO_SUCH_FILE)
        if len(files) > TABLES:
            raise NsysanError(f"{path}: a folder of {len(files)} tables is no export of nsys", ExitCode.NOT_NSYS)
        self._kind = SUFFIXES[files[0].suffix]
        self.files = {file.stem: file for file in files if SUFFIXES[file.suffix] == self._kind}
        self._texts = TextsRead(self.files.values())
        self.tables = {name: self._reading(name, lambda file: tuple(_schema(file).names)) for name in self.files}

    def close(self) -> None:
        """Nothing is held open between reads."""

    def count(self, table: str) -> int:
        """Number of rows of a table."""
        return self._reading(table, _rows)

    def damaged(self, what: str) -> NsysanError:
        """The error for content that cannot be what nsys wrote."""
        return damaged(self.path, what, self._kind)

    def read(self, table: str, columns: Mapping[str, pl.DataType], where: Sequence[Where] = ()) -> pl.DataFrame:
        """The named columns of a table (see store.Store.read)."""
        there = self.tables.get(table, ())
        present = [name for name in columns if name in there]
        if not present:
            return pl.DataFrame(schema=dict(columns))
        conditions = applicable(where, there)
        self._texts.begin(table)
        spend = partial(self._texts.add, table)

        def frame(file: Path) -> pl.DataFrame:
            wanted = {name: columns[name] for name in present}
            if file.suffix != ".parquet":
                progress.stage(f"reading {table}", 0)
                return _in_batches(file, wanted, conditions, spend)
            count = _rows(file)
            if count >= BULK_ROWS:
                progress.stage(f"reading {table}", count)
                return _in_parts(file, wanted, conditions, spend)
            rows = _table(file, _needed(wanted, conditions), spend)
            if conditions:
                rows = rows.filter(_mask(rows, conditions))
            return pl.DataFrame([_series(name, rows.column(name), dtype) for name, dtype in wanted.items()])

        return completed(self._reading(table, frame), columns)

    def _reading(self, table: str, read: Callable[[Path], _T]) -> _T:
        try:
            return read(self.files[table])
        except (pa.ArrowException, OSError, pl.exceptions.PolarsError, ValueError, KeyError, OverflowError) as error:
            said = str(error).splitlines()
            raise self.damaged(f"table {table}: {said[0] if said else type(error).__name__}") from error


@contextmanager
def opened_table(file: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Schema and all rows of a table's file, within its budget; ArrowInvalid beyond it."""
    budget = budget_of(file)
    if file.suffix != ".parquet":
        with opened_arrow(file, budget) as (schema, batches):
            yield schema, (piece for batch in batches for piece in pa.Table.from_batches([batch]).to_batches(_BATCH))
        return
    schema = pq.read_schema(file)
    with _parquet(file, schema.names, budget) as parquet:
        yield schema, _without_dictionaries(parquet, schema, budget)


def _without_dictionaries(parquet: pq.ParquetFile, schema: pa.Schema, budget: Budget) -> Iterator[pa.RecordBatch]:
    spent = 0
    for batch in parquet.iter_batches(_BATCH, use_threads=False):
        own = size_of_texts(batch.columns, budget)
        if own > ARROW_BATCH_BYTES:
            raise pa.ArrowInvalid("more is packed into one batch than is read at once")
        spent += own
        budget.check_bytes(spent)
        plain = [
            column.cast(field.type) if pa.types.is_dictionary(column.type) else column
            for column, field in zip(batch.columns, schema, strict=True)
        ]
        yield pa.record_batch(plain, schema)


def _schema(file: Path) -> pa.Schema:
    if file.suffix == ".parquet":
        found = pq.read_schema(file, memory_map=False)
    else:
        with opened_arrow(file, budget_of(file)) as (found, _):
            pass
    budget_of(file).check_columns(len(found))
    return found


def _rows(file: Path) -> int:
    budget = budget_of(file)
    if file.suffix == ".parquet":
        rows = int(pq.ParquetFile(file).metadata.num_rows)
        budget.check_rows(rows)
        return rows
    with opened_arrow(file, budget) as (_, batches):
        return sum(batch.num_rows for batch in batches)


def _table(file: Path, columns: list[str], spend: _Spend) -> pa.Table:
    budget = budget_of(file)
    table = _parquet(file, columns, budget).read(columns)
    spend(size_of_texts(table.columns, budget))
    return table


def _in_batches(file: Path, wanted: Mapping[str, pl.DataType], where: Sequence[Where], spend: _Spend) -> pl.DataFrame:
    """Columns of an Arrow file, of which never more than one batch is there as it is."""
    needed, chunks = _needed(wanted, where), _chunks(wanted)
    with opened_arrow(file, budget_of(file)) as (schema, batches):
        fields = pa.schema([schema.field(name) for name in needed])
        for batch in batches:
            columns = [batch.column(name) for name in needed]
            for column in columns:
                _check_offsets(column)
            for part in pa.Table.from_batches([pa.record_batch(columns, fields)]).to_batches(_BATCH):
                rows = part.filter(_mask(part, where)) if where else part
                if rows.num_rows:
                    own = {name: _own(name, rows.column(name), dtype) for name, dtype in wanted.items()}
                    spend(sum(column.nbytes for name, column in own.items() if not is_number(wanted[name])))
                    chunks.add(list(own.values()))
    return _frame(chunks, wanted)


def _check_offsets(column: pa.Array) -> None:
    """ArrowInvalid where offsets lie outside of the text: they would be followed, into whatever memory is there."""
    plain = column.cast(pa.binary()) if pa.types.is_string(column.type) else column
    (plain.cast(pa.large_binary()) if pa.types.is_large_string(plain.type) else plain).validate(full=True)


def _own(name: str, column: pa.Array, dtype: pl.DataType) -> pa.Array:
    """As _plain, with nothing held of the batch that it is of."""
    plain = _plain(name, column, dtype)
    return plain if is_number(dtype) else pa.concat_arrays([plain, plain.slice(0, 0)])


def _parquet(file: Path, columns: Iterable[str], budget: Budget) -> pq.ParquetFile:
    """A reader that gives texts as numbers of distinct ones: a page can name a long one over and over."""
    plain = pq.ParquetFile(file)
    check_pages(file, plain.metadata, columns, budget)
    schema = plain.schema_arrow
    budget.check_columns(len(schema), len(set(schema.names)))
    texts = [name for name in columns if name in schema.names and is_text(schema.field(name).type)]
    return pq.ParquetFile(file, metadata=plain.metadata, read_dictionary=texts)


def _needed(wanted: Iterable[str], where: Sequence[Where]) -> list[str]:
    return list(dict.fromkeys([*wanted, *(condition.column for condition in where)]))


def _in_parts(file: Path, wanted: Mapping[str, pl.DataType], where: Sequence[Where], spend: _Spend) -> pl.DataFrame:
    """Columns of a large file, read in threads, of which never more than a few thousand rows are there as they are."""
    budget, needed = budget_of(file), _needed(wanted, where)
    metadata = _parquet(file, needed, budget).metadata
    texts = [name for name in needed if not is_number(wanted.get(name, pl.Int64()))]

    def of_groups(groups: Sequence[int]) -> Chunks:
        chunks = _chunks(wanted)
        parts = pq.ParquetFile(file, metadata=metadata, read_dictionary=texts)
        for batch in parts.iter_batches(_BATCH, groups, needed, use_threads=False):
            spend(size_of_texts(batch.columns, budget))
            rows = batch.filter(_mask(batch, where)) if where else batch
            progress.advance(batch.num_rows)
            if rows.num_rows:
                chunks.add([_plain(name, rows.column(name), dtype) for name, dtype in wanted.items()])
        return chunks

    whole = _chunks(wanted)
    parts = np.array_split(np.arange(metadata.num_row_groups), _PARTS)
    for chunks in each_of(of_groups, [part.tolist() for part in parts if len(part)], metadata.num_rows):
        whole.extend(chunks)
    return _frame(whole, wanted)


def _chunks(wanted: Mapping[str, pl.DataType]) -> Chunks:
    return Chunks({name: dtype if is_number(dtype) else pl.Binary() for name, dtype in wanted.items()})


def _frame(chunks: Chunks, wanted: Mapping[str, pl.DataType]) -> pl.DataFrame:
    frame = chunks.frame()
    return frame.with_columns(_told(frame[name], dtype) for name, dtype in wanted.items() if not is_number(dtype))


def _mask(rows: pa.Table | pa.RecordBatch, where: Sequence[Where]) -> pa.Array | pa.ChunkedArray:
    """Whether all conditions hold, row by row."""
    masks = []
    for condition in where:
        column = rows.column(condition.column)
        if condition == Where(condition.column):
            masks.append(pc.is_valid(column))
            continue
        numbers = _plain(condition.column, column, pl.Int64())
        if condition.one_of is not None:
            masks.append(pc.is_in(numbers, _int64(condition.one_of)))
        if condition.at_least is not None:
            masks.append(pc.greater_equal(numbers, condition.at_least))
        if condition.below is not None:
            masks.append(pc.less(numbers, condition.below))
        if condition.spans is not None:
            inside = (
                pc.and_(pc.greater_equal(numbers, first), pc.less_equal(numbers, last))
                for first, last in condition.spans
            )
            masks.append(reduce(pc.or_, inside, pc.less(numbers, numbers)))
    return reduce(pc.and_, masks)


def _int64(values: Sequence[int]) -> pa.Array:
    # pa.array would import pandas.
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(np.array(values, dtype=np.int64))])


def _series(name: str, column: pa.ChunkedArray, dtype: pl.DataType) -> pl.Series:
    values = pl.Series(name, _plain(name, column, dtype))
    if is_number(dtype):
        return values if dtype == pl.Int64() else fitted(values)
    return _told(values, dtype)


def _plain(name: str, column: pa.Array | pa.ChunkedArray, dtype: pl.DataType) -> pa.Array | pa.ChunkedArray:
    """Numbers as int64, texts and payloads as bytes."""
    if is_number(dtype):
        # Ids are unsigned in these formats and signed in SQLite; the bits are the same.
        if not pa.types.is_integer(column.type) and not pa.types.is_boolean(column.type):
            raise pa.ArrowInvalid(f"column {name} holds {column.type}, not integers")
        return column.cast(pa.int64(), safe=False)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not is_text(column.type):
        raise pa.ArrowInvalid(f"column {name} holds {column.type}, not text")
    # Payloads are bytes in a column that is declared as text, and host strings are in any code page.
    return column.cast(pa.large_binary())


def _told(data: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Bytes as what they are: texts, or payloads."""
    if dtype == pl.Binary():
        # What has no payload has one of no length here, and null in SQLite.
        name = data.name
        return data.to_frame().select(pl.when(pl.col(name).bin.size() > 0).then(name)).to_series()
    return decoded(data)
