"""The pages of a Parquet file, by what their headers say: looked at before a reader believes them.

A reader makes room for what a page says that it unpacks to, whatever the file's metadata says of it. Headers are
structs of Thrift's compact protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md,
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nsysan.budgets import PARQUET_DEPTH, PARQUET_PAGES, TABLES, Budget

#: Fields of a page's header.
_UNPACKED, _PACKED, _DATA, _DATA_2 = 2, 3, 5, 8
#: In a data page's header, and in one of the second version.
_ENCODING, _ENCODING_2 = 2, 4
#: Texts by what they share with the one before: each may stand for all before it. nsys writes none.
_DELTA_BYTE_ARRAY = 7
#: Most headers are short; statistics, which hold a whole text, can make one long.
_HEADERS = tuple(1 << bits for bits in (8, 12, 16, 20, 24))
#: Kinds of values in Thrift's compact protocol, and the bytes of those of one length (true and false have none).
_INTEGERS, _BINARY, _STRUCT = (4, 5, 6), 8, 12
_LENGTHS = {1: 0, 2: 0, 3: 1, 7: 8}
#: Columns whose pages were looked at, of files by name, inode, size and time of change.
_CHECKED: dict[tuple[Path, tuple[int, ...]], frozenset[str]] = {}


def check_pages(file: Path, metadata: pq.FileMetaData, columns: Iterable[str], budget: Budget) -> None:
    """ArrowInvalid where the pages of some columns say that they hold more than the budget."""
    told = file.stat()
    _check(file, (told.st_ino, told.st_size, told.st_mtime_ns), metadata, frozenset(columns), budget)


def _check(
    file: Path, state: tuple[int, ...], metadata: pq.FileMetaData, wanted: frozenset[str], budget: Budget
) -> None:
    """The same once for a file as it is: it is read several times."""
    checked = _CHECKED.get((file, state), frozenset())
    if wanted <= checked:
        return
    budget.check_rows(metadata.num_rows)
    unpacked = pages = 0
    rows = dict.fromkeys(wanted, 0)
    with file.open("rb", buffering=0) as opened:
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            for chunk in (row_group.column(number) for number in range(row_group.num_columns)):
                if chunk.path_in_schema not in wanted or not chunk.num_values:
                    continue
                rows[chunk.path_in_schema] += chunk.num_values
                budget.check_rows(rows[chunk.path_in_schema])
                for size in _pages(opened.fileno(), chunk):
                    pages, unpacked = pages + 1, unpacked + size
                    budget.check_bytes(unpacked)
                    if pages > PARQUET_PAGES:
                        raise pa.ArrowInvalid("more pages than nsys writes")
    if len(_CHECKED) > TABLES:
        _CHECKED.clear()
    _CHECKED[file, state] = max(checked, wanted, key=len)


def _pages(descriptor: int, chunk: pq.ColumnChunkMetaData) -> Iterator[int]:
    """What each page of a column says that it unpacks to."""
    place = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset and 0 < chunk.dictionary_page_offset < place:
        place = chunk.dictionary_page_offset
    end = place + chunk.total_compressed_size
    while 0 <= place < end:
        header, told = _Header(b""), None
        for length in _HEADERS:
            if told is None:
                header = _Header(os.pread(descriptor, length, place))
                told = header.struct()
        size, packed = (told.get(_UNPACKED), told.get(_PACKED)) if told else (None, None)
        if told is None or not isinstance(size, int) or not isinstance(packed, int) or size < 0 or packed < 0:
            raise pa.ArrowInvalid("a page has no header")
        data, data_2 = told.get(_DATA), told.get(_DATA_2)
        encodings = (
            data.get(_ENCODING) if isinstance(data, dict) else None,
            data_2.get(_ENCODING_2) if isinstance(data_2, dict) else None,
        )
        if _DELTA_BYTE_ARRAY in encodings:
            raise pa.ArrowInvalid("texts are packed as nsys packs none")
        yield size
        place += header.at + packed


class _Header:
    """Bytes that begin with a struct; `at`: how many of them it took."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def struct(self) -> dict[int, object] | None:
        """Whole numbers and structs by field; None where the bytes are none, or too few."""
        try:
            return self._struct(0)
        except (LookupError, ValueError):
            return None

    def _struct(self, depth: int) -> dict[int, object]:
        found: dict[int, object] = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._signed()
            found[field] = self._value(head & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> object:
        if depth > PARQUET_DEPTH:
            raise ValueError
        if kind in _INTEGERS:
            return self._signed()
        if kind == _STRUCT:
            return self._struct(depth + 1)
        # No header has lists or maps.
        self._skip(self._varint() if kind == _BINARY else _LENGTHS[kind])
        return None

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        number = shift = 0
        while (byte := self._byte()) & 128:
            number |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError
        return number | byte << shift

    def _signed(self) -> int:
        number = self._varint()
        return number >> 1 ^ -(number & 1)

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self._data):
            raise IndexError
