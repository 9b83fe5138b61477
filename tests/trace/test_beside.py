"""Journals and logs that SQLite left beside a trace: what they hold is in the file, or the trace is refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.trace import beside
from tests.clitools import paper_trace, run_cli

Capsys = pytest.CaptureFixture[str]
KERNELS = "CUPTI_ACTIVITY_KIND_KERNEL"
LATER = f"UPDATE {KERNELS} SET end = end + 1000000"


def left(folder: Path, *statements: str, commit: bool = True) -> Path:
    """A trace with the log that a program leaves which changed it so and was killed."""
    trace = paper_trace(folder / "made.sqlite", steps=40)
    with closing(sqlite3.connect(trace, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        # Few pages in memory, so that what is not committed is in the log as well.
        connection.execute("PRAGMA cache_size = 2")
        if not commit:
            connection.execute("BEGIN")
        for statement in statements:
            connection.execute(statement)
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{trace}{suffix}", folder / f"t.sqlite{suffix}")
    trace.unlink()
    return folder / "t.sqlite"


def log_of(trace: Path) -> Path:
    return trace.with_name(trace.name + "-wal")


def period(trace: Path) -> object:
    return nsysan.analyze(nsysan.open_trace(trace)).ledger.filter("steady")["period_ns"].median()


@pytest.mark.parametrize(
    "command", ["report", "info", "check", "compare", "history add", "export", "redact"], ids=str.split
)
def test_a_log_that_is_not_merged_is_refused_in_one_line(tmp_path: Path, capsys: Capsys, command: str) -> None:
    trace = left(tmp_path, LATER)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    options = {
        "check": ("--fail-on", "straggler"),
        "compare": (trace,),
        "export": ("--perfetto", tmp_path / "out"),
        "redact": ("-o", tmp_path / "out"),
        "history add": ("--db", tmp_path / "h.db"),
    }
    result = run_cli(capsys, *command.split(), trace, *options.get(command, ()))
    assert (result.code, result.out) == (ExitCode.DAMAGED, "")
    last = result.err.splitlines()[-1]
    size = log_of(trace).stat().st_size
    assert f"what is in t.sqlite-wal beside it ({size:,} bytes) is not in the file yet" in last
    assert "sqlite3 t.sqlite 'PRAGMA wal_checkpoint(TRUNCATE)'" in last
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_the_line_says_helps(tmp_path: Path) -> None:
    trace = left(tmp_path, f"DELETE FROM {KERNELS} WHERE deviceId = 3")
    with pytest.raises(NsysanError):
        nsysan.open_trace(trace)
    with closing(sqlite3.connect(trace)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert len(nsysan.analyze(nsysan.open_trace(trace)).ranks) == 3


def test_a_log_of_an_earlier_file_can_be_removed(tmp_path: Path) -> None:
    trace = left(tmp_path, LATER)
    log_of(trace).unlink()
    assert period(trace) == period(paper_trace(tmp_path / "other.sqlite", steps=40))


def test_a_log_that_is_merged_is_no_matter(tmp_path: Path) -> None:
    # Merged without being emptied, as by a program that was killed then.
    trace = left(tmp_path, LATER, "PRAGMA wal_checkpoint(PASSIVE)")
    assert log_of(trace).stat().st_size > 4_096
    merged = period(trace)
    log_of(trace).unlink()
    assert merged == period(trace)


def test_of_a_log_that_was_begun_anew_the_old_rest_does_not_count(tmp_path: Path) -> None:
    trace = left(
        tmp_path, LATER, "PRAGMA wal_checkpoint(RESTART)", f"UPDATE {KERNELS} SET end = end + 1 WHERE rowid = 1"
    )
    with pytest.raises(NsysanError, match="not in the file yet"):
        nsysan.open_trace(trace)
    # And that of the new part, once it is in the file, is no matter either.
    new = left(
        tmp_path,
        LATER,
        "PRAGMA wal_checkpoint(RESTART)",
        f"UPDATE {KERNELS} SET end = end + 1 WHERE rowid = 1",
        "PRAGMA wal_checkpoint(PASSIVE)",
    )
    assert log_of(new).stat().st_size > 3 * 4_096
    nsysan.open_trace(new)


def test_what_was_never_committed_is_not_missed(tmp_path: Path) -> None:
    trace = left(tmp_path, LATER, commit=False)
    assert log_of(trace).stat().st_size > 4_096
    assert period(trace) == period(paper_trace(tmp_path / "other.sqlite", steps=40))


def test_pages_that_are_gone_at_the_end_do_not_count(tmp_path: Path) -> None:
    big = "CREATE TABLE big AS SELECT hex(randomblob(40000)) AS x"
    trace = left(tmp_path, big, "DROP TABLE big", "VACUUM", "PRAGMA wal_checkpoint(PASSIVE)")
    assert log_of(trace).stat().st_size > 80_000
    nsysan.open_trace(trace)


@pytest.mark.parametrize("content", [b"", b"x", b"\x37\x7f\x06\x82", b"\x00" * 8_192, b"not a log " * 1_000])
def test_what_is_no_log_is_what_sqlite_takes_it_for(tmp_path: Path, content: bytes) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    log_of(trace).write_bytes(content)
    nsysan.open_trace(trace)
    assert log_of(trace).read_bytes() == content


def test_a_log_too_large_to_look_into_is_not_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = left(tmp_path, LATER, "PRAGMA wal_checkpoint(PASSIVE)")
    nsysan.open_trace(trace)
    monkeypatch.setattr(beside, "WAL_BYTES", 4_096)
    with pytest.raises(NsysanError, match="not in the file yet"):
        nsysan.open_trace(trace)


@pytest.mark.parametrize("name", ["folder", "pipe"])
def test_a_log_that_is_no_file_is_none(tmp_path: Path, name: str) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    (os.mkdir if name == "folder" else os.mkfifo)(log_of(trace))
    nsysan.open_trace(trace)


def test_they_are_found_beside_the_file_that_a_link_leads_to(tmp_path: Path) -> None:
    trace = left(tmp_path, LATER)
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.sqlite"
    link.symlink_to(trace)
    with pytest.raises(NsysanError, match=r"t\.sqlite-wal"):
        nsysan.open_trace(link)
    log_of(trace).unlink()
    nsysan.open_trace(link)
    trace.with_name("t.sqlite-journal").touch()
    with pytest.raises(NsysanError, match="interrupted"):
        nsysan.open_trace(link)


def test_of_several_reports_the_one_with_a_log_is_left_out_by_name(tmp_path: Path, capsys: Capsys) -> None:
    trace = left(tmp_path, LATER)
    other = paper_trace(tmp_path / "a.sqlite")
    result = run_cli(capsys, "report", other, trace, "--json", "-")
    assert result.code == 0
    assert "left out" in result.err
    assert "t.sqlite-wal" in result.err
