"""Reading SQLite: any name, any content, any path, and never a crash."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from threading import Thread

import polars as pl
import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.trace.sql import quoted
from nsysan.trace.sqlite import SqliteFile
from nsysan.trace.where import Where
from tests.clitools import paper_trace
from tests.tracebuilder import TraceBuilder, decode_loop

ODD_NAMES = ('with "quotes"', "it's", "a b", "semi;colon", "Ünï-cödé", "select", "[brackets]", "`back`", "per%cent", "")
I64, TEXT = pl.Int64(), pl.String()


def database(path: Path, *statements: str | tuple[str, Iterable[object]]) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            sql, values = (statement, ()) if isinstance(statement, str) else statement
            connection.execute(sql, tuple(values))
    return path


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_table_and_column_names(tmp_path: Path, name: str) -> None:
    path = database(
        tmp_path / "t.sqlite",
        f"CREATE TABLE {quoted('T' + name)} (id INTEGER, {quoted('c' + name)} TEXT)",
        f"INSERT INTO {quoted('T' + name)} VALUES (7, 'seven')",
    )
    file = SqliteFile(path)
    assert file.tables == {f"T{name}": ("id", f"c{name}")}
    assert file.count(f"T{name}") == 1
    assert file.read(f"T{name}", {f"c{name}": TEXT, "id": I64}).rows() == [("seven", 7)]


def test_virtual_tables_and_views_are_no_tables(tmp_path: Path) -> None:
    path = database(
        tmp_path / "t.sqlite",
        "CREATE TABLE plain (id INTEGER)",
        "CREATE VIEW seen AS SELECT load_extension('evil') AS id",
        "CREATE TABLE host (x)",
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        sql = "CREATE VIRTUAL TABLE host USING a_module_of_theirs"
        # Written by hand, since no module for virtual tables is in every SQLite.
        connection.execute("UPDATE sqlite_master SET rootpage = 0, sql = ? WHERE name = 'host'", (sql,))
    assert SqliteFile(path).tables == {"plain": ("id",)}


def test_view_named_like_a_table_of_nsys_is_not_read(tmp_path: Path) -> None:
    path = database(
        tmp_path / "t.sqlite",
        "CREATE VIEW CUPTI_ACTIVITY_KIND_KERNEL AS SELECT 1 AS start, 2 AS end",
    )
    with pytest.raises(NsysanError) as refused:
        nsysan.open_trace(path)
    assert refused.value.exit_code == ExitCode.NOT_NSYS


def test_missing_columns_are_null_and_missing_tables_empty(tmp_path: Path) -> None:
    file = SqliteFile(database(tmp_path / "t.sqlite", "CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1), (2)"))
    wanted = {"b": TEXT, "a": I64, "c": I64}
    frame = file.read("t", wanted)
    assert frame.schema == wanted
    assert frame.rows() == [(None, 1, None), (None, 2, None)]
    for nothing in (file.read("none", wanted), file.read("t", {"b": TEXT})):
        assert nothing.is_empty()
    assert file.read("none", wanted).schema == wanted


def test_rows_are_filtered_in_sql(tmp_path: Path) -> None:
    file = SqliteFile(database(tmp_path / "t.sqlite", "CREATE TABLE t (a, b)", "INSERT INTO t VALUES (1, 2), (3, 4)"))
    assert file.read("t", {"b": I64}, [Where("a", one_of=[3])]).rows() == [(4,)]


def test_whole_range_of_64_bits_arrives(tmp_path: Path) -> None:
    least, most = -(2**63), 2**63 - 1
    path = database(
        tmp_path / "t.sqlite", "CREATE TABLE t (a)", ("INSERT INTO t VALUES (?), (?), (NULL)", (least, most))
    )
    assert SqliteFile(path).read("t", {"a": I64})["a"].to_list() == [least, most, None]


def test_text_that_is_not_utf8_is_kept_readable(tmp_path: Path) -> None:
    path = database(
        tmp_path / "t.sqlite",
        "CREATE TABLE t (a TEXT)",
        "INSERT INTO t VALUES (CAST(x'63616666e9' AS TEXT)), (CAST(x'fffe00' AS TEXT)), ('日本')",
    )
    assert SqliteFile(path).read("t", {"a": TEXT})["a"].to_list() == ["caff\ufffd", "\ufffd\ufffd\0", "日本"]


def test_host_strings_that_are_not_utf8_do_not_stop_a_report(tmp_path: Path) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    database(trace, "UPDATE TARGET_INFO_GPU SET name = CAST(x'4e56e9' AS TEXT)")
    run = nsysan.analyze(nsysan.open_trace(trace))
    assert {rank.model for rank in run.ranks} == {"NV\ufffd"}


@pytest.mark.parametrize("value", ["'text'", "1.5", "x'0102'", "''"])
def test_wrong_type_in_a_number_column_is_damage(tmp_path: Path, value: str) -> None:
    rows = "INSERT INTO t VALUES (1), (2), (NULL)"
    path = database(tmp_path / "t.sqlite", "CREATE TABLE t (a)", rows, f"INSERT INTO t VALUES ({value})")
    with pytest.raises(NsysanError, match="table t holds values of a wrong type") as damaged:
        SqliteFile(path).read("t", {"a": I64})
    assert damaged.value.exit_code == ExitCode.DAMAGED
    assert str(damaged.value).startswith(f"{path}: ")


@pytest.mark.parametrize("value", ["1", "1.5", "x'0102'"])
def test_wrong_type_in_a_text_column_is_damage(tmp_path: Path, value: str) -> None:
    path = database(tmp_path / "t.sqlite", "CREATE TABLE t (a)", f"INSERT INTO t VALUES ('x'), ({value})")
    with pytest.raises(NsysanError) as damaged:
        SqliteFile(path).read("t", {"a": TEXT})
    assert damaged.value.exit_code == ExitCode.DAMAGED


def test_text_among_start_times_is_damage(tmp_path: Path) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    database(trace, "UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET start = 'soon' WHERE rowid = 5")
    with pytest.raises(NsysanError, match="CUPTI_ACTIVITY_KIND_KERNEL") as damaged:
        nsysan.analyze(nsysan.open_trace(trace))
    assert damaged.value.exit_code == ExitCode.DAMAGED


@pytest.mark.parametrize("name", ["a?mode=rw", "a#b", "100%", "a%20b", "a b  c", "it's", 'a"b', "ü日本", "a\nb", "-x"])
def test_paths_with_special_characters(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    trace = paper_trace(folder / f"{name}.sqlite", ranks=1)
    assert nsysan.analyze(nsysan.open_trace(trace)).ranks[0].trace == f"{name}.sqlite"
    assert os.listdir(folder) == [f"{name}.sqlite"]


def test_path_that_is_not_utf8(tmp_path: Path) -> None:
    trace = paper_trace(tmp_path / "t.sqlite").rename(tmp_path / os.fsdecode(b"caf\xe9.sqlite"))
    assert "CUPTI_ACTIVITY_KIND_KERNEL" in SqliteFile(trace).tables


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paper_trace(tmp_path / "t.sqlite")
    monkeypatch.chdir(tmp_path)
    assert SqliteFile(Path("t.sqlite")).count("CUPTI_ACTIVITY_KIND_KERNEL") == 64


def test_journal_beside_the_file_is_an_interrupted_export(tmp_path: Path) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    journal = tmp_path / "t.sqlite-journal"
    journal.touch()
    with pytest.raises(NsysanError, match="interrupted") as refused:
        SqliteFile(trace)
    assert refused.value.exit_code == ExitCode.DAMAGED
    journal.unlink()
    assert SqliteFile(trace).count("CUPTI_ACTIVITY_KIND_KERNEL") == 64


def test_nothing_can_be_written_through_it(tmp_path: Path) -> None:
    file = SqliteFile(paper_trace(tmp_path / "t.sqlite"))
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        file._connection.execute("DELETE FROM StringIds")


def test_frames_outlive_the_connection(tmp_path: Path) -> None:
    file = SqliteFile(paper_trace(tmp_path / "t.sqlite"))
    frame = file.read("CUPTI_ACTIVITY_KIND_KERNEL", {"start": I64})
    file.close()
    assert frame["start"].min() == 1_000_000
    with pytest.raises(NsysanError):
        file.count("CUPTI_ACTIVITY_KIND_KERNEL")


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("CUPTI_ACTIVITY_KIND_KERNEL", "graphNodeId"),
        ("CUPTI_ACTIVITY_KIND_KERNEL", "demangledName"),
        ("CUPTI_ACTIVITY_KIND_RUNTIME", "eventClass"),
        ("NVTX_EVENTS", "jsonText"),
        ("TARGET_INFO_GPU", "cuDevice"),
        ("DIAGNOSTIC_EVENT", "globalPid"),
    ],
)
def test_column_that_other_nsys_versions_lack(tmp_path: Path, table: str, column: str) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=2)
    builder.diagnostic("a message")
    trace = builder.write(tmp_path / "t.sqlite", drop_columns={table: [column]})
    ledger = nsysan.analyze(nsysan.open_trace(trace)).ledger
    steady = ledger.filter("steady")
    assert steady["period_ns"].median() == 38_000
    assert steady["compute_ns"].median() == 20_000


def test_threads_that_read_at_once_do_not_wait_for_each_other_for_ever(tmp_path: Path) -> None:
    file = SqliteFile(paper_trace(tmp_path / "t.sqlite"))
    columns = {"id": pl.Int64(), "value": pl.String()}
    expected = file.read("StringIds", columns)
    found: list[pl.DataFrame] = []

    def read() -> None:
        for _ in range(100):
            found.append(file.read("StringIds", columns))

    threads = [Thread(target=read, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    assert len(found) == 400
    assert all(frame.equals(expected) for frame in found)
