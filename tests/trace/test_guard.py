"""Databases that were made to harm: opened for reading alone, bounded by the file's size, refused in one line."""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.trace import bulk, sqlite
from nsysan.trace.btree import is_tree, page_kinds
from nsysan.trace.sqlite import SqliteFile
from nsysan.trace.where import Where
from tests.clitools import paper_trace, run_cli
from tests.conftest import REAL_TRACES
from tests.copies import changed

I64, TEXT, BYTES = pl.Int64(), pl.String(), pl.Binary()
KERNELS = "CUPTI_ACTIVITY_KIND_KERNEL"
Capsys = pytest.CaptureFixture[str]


def refused(path: Path, table: str, column: str, dtype: pl.DataType) -> str:
    with pytest.raises(NsysanError) as error:
        SqliteFile(path).read(table, {column: dtype})
    assert error.value.exit_code == ExitCode.DAMAGED
    assert "\n" not in str(error.value)
    return str(error.value)


def test_views_triggers_and_generated_columns_are_never_run(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS start, i AS end FROM n"
    changed(
        trace,
        f"CREATE VIEW CUPTI_ACTIVITY_KIND_MEMCPY AS {endless}",
        f"CREATE VIEW ThreadNames AS {endless}",
        f"CREATE TRIGGER t AFTER DELETE ON StringIds BEGIN INSERT INTO StringIds {endless}; END",
        "ALTER TABLE TARGET_INFO_GPU ADD COLUMN bomb AS (hex(zeroblob(900000000)))",
        "CREATE TABLE DIAGNOSTIC_EVENT (severity AS (length(zeroblob(900000000))), x)",
        "INSERT INTO DIAGNOSTIC_EVENT (x) VALUES (1)",
        f"CREATE INDEX i ON {KERNELS} (start) WHERE start > 0",
    )
    before = hashlib.sha256(trace.read_bytes()).digest()
    file = SqliteFile(trace)
    assert "CUPTI_ACTIVITY_KIND_MEMCPY" not in file.tables
    assert "bomb" not in file.tables["TARGET_INFO_GPU"]
    assert "severity" not in file.tables["DIAGNOSTIC_EVENT"]
    assert run_cli(capsys, "report", trace, "--json", "-", "-q").code == 0
    assert run_cli(capsys, "info", trace).code == 0
    assert hashlib.sha256(trace.read_bytes()).digest() == before
    assert [path.name for path in tmp_path.iterdir()] == ["t.sqlite"]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM StringIds",
        "ATTACH DATABASE 'other.sqlite' AS other",
        "PRAGMA journal_mode = WAL",
        "CREATE TEMP TABLE t (a)",
        "SELECT load_extension('evil.so')",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n",
    ],
)
def test_only_reading_is_allowed(tmp_path: Path, statement: str) -> None:
    file = SqliteFile(paper_trace(tmp_path / "t.sqlite"))
    with pytest.raises(sqlite3.DatabaseError, match=r"not authorized|prohibited"):
        file._connection.execute(statement)


def test_a_value_larger_than_any_of_nsys_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path / "t.sqlite", "CREATE TABLE t (a)", "INSERT INTO t VALUES (hex(zeroblob(9000000)))")
    assert "too big" in refused(path, "t", "a", TEXT)


def _page(path: Path, number: int) -> bytes:
    return path.read_bytes()[(number - 1) * 4096 : number * 4096]


def _root(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return int(found[0])


def _shared_overflow(path: Path, rows: int) -> Path:
    """Every row's long text runs on in the same chain of pages, which all rows then share."""
    changed(path, "PRAGMA page_size = 4096", "CREATE TABLE t (a)", f"INSERT INTO t VALUES ('{'x' * 1_003_025}')")
    root = _root(path, "t")
    leaf = _page(path, root)
    (start,) = struct.unpack(">H", leaf[8:10])
    # 1,003,025 bytes leave as little as can be in the leaf: 489 bytes, and the number of the first page to go on.
    cell = leaf[start : start + 3 + 1 + 489 + 4]
    assert start + len(cell) == 4096
    cells = min(rows, (4096 - 8) // (len(cell) + 2))
    content = 4096 - cells * len(cell)
    pointers = b"".join(struct.pack(">H", content + n * len(cell)) for n in range(cells))
    header = b"\x0d" + struct.pack(">HHHB", 0, cells, content, 0)
    body = (header + pointers).ljust(content, b"\0") + cell * cells
    data = bytearray(path.read_bytes())
    data[(root - 1) * 4096 : root * 4096] = body
    path.write_bytes(bytes(data))
    return path


def test_texts_that_share_their_pages_cannot_add_up(tmp_path: Path) -> None:
    path = _shared_overflow(tmp_path / "t.sqlite", 100)
    size = path.stat().st_size
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT sum(length(a)) FROM t").fetchone()[0] >= 5 * size
    file = SqliteFile(path)
    # The budget leaves room for one odd value, which is more than this small file's all.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "SQLITE_VALUE", 0)
        with pytest.raises(NsysanError, match="more text than the file can hold"):
            file.read("t", {"a": TEXT})
        with pytest.raises(NsysanError, match="holds more than the file"):
            file.read("t", {"a": BYTES})


def _tree_bomb(path: Path, depth: int, fanout: int) -> Path:
    """A table whose inner pages each name the same child `fanout` times: fanout^depth leaves in depth pages."""
    changed(path, "PRAGMA page_size = 4096", "CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1), (2), (3), (4)")
    root = _root(path, "t")
    data = bytearray(path.read_bytes())
    leaf = bytes(data[(root - 1) * 4096 : root * 4096])
    first = len(data) // 4096 + 1
    pages = [leaf]
    for level in range(depth):
        child = first + level
        cells = b"".join(struct.pack(">I", child) + b"\x7f" for _ in range(fanout))
        content = 4096 - len(cells)
        pointers = b"".join(struct.pack(">H", content + 5 * n) for n in range(fanout))
        header = b"\x05" + struct.pack(">HHHBI", 0, fanout, content, 0, child)
        pages.append((header + pointers).ljust(content, b"\0") + cells)
    for page in pages[:-1]:
        data += page
    data[(root - 1) * 4096 : root * 4096] = pages[-1]
    data[28:32] = struct.pack(">I", len(data) // 4096)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("bulk_rows", [0, 50_000])
def test_a_tree_that_names_one_page_over_and_over_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bulk_rows: int
) -> None:
    path = _tree_bomb(tmp_path / "t.sqlite", depth=8, fanout=200)
    monkeypatch.setattr(sqlite, "BULK_ROWS", bulk_rows)
    monkeypatch.setattr(bulk, "parts", lambda: 1)
    refused(path, "t", "a", I64)
    file = SqliteFile(path)
    with pytest.raises(NsysanError):
        file.count("t")
    # No row is ever delivered, and it ends all the same.
    with pytest.raises(NsysanError):
        file.read("t", {"a": I64}, [Where("a", one_of=[77])])


def test_tables_of_real_traces_are_trees(real_trace: Callable[[str], Path]) -> None:
    path = real_trace("tp4_graph_node")
    with closing(sqlite3.connect(path)) as connection:
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'"))
    assert len(roots) > 10
    kinds = page_kinds(path)
    assert all(is_tree(path, root, kinds) for root in roots.values())
    assert not is_tree(path, 0, kinds)
    assert not is_tree(path, 10**9, kinds)


@pytest.mark.parametrize("name", REAL_TRACES[:6])
def test_bulk_reading_gives_the_same_frames(
    real_trace: Callable[[str], Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = real_trace(name)
    frames = ("kernels", "copies", "launches", "ranges", "graph_nodes")
    plain = [getattr(nsysan.open_trace(path), frame) for frame in frames]
    monkeypatch.setattr(sqlite, "BULK_ROWS", 0)
    monkeypatch.setattr(bulk, "parts", lambda: 3)
    large = [getattr(nsysan.open_trace(path), frame) for frame in frames]
    assert len(plain[0]) > 1_000
    for one, other in zip(plain, large, strict=True):
        assert one.equals(other)


def rows(path: Path, values: Sequence[object], first: int = 1) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
        connection.executemany("INSERT INTO t (rowid, a) VALUES (?, ?)", enumerate(values, first))
    return path


@pytest.mark.parametrize("where", [0, 5, 70_000, 199_999])
@pytest.mark.parametrize("value", ["x", 1.5, b"\x01"])
def test_wrong_type_anywhere_in_a_large_table_is_damage(tmp_path: Path, where: int, value: object) -> None:
    values: list[object] = list(range(200_000))
    values[where] = value
    assert "wrong type" in refused(rows(tmp_path / "t.sqlite", values), "t", "a", I64)


@pytest.mark.parametrize("first", [-(2**63), -100_000, 2**62])
def test_row_ids_at_the_edges(tmp_path: Path, first: int) -> None:
    values = [*range(60_000), None, -(2**63), 2**63 - 1]
    path = rows(tmp_path / "t.sqlite", values, first)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO t (rowid, a) VALUES (?, 5)", (2**63 - 1,))
    assert SqliteFile(path).read("t", {"a": I64})["a"].to_list() == [*values, 5]


def test_texts_and_bytes_of_a_large_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = changed(
        tmp_path / "t.sqlite",
        "CREATE TABLE t (rowid INTEGER, a TEXT, b)",
        "INSERT INTO t VALUES (7, 'x', NULL), (8, NULL, x'00ff'), (9, '', x''), (10, CAST(x'e9' AS TEXT), NULL)",
    )
    monkeypatch.setattr(sqlite, "BULK_ROWS", 0)
    wanted = {"a": TEXT, "rowid": I64, "b": BYTES}
    expected = [("x", 7, None), (None, 8, b"\x00\xff"), ("", 9, b""), ("\ufffd", 10, None)]
    assert SqliteFile(path).read("t", wanted).rows() == expected
    assert SqliteFile(path).read("t", wanted, [Where("rowid", at_least=8, below=10)]).rows() == expected[1:3]
    spans = [(10, 12), (7, 8)]
    assert SqliteFile(path).read("t", wanted, [Where("rowid", spans=spans)]).rows() == [*expected[:2], expected[3]]
    assert SqliteFile(path).read("t", wanted, [Where("rowid", spans=[])]).rows() == []


def test_a_long_text_leaves_the_others_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = changed(
        tmp_path / "t.sqlite",
        "CREATE TABLE t (a INTEGER, b TEXT, c TEXT)",
        f"INSERT INTO t VALUES (1, 'z', 'x'), (2, '{'long' * 5_000}', NULL), (3, 'a', 'y')",
        # An index tempts SQLite to read the texts in its order.
        "CREATE INDEX i ON t (b)",
    )
    monkeypatch.setattr(sqlite, "BULK_ROWS", 0)
    found = SqliteFile(path).read("t", {"a": I64, "b": TEXT, "c": TEXT})
    assert found.rows() == [(1, "z", "x"), (2, "long" * 5_000, None), (3, "a", "y")]


@pytest.mark.parametrize(
    "columns",
    [
        "RowID",
        "rowid, _rowid_",
        "rowid, _ROWID_, oid",
        "oid",
        "rowid INTEGER PRIMARY KEY",
        "rowid PRIMARY KEY",
        "rowid INTEGER PRIMARY KEY, _rowid_, oid",
        "rowid AS (a * 0)",
        "rowid AS (a), _rowid_ AS (a), oid AS (a)",
    ],
)
@pytest.mark.parametrize("kind", ["", "WITHOUT ROWID"])
@pytest.mark.parametrize("parts", [1, 4])
def test_columns_named_like_the_row_id_lose_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str, kind: str, parts: int
) -> None:
    has_key = "PRIMARY KEY" in columns
    key = ", PRIMARY KEY (a)" if kind and not has_key else ""
    path = changed(tmp_path / "t.sqlite", f"CREATE TABLE t (a INTEGER, b TEXT, {columns}{key}) {kind}")
    with closing(sqlite3.connect(path)) as connection, connection:
        plain = [name.split()[0] for name in columns.split(", ") if " AS " not in name]
        # Null, a text, a number beyond the others: what the ids of rows cannot be.
        strange = (None, "x", 10**12)
        for n in range(1, 101):
            odd = [n if has_key and i == 0 else strange[n % 3] for i in range(len(plain))]
            names = ", ".join(["a", "b", *plain])
            connection.execute(
                f"INSERT INTO t ({names}) VALUES ({', '.join('?' * (2 + len(odd)))})", (n, f"v{n}", *odd)
            )
    expected = [(n, f"v{n}") for n in range(1, 101)]
    monkeypatch.setattr(sqlite, "BULK_ROWS", 0)
    monkeypatch.setattr(bulk, "parts", lambda: parts)
    found = SqliteFile(path).read("t", {"a": I64, "b": TEXT})
    assert found.rows() == expected
    assert SqliteFile(path).read("t", {"a": I64}, [Where("a", at_least=91)])["a"].to_list() == list(range(91, 101))


def test_a_trace_with_columns_named_like_the_row_id_gives_the_same_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    monkeypatch.setattr(sqlite, "BULK_ROWS", 0)
    expected = nsysan.analyze(nsysan.open_trace(trace)).ledger
    changed(
        trace, f"ALTER TABLE {KERNELS} ADD COLUMN rowid", f"UPDATE {KERNELS} SET rowid = 'mine' WHERE start % 3 = 0"
    )
    assert nsysan.analyze(nsysan.open_trace(trace)).ledger.equals(expected)
