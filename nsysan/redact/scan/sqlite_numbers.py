"""Numbers in the rows of an SQLite file: bytes that may read as letters, and say nothing.

After "Database File Format", https://www.sqlite.org/fileformat2.html, sections 1.3, 1.6 and 2.1.
"""

from __future__ import annotations

import mmap
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path

from nsysan.budgets import SEARCHED_BYTES, SEARCHED_PACE
from nsysan.redact.scan.printable import LEAST, Content, places
from nsysan.trace.guard import Guard, read_only_uri

#: First and last byte of something in a file or page, the last one exclusive.
Span = tuple[int, int]

_INDEX_INTERIOR, _TABLE_INTERIOR, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13
_INTERIOR, _WITH_ROWS = (_INDEX_INTERIOR, _TABLE_INTERIOR), (_INDEX_INTERIOR, _INDEX_LEAF, _TABLE_LEAF)
_LEAF_HEAD, _INTERIOR_HEAD = 8, 12  # bytes of a page's header; the last 4 of an interior one are its last child
#: Bytes of a value by its serial type: nothing, whole numbers, a real one, 0 and 1.
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_FIRST_TEXT = 12  # types from here on are bytes and texts; 10 and 11 are none


def without_numbers(path: Path, runs: set[str]) -> Iterator[str]:
    """What is left of printable runs of an SQLite file, wherever they are in it, without the numbers of its rows."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        numbers = Numbers(content, _roots(path))
        for begin, end, letters in places(content, runs):
            rest = bytearray(content[begin:end])
            for first, last in numbers.within(begin, end):
                rest[first - begin : last - begin] = bytes(last - first)
            yield from (part.decode() for part in bytes(rest[letters]).split(b"\0") if len(part) >= LEAST)


def _roots(path: Path) -> list[int]:
    with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
        Guard(connection, SEARCHED_BYTES - 1, path.stat().st_size, SEARCHED_PACE).allow(1_000)
        return [root for (root,) in connection.execute("SELECT rootpage FROM sqlite_master") if isinstance(root, int)]


class Numbers:
    """The numbers of the rows of an SQLite file, with all that tells where in a row each value is.

    roots: the first page of each of its tables and indices; of pages that these do not lead to, of free ones, and of
    damaged ones nothing counts as a number.
    """

    def __init__(self, content: Content, roots: Iterable[int]) -> None:
        self._content = content
        size = int.from_bytes(content[16:18], "big")
        self._size = 65_536 if size == 1 else max(size, 512)
        self._usable = self._size - content[20]
        is_any_free = content[36:40] != bytes(4)
        self._live = frozenset() if is_any_free else self._pages_of(roots)
        self._in_page = lru_cache(maxsize=4)(self._spans)

    def within(self, begin: int, end: int) -> Iterator[Span]:
        """The numbers, or parts of them, that lie in these bytes of the file."""
        for page in range(begin // self._size + 1, (end - 1) // self._size + 2):
            at = (page - 1) * self._size
            for first, last in self._in_page(page) if page in self._live else ():
                if at + first < end and at + last > begin:
                    yield max(at + first, begin), min(at + last, end)

    def _pages_of(self, roots: Iterable[int]) -> frozenset[int]:
        """Numbers of the pages with rows; each page is looked at once, wherever a hostile file has it."""
        live, todo = set(), list(set(roots))
        seen = set(todo)
        while todo:
            page = todo.pop()
            at = (page - 1) * self._size
            if page < 2 or at + self._size > len(self._content):
                continue
            kind = self._content[at]
            if kind in _WITH_ROWS:
                live.add(page)
            if kind in _INTERIOR:
                new = self._children(self._content[at : at + self._usable]) - seen
                seen |= new
                todo += new
        return frozenset(live)

    def _children(self, page: bytes) -> set[int]:
        try:
            return {struct.unpack_from(">I", page, at)[0] for at in (_LEAF_HEAD, *_pointers(page))}
        except struct.error:
            return set()

    def _spans(self, page: int) -> list[Span]:
        """The numbers of a page, from its own first byte on; none where its cells are not as SQLite writes them."""
        at = (page - 1) * self._size
        content = self._content[at : at + self._usable]
        found: list[Span] = []
        try:
            cells = sorted(_pointers(content))
            end = _head(content) + 2 * len(cells)
            for begin in cells:
                if begin < end:  # two on the same bytes
                    return []
                end = _cell(content, begin, found)
        except (struct.error, IndexError, ValueError):
            return []
        return found


def _head(page: bytes) -> int:
    return _INTERIOR_HEAD if page[0] in _INTERIOR else _LEAF_HEAD


def _pointers(page: bytes) -> tuple[int, ...]:
    """Where the cells begin."""
    (count,) = struct.unpack_from(">H", page, 3)
    return struct.unpack_from(f">{count}H", page, _head(page))


def _cell(page: bytes, begin: int, found: list[Span]) -> int:
    """Add the numbers of a cell, and say where it ends; ValueError where its parts do not fill it."""
    is_table = page[0] == _TABLE_LEAF
    size, record = _varint(page, begin + (4 if page[0] in _INTERIOR else 0))
    if is_table:
        _, record = _varint(page, record)
    length, at = _varint(page, record)
    head, end = record + length, record + _local(size, len(page), is_table=is_table)
    if head > end or end > len(page):
        raise ValueError("a cell that is longer than its page")
    found.append((begin, head))
    value = head
    while at < head:
        kind, at = _varint(page, at)
        last = value + _length(kind)
        if kind < _FIRST_TEXT and value < min(last, end):
            found.append((value, min(last, end)))
        value = last
    if at != head or value != record + size:
        raise ValueError("a row of another length")
    return end if value == end else end + 4  # the page where it goes on


def _length(kind: int) -> int:
    if kind < _FIRST_TEXT:
        return _SIZES[kind]
    return (kind - _FIRST_TEXT) // 2


def _local(size: int, usable: int, *, is_table: bool) -> int:
    """Bytes of a row that are in its leaf."""
    most = usable - 35 if is_table else (usable - 12) * 64 // 255 - 23
    if size <= most:
        return size
    least = (usable - 12) * 32 // 255 - 23
    kept = least + (size - least) % (usable - 4)
    return kept if kept <= most else least


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, and where it ends."""
    value = 0
    for byte in data[at : at + 8]:
        value = value << 7 | byte & 0x7F
        at += 1
        if byte < 0x80:
            return value, at
    return value << 8 | data[at], at + 1
