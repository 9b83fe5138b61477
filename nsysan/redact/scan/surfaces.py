"""Every text of an output, whatever its format: values and bytes, packed parts unpacked, metadata included."""

from __future__ import annotations

import base64
import binascii
import json
import mmap
import re
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

from nsysan.budgets import SEARCHED_BYTES, SEARCHED_PACE
from nsysan.redact.scan.printable import Values, is_plain, runs
from nsysan.trace.guard import Guard, read_only_uri
from nsysan.trace.sql import quoted

#: Where a text was found, for people, and the text.
Found = tuple[str, str]

BYTES, BESIDE = "the bytes of the file", "the bytes beside the file"
_SQLITE, _PARQUET, _ARROW, _PNG, _GZIP = b"SQLite format 3\0", b"PAR1", b"ARROW1", b"\x89PNG\r\n\x1a\n", b"\x1f\x8b"
_WITH_HASHES = (("meta", "content"), ("script", "integrity"), ("script", "data-integrity"))
_HASH = re.compile(r"sha(?:256|384)-[A-Za-z0-9+/]{43,64}={0,2}")
_PACKED = re.compile(r"H4sI[A-Za-z0-9+/\s]{16,}={0,2}")
_COLUMNS, _TABLES = 'id="columns">', b'"tables":'
_STEPS = 100_000  # times a million instructions of SQLite: the copy is our own


def texts_of_file(path: Path) -> Iterator[Found]:
    """The texts of a file or of each file in a folder, and of what lies beside it under its name."""
    if path.is_dir():
        for table in sorted(path.iterdir()):
            yield ("the name of a file", table.name)
            yield from ((f"{table.stem}, {where}", text) for where, text in texts_of_file(table))
        return
    with path.open("rb") as file:
        head = file.read(16)
    if head == _SQLITE:
        yield from _sqlite(path)
        for journal in ("-wal", "-journal", "-shm"):
            if (beside := path.with_name(path.name + journal)).exists():
                yield from ((BESIDE, run) for run in runs(beside.read_bytes()))
        return
    content = path.read_bytes()
    if path.suffix == ".arrow" or head.startswith((_PARQUET, _ARROW)):
        yield from _columns(content)
    else:
        yield from texts_of(content)


def texts_of(content: bytes) -> Iterator[Found]:
    """The texts of a document: HTML, JSON, Markdown, a log, a picture, or one of these packed."""
    if content.startswith(_GZIP):
        yield from texts_of(_gunzip(content))
    elif content.startswith(_PNG):
        yield from _chunks(content)
    else:
        yield from _document(content.decode("utf-8", "replace"))


def _document(text: str) -> Iterator[Found]:
    head = text[:200].lstrip().lower()
    if head.startswith(("{", "[")):
        try:
            yield from _json(json.loads(text, object_pairs_hook=list))
            return
        except (ValueError, RecursionError):
            pass
    if head.startswith(("<!doctype html", "<html")):
        yield from _html(text)
        return
    for number, line in enumerate(text.splitlines(), 1):
        yield (f"line {number}", line)


def _json(value: object, where: str = "") -> Iterator[Found]:
    """Names and values, told by the name on the way; objects come as lists of pairs, so that none hides another."""
    if isinstance(value, str):
        yield (where or "its text", value)
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, tuple):
                yield (where or "a name", entry[0])
                inside = entry[0] if re.fullmatch(r"[A-Za-z_]{1,40}", entry[0]) else "a name"
                yield from _json(entry[1], where or inside)
            else:
                yield from _json(entry, where)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Found] = []

    def handle_data(self, data: str) -> None:
        self.found.append(("the page's text", data))

    def handle_comment(self, data: str) -> None:
        self.found.append(("a comment of the page", data))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            # The page's policy allows scripts by their hashes.
            told = _HASH.sub("", value or "") if (tag, name) in _WITH_HASHES else value
            if told:
                self.found.append(("an attribute of the page", told))


def _html(text: str) -> Iterator[Found]:
    from nsysan.page.elements import own_script, own_style

    for ours in (own_script(), own_style()):
        text = text.replace(ours, " ")
    inside = {packed: content for packed in _PACKED.findall(text) if (content := _unpacked(packed)) is not None}
    sizes = {_size_of_tables(content) for content in inside.values()}
    for packed, content in inside.items():
        # Numbers of the timeline, and nothing else: as many bytes as its tables are said to have.
        is_numbers = f"{_COLUMNS}{packed}<" in text and len(content) in sizes
        if not is_numbers and not _is_plotly(content):
            yield from ((f"the page's data, {where}", found) for where, found in texts_of(content))
        text = text.replace(packed, " ")
    page = _Page()
    page.feed(text)
    page.close()
    yield from page.found


def _unpacked(packed: str) -> bytes | None:
    try:
        return _gunzip(base64.b64decode(packed))
    except (binascii.Error, zlib.error, ValueError):
        return None


def _size_of_tables(content: bytes) -> int | None:
    """Bytes of the tables of numbers that the page's data describes (see page.planes)."""
    if (at := content.find(_TABLES)) < 0:
        return None
    try:
        tables, _ = json.JSONDecoder().raw_decode(content[at + len(_TABLES) :].decode("utf-8", "replace"))
        return int(sum(sum(told["rows"]) * sum(width for _, width, _ in told["columns"]) for told in tables.values()))
    except (ValueError, OverflowError, RecursionError, LookupError, TypeError, AttributeError):
        return None


def _is_plotly(content: bytes) -> bool:
    from plotly.offline import get_plotlyjs

    from nsysan.page.pack import carried

    return content in (carried().encode(), get_plotlyjs().encode())


def _gunzip(content: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(content, SEARCHED_BYTES)


def _chunks(content: bytes) -> Iterator[Found]:
    """Texts beside the picture; what is drawn in it is searched before it is drawn."""
    at = len(_PNG)
    while at + 8 <= len(content):
        size, kind = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + size]
        at += 12 + size
        if kind in (b"IDAT", b"IHDR", b"IEND"):
            continue
        name = kind.decode("latin-1")
        yield (f"chunk {name}", body.decode("latin-1"))
        for begin in range(min(len(body), 100)):
            if body[begin : begin + 1] == b"x":  # zlib's first byte
                try:
                    packed = zlib.decompressobj().decompress(body[begin:], SEARCHED_BYTES)
                except zlib.error:
                    continue
                yield (f"chunk {name}", packed.decode("utf-8", "replace"))
    if content[at:]:
        yield from (("the bytes behind the picture", run) for run in runs(content[at:]))


def _sqlite(path: Path) -> Iterator[Found]:
    known = Values()
    with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
        guard = Guard(connection, SEARCHED_BYTES - 1, path.stat().st_size, SEARCHED_PACE)
        guard.allow(_STEPS)
        connection.text_factory = bytes
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
            for text in (name, sql or b""):
                yield ("the schema", text.decode("utf-8", "replace"))
                known.add(text)
            if kind != b"table":
                continue
            yield from _values(connection, guard, name.decode("utf-8", "surrogateescape"), known)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield from ((BYTES, run) for run in known.runs_beside(content))


def _values(connection: sqlite3.Connection, guard: Guard, table: str, known: Values) -> Iterator[Found]:
    guard.allow(_STEPS)
    told = connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
    names = [(row[1].decode("utf-8", "surrogateescape"), row[2].upper()) for row in told]
    numbers = [name for name, kind in names if kind in (b"INTEGER", b"REAL")]
    groups = [[name] for name, _ in names if name not in numbers] + [numbers] * bool(numbers)
    for columns in groups:
        guard.allow(_STEPS)
        for row in _texts_in(connection, table, columns):
            for column, value in zip(columns, row, strict=True):
                if not isinstance(value, bytes):
                    continue
                known.add(value)
                if not is_plain(value):
                    yield from ((f"{table}.{column}", run) for run in runs(value))
                yield (f"{table}.{column}", value.decode("utf-8", "replace"))


def _texts_in(connection: sqlite3.Connection, table: str, columns: list[str]) -> sqlite3.Cursor:
    """Distinct values of columns that hold any text or bytes, whatever they are declared to hold."""
    shown = [quoted(column) for column in columns]
    told = " OR ".join(f"typeof({column}) IN ('text', 'blob')" for column in shown)
    return connection.execute(f"SELECT DISTINCT {', '.join(shown)} FROM {quoted(table)} WHERE {told}")


def _columns(content: bytes) -> Iterator[Found]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pa.BufferReader(content)
    if content.startswith(_PARQUET):
        file = pq.ParquetFile(source)
        yield from _metadata(file.metadata.metadata)
        table = file.read()
    else:
        reader = pa.ipc.open_file(source) if content.startswith(_ARROW) else pa.ipc.open_stream(source)
        table = reader.read_all()
    yield from _metadata(table.schema.metadata)
    for field in table.schema:
        yield ("the name of a column", field.name)
        yield from _metadata(field.metadata)
        column = table.column(field.name)
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_boolean(field.type):
            continue
        for value in column.cast(pa.large_binary()).unique().to_pylist():
            if value:
                yield from ((field.name, run) for run in runs(value))
                yield (field.name, value.decode("utf-8", "replace"))


def _metadata(metadata: Mapping[bytes, bytes] | None) -> Iterator[Found]:
    for name, value in (metadata or {}).items():
        if name == b"ARROW:schema":  # written by the writer, of what is read here anyhow
            continue
        yield ("the metadata", name.decode("utf-8", "replace"))
        yield ("the metadata", value.decode("utf-8", "replace"))
