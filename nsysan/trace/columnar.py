"""A folder of Parquet or Arrow files, one a table, as `nsys export --type parquetdir` or `arrowdir` writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nsysan import progress
from nsysan._errors import ExitCode, NsysanError
from nsysan.columns.chunks import Chunks, fitted
from nsysan.columns.threads import each_of
from nsysan.trace.store import completed, damaged, decoded, is_number
from nsysan.trace.where import Where, applicable

SUFFIXES = {".parquet": "parquetdir", ".arrow": "arrowdir"}
_FILE_FORMAT = b"ARROW1"
_T = TypeVar("_T")
_MAX_TABLES = 5_000
#: Larger tables are read in parts.
BULK_ROWS = 50_000
_BATCH = 65_536
_PARTS = 8
#: Compressed, a file of one column of one value holds far more rows than bytes; nsys' own have less than one.
MOST_ROWS_A_BYTE = 100


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
        if len(files) > _MAX_TABLES:
            raise NsysanError(f"{path}: a folder of {len(files)} tables is no export of nsys", ExitCode.NOT_NSYS)
        self._kind = SUFFIXES[files[0].suffix]
        self.files = {file.stem: file for file in files if SUFFIXES[file.suffix] == self._kind}
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

        def frame(file: Path) -> pl.DataFrame:
            count = _rows(file)
            if count > MOST_ROWS_A_BYTE * file.stat().st_size:
                raise pa.ArrowInvalid("more rows than its bytes can hold")
            wanted = {name: columns[name] for name in present}
            if file.suffix == ".parquet" and count >= BULK_ROWS:
                progress.stage(f"reading {table}", count)
                return _in_parts(file, wanted, conditions)
            rows = _table(file, _needed(wanted, conditions))
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


def _schema(file: Path) -> pa.Schema:
    if file.suffix == ".parquet":
        return pq.read_schema(file, memory_map=False)
    with _arrow(file) as reader:
        return reader.schema


def _rows(file: Path) -> int:
    if file.suffix == ".parquet":
        return int(pq.ParquetFile(file).metadata.num_rows)
    return int(_table(file, _schema(file).names[:1]).num_rows)


def _table(file: Path, columns: list[str]) -> pa.Table:
    if file.suffix == ".parquet":
        return pq.ParquetFile(file).read(columns)
    with _arrow(file) as reader:
        table = reader.read_all()
    table.validate()
    selected = table.select(columns)
    for column in selected.columns:
        # Offsets that lie outside of the text would be followed, into whatever memory is there.
        plain = column.cast(pa.binary()) if pa.types.is_string(column.type) else column
        (plain.cast(pa.large_binary()) if pa.types.is_large_string(plain.type) else plain).validate(full=True)
    return selected


def _arrow(file: Path) -> pa.RecordBatchReader:
    """A reader of an Arrow file; nsys 2025.3 writes the stream format under the name of the other."""
    source = pa.OSFile(str(file))
    return pa.ipc.open_file(source) if is_file_format(file) else pa.ipc.open_stream(source)


def is_file_format(file: Path) -> bool:
    """Whether an Arrow file is in the file format, and not in that of a stream."""
    with file.open("rb") as head:
        return head.read(len(_FILE_FORMAT)) == _FILE_FORMAT


def _needed(wanted: Iterable[str], where: Sequence[Where]) -> list[str]:
    return list(dict.fromkeys([*wanted, *(condition.column for condition in where)]))


def _in_parts(file: Path, wanted: Mapping[str, pl.DataType], where: Sequence[Where]) -> pl.DataFrame:
    """Columns of a large file, read in threads, of which never more than a few thousand rows are there as they are."""
    types = {name: dtype if is_number(dtype) else pl.Binary() for name, dtype in wanted.items()}
    metadata = pq.ParquetFile(file).metadata

    def of_groups(groups: Sequence[int]) -> Chunks:
        chunks = Chunks(types)
        parts = pq.ParquetFile(file, metadata=metadata)
        for batch in parts.iter_batches(_BATCH, groups, _needed(wanted, where), use_threads=False):
            rows = batch.filter(_mask(batch, where)) if where else batch
            progress.advance(batch.num_rows)
            if rows.num_rows:
                chunks.add([_plain(name, rows.column(name), dtype) for name, dtype in wanted.items()])
        return chunks

    whole = Chunks(types)
    parts = np.array_split(np.arange(metadata.num_row_groups), _PARTS)
    for chunks in each_of(of_groups, [part.tolist() for part in parts if len(part)], metadata.num_rows):
        whole.extend(chunks)
    frame = whole.frame()
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
    if not (pa.types.is_large_string(column.type) or pa.types.is_string(column.type) or _is_bytes(column.type)):
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


def _is_bytes(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype))
