"""Numbers whose bytes read as a mail address are numbers; the same letters anywhere else are found."""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from nsysan.redact.scan import Names, scan
from nsysan.redact.scan.sqlite_numbers import Numbers, without_numbers

MAIL = "jill@corp.example."
NOBODY = Names({})
BYTES = ("mail address", "the bytes of the file")
COLUMNS = "a INTEGER, b INTEGER, c INTEGER"


def numbers(text: bytes = MAIL.encode()) -> list[int]:
    """Whole numbers of 6 bytes each, which SQLite writes one behind the other, the first byte first."""
    return [int.from_bytes(text[at : at + 6], "big") for at in range(0, len(text), 6)]


def real(text: bytes) -> float:
    """The number whose 8 bytes these are."""
    return float(struct.unpack(">d", text)[0])


def made(path: Path, *statements: str, rows: int = 3, page_size: int = 4_096, secure: str = "ON") -> Path:
    """A file with a table n of rows of such numbers, and what the statements make of it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute(f"PRAGMA secure_delete = {secure}")
        connection.execute(f"CREATE TABLE n({COLUMNS})")
        connection.executemany("INSERT INTO n VALUES (?, ?, ?)", [numbers()] * rows)
        for statement in statements:
            connection.execute(statement)
    return path


def found(path: Path) -> set[tuple[str, str]]:
    """The mail addresses that the search finds, and where."""
    return {(leak.kind, leak.where) for leak in scan(path, NOBODY) if leak.kind == "mail address"}


@pytest.mark.parametrize(
    "statements",
    [
        (),
        ("CREATE INDEX i ON n(a, b, c)",),
        (
            f"CREATE TABLE w(x INTEGER, {COLUMNS}, PRIMARY KEY(x, a)) WITHOUT ROWID",
            "INSERT INTO w SELECT rowid, * FROM n",
        ),
        ("CREATE TABLE m(x TEXT, a, b, c)", "INSERT INTO m SELECT 'ncclAllReduce', * FROM n"),
        ("CREATE TABLE m(a, b, c, x TEXT)", "INSERT INTO m SELECT *, 'ncclAllReduce' FROM n"),
        ("CREATE TABLE m(a, b, c, x)", f"INSERT INTO m SELECT *, '{'reduce ' * 2_000}' FROM n"),
        ("CREATE TABLE m(x TEXT, a, b)", "INSERT INTO m SELECT 'jill@c', b, c FROM n"),
    ],
    ids=("alone", "index", "no rowid", "behind a text", "before a text", "before a long text", "as the end of a text"),
)
@pytest.mark.parametrize("page_size", [512, 65_536])
def test_numbers_that_read_as_an_address_are_numbers(
    statements: tuple[str, ...], page_size: int, tmp_path: Path
) -> None:
    """Rows on several pages, or on one, in every kind of leaf."""
    path = made(tmp_path / "t.sqlite", *statements, rows=40, page_size=page_size)
    assert MAIL.encode() in path.read_bytes()
    assert found(path) == set()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_wide_letters_of_numbers(encoding: str, tmp_path: Path) -> None:
    """As numbers of 6 and of 8 bytes; those that begin with 0 would be shorter."""
    path = tmp_path / "t.sqlite"
    wide = ("x" if encoding == "utf-16-le" else "\0x").encode() + MAIL[1:].encode(encoding)
    values = [real(wide[at : at + 8]) for at in range(0, 32, 8)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE n(a REAL, b REAL, c REAL, d REAL)")
        connection.execute("INSERT INTO n VALUES (?, ?, ?, ?)", values)
    assert wide[:32] in path.read_bytes()
    assert found(path) == set()


@pytest.mark.parametrize("value", [MAIL, MAIL.encode(), f"\1{MAIL}\2", f"\u20ac{MAIL}\u20ac".encode("cp1252")])
def test_the_same_letters_as_a_value_are_found(value: str | bytes, tmp_path: Path) -> None:
    path = made(tmp_path / "t.sqlite", "CREATE TABLE v(x)")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO v VALUES (?)", (value,))
    assert ("mail address", "v.x") in found(path)


def unpointed(content: bytearray) -> None:
    """Take the last cell of the table from the list of its page's cells."""
    content[4_096 + 4] -= 1


def between(content: bytearray) -> None:
    """Write into what the page has not given away, between that list and the cells."""
    content[4_096 + 200 : 4_096 + 200 + len(MAIL)] = MAIL.encode()


def behind(content: bytearray) -> None:
    """Write behind the last page."""
    content += b"\0" + MAIL.encode()


def overlapping(content: bytearray) -> None:
    """Let two cells of the table be one: the page is not as SQLite writes it."""
    content[4_096 + 8 : 4_096 + 10] = content[4_096 + 10 : 4_096 + 12]


@pytest.mark.parametrize("change", [unpointed, between, behind, overlapping])
def test_the_same_letters_beside_the_rows_are_found(change: Callable[[bytearray], None], tmp_path: Path) -> None:
    path = made(tmp_path / "t.sqlite")
    content = bytearray(path.read_bytes())
    assert content[4_096] == 13
    change(content)
    path.write_bytes(content)
    assert found(path) == {BYTES}


@pytest.mark.parametrize(
    "statements",
    [
        ("DELETE FROM n WHERE rowid = 2",),
        ("CREATE TABLE x(y)", "DROP TABLE n"),
        ("PRAGMA writable_schema = ON", "DELETE FROM sqlite_master WHERE name = 'n'"),
    ],
    ids=("a row that was deleted", "a free page", "a page that nothing leads to"),
)
def test_numbers_of_no_row_are_found(statements: tuple[str, ...], tmp_path: Path) -> None:
    assert found(made(tmp_path / "t.sqlite", *statements, secure="OFF")) == {BYTES}


def test_numbers_of_another_file_are_found_beside_it(tmp_path: Path) -> None:
    path = made(tmp_path / "t.sqlite")
    shutil.copyfile(path, tmp_path / "t.sqlite-wal")
    assert found(path) == {("mail address", "the bytes beside the file")}


def test_what_is_left_of_a_run_without_its_numbers(tmp_path: Path) -> None:
    path = made(
        tmp_path / "t.sqlite", "CREATE TABLE m(a, x TEXT, b)", "INSERT INTO m SELECT a, 'decode step', b FROM n", rows=1
    )
    assert set(without_numbers(path, {"jill@cdecode steporp.ex"})) == {"decode step"}
    assert set(without_numbers(path, {MAIL})) == set()


def test_any_file_is_read_within_its_bounds(tmp_path: Path) -> None:
    """Pages in which anything may stand: nothing but spans inside of the file comes out, and in time."""
    good = made(tmp_path / "t.sqlite", "CREATE INDEX i ON n(c, b, a)", rows=60, page_size=512).read_bytes()
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as connection:
        roots = [root for (root,) in connection.execute("SELECT rootpage FROM sqlite_master")]
    numbers_of = random.Random(1)
    everything = Numbers(good, roots).within(0, len(good))
    assert sum(last - first for first, last in everything) > 2 * 60 * len(MAIL)
    for _ in range(300):
        content = bytearray(good)
        for _ in range(numbers_of.choice((1, 4, 60))):
            content[numbers_of.randrange(len(content))] = numbers_of.choice((0, 2, 5, 10, 13, 0x7F, 0xFF))
        content[16:18] = good[16:18]
        spans = list(Numbers(bytes(content), [-1, 0, 1, *roots, 2**70]).within(0, len(content)))
        assert all(0 <= first < last <= len(content) for first, last in spans)
        assert sum(last - first for first, last in spans) <= len(content)


def test_pages_that_lead_to_themselves(tmp_path: Path) -> None:
    """300 pages that each name all pages as their children."""
    content = bytearray(made(tmp_path / "t.sqlite", page_size=512).read_bytes()[:512] + bytes(512 * 300))
    for page in range(1, 301):
        at = 512 * page
        content[at : at + 12] = struct.pack(">BHHHBI", 5, 0, 80, 0, 0, page % 300 + 2)
        content[at + 12 : at + 172] = struct.pack(">80H", *range(180, 500, 4))
        content[at + 180 : at + 500] = struct.pack(">80I", *range(page, page + 80))
    assert list(Numbers(bytes(content), range(1, 2_000)).within(0, len(content))) == []
