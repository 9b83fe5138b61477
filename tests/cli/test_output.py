"""Files that are written: never over one that nobody offered, however it came there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Thread

import click
import pytest

from nsysan import ExitCode, NsysanError
from nsysan.output import write_text
from tests.clitools import paper_trace, run_cli

Capsys = pytest.CaptureFixture[str]
#: The whole command line, which gives its finished file a name only once it is told to.
_TOGETHER = """
import os
from nsysan.cli import main
link = os.link
def when_told(*arguments, **options):
    os.write(1, b"ready")
    os.read(0, 1)
    return link(*arguments, **options)
os.link = when_told
main()
"""


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_of_many_writers_of_one_new_file_one_writes(tmp_path: Path) -> None:
    barrier, codes = Barrier(8), dict[int, int]()

    def write(number: int) -> None:
        barrier.wait()
        try:
            write_text(tmp_path / "out", f"{number}" * 100_000, force=False)
            codes[number] = 0
        except NsysanError as error:
            codes[number] = error.exit_code

    threads = [Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (number for number, code in codes.items() if code == 0)
    assert sorted(codes.values()) == [0, *[ExitCode.OUTPUT_EXISTS] * 7]
    assert (tmp_path / "out").read_text() == f"{winner}" * 100_000
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "-q", "-o", "out"),
        ("report", "-q", "--json", "out"),
        ("compare", "t.sqlite", "-q", "--json", "out"),
        ("export", "-q", "--perfetto", "out"),
        ("redact", "-q", "-o", "out"),
    ],
    ids=" ".join,
)
def test_of_two_commands_with_one_new_file_one_fails(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    paper_trace(tmp_path / "t.sqlite")
    command, pipe = [sys.executable, "-c", _TOGETHER, *arguments, "t.sqlite"], subprocess.PIPE
    both = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    assert [process.stdout.read(5) for process in both if process.stdout] == ["ready"] * 2
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, ExitCode.OUTPUT_EXISTS]
    assert sorted(errors) == ["", "nsysan: out: exists already; pass --force to replace it, or another name\n"]
    assert names(tmp_path) == ["out", "t.sqlite"]


def test_with_force_the_last_one_wins(tmp_path: Path) -> None:
    for text in ("old", "new"):
        write_text(tmp_path / "out", text, force=True)
    assert (tmp_path / "out").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    write_text(tmp_path / "out", "first", force=False)
    with pytest.raises(NsysanError) as refused:
        write_text(tmp_path / "out", "second", force=False)
    assert refused.value.exit_code == ExitCode.OUTPUT_EXISTS
    # And where it appears between the look and the writing.
    monkeypatch.setattr("nsysan.output.check_writable", lambda *_, **__: None)
    with pytest.raises(NsysanError, match="exists already"):
        write_text(tmp_path / "out", "second", force=False)
    assert (tmp_path / "out").read_text() == "first"
    assert names(tmp_path) == ["out"]


def test_a_link_that_leads_nowhere_is_a_name_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("nowhere")
    with pytest.raises(NsysanError, match="exists already"):
        write_text(tmp_path / "out", "text", force=False)
    write_text(tmp_path / "out", "text", force=True)
    assert not (tmp_path / "out").is_symlink()
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("option", ["-o", "--json", "--markdown"])
@pytest.mark.parametrize("way", ["itself", "symbolic link", "hard link", "folder"])
def test_the_trace_is_no_output_by_whatever_name(tmp_path: Path, capsys: Capsys, option: str, way: str) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    data = trace.read_bytes()
    name = "t.sqlite" if way == "itself" else "other"
    if way == "symbolic link":
        (tmp_path / name).symlink_to(trace)
    elif way == "hard link":
        (tmp_path / name).hardlink_to(trace)
    elif way == "folder":
        (tmp_path / "folder").symlink_to(tmp_path)
        name = "folder/t.sqlite"
    for command in (("report", trace), ("compare", trace, trace)):
        result = run_cli(capsys, *command, option, name, "--force")
        assert (result.code, "is the trace itself" in result.err) == (ExitCode.OUTPUT_UNWRITABLE, True)
    assert trace.read_bytes() == data


@pytest.mark.parametrize("way", ["other spelling", "symbolic link", "hard link", "folder"])
@pytest.mark.parametrize("command", ["report", "compare"])
def test_one_file_for_two_options_is_a_usage_error(tmp_path: Path, capsys: Capsys, command: str, way: str) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    (tmp_path / "a").write_text("old")
    other = {"other spelling": "./a", "folder": "folder/a"}.get(way, "b")
    if way == "symbolic link":
        (tmp_path / "b").symlink_to("a")
    elif way == "hard link":
        (tmp_path / "b").hardlink_to(tmp_path / "a")
    elif way == "folder":
        (tmp_path / "folder").symlink_to(".")
    inputs = (trace,) if command == "report" else (trace, trace)
    result = run_cli(capsys, command, *inputs, "-o", "a", "--markdown", other, "--force")
    assert (result.code, result.out) == (2, "")
    assert "-o and --markdown" in result.err
    assert (tmp_path / "a").read_text() == "old"


def test_a_chart_and_a_page_of_one_name_are_a_usage_error(tmp_path: Path, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), "-o", "x-ledger.png", "--png", "x")
    assert result.code == 2
    assert "-o and --png (ledger) both name x-ledger.png" in result.err
    assert names(tmp_path) == ["t.sqlite"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "LONG"),
        ("report", "t.sqlite", "-o", "LONG"),
        ("report", "t.sqlite", "--model", "LONG"),
        ("redact", "t.sqlite", "-o", "LONG"),
        ("history", "list", "--db", "LONG"),
        ("history", "add", "t.sqlite", "--db", "LONG"),
        ("check", "t.sqlite", "--fail-on", "straggler", "--baseline", "LONG"),
    ],
    ids=" ".join,
)
def test_names_that_are_too_long_for_a_file(tmp_path: Path, capsys: Capsys, arguments: tuple[str, ...]) -> None:
    paper_trace(tmp_path / "t.sqlite")
    result = run_cli(capsys, *(word.replace("LONG", "x" * 305) for word in arguments))
    assert result.code in (2, 3, 7, 10, 14)
    assert "Traceback" not in result.err
    assert names(tmp_path) == ["t.sqlite"]


def test_a_working_directory_that_is_gone(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for words in (("report", trace), ("redact", trace, "-o", "x"), ("export", trace, "--perfetto", "x")):
        result = run_cli(capsys, *words)
        assert (result.code, result.err.count("\n")) == (ExitCode.OUTPUT_UNWRITABLE, 1)
    assert run_cli(capsys, "report", trace, "--json", "-", "-q").code == 0

    def panic(*_: object, **__: object) -> None:
        raise BaseException("as of Python 3.13, when polars is loaded there")

    monkeypatch.setattr("nsysan.cli.info.opened", panic)
    result = run_cli(capsys, "info", trace)
    assert (result.code, result.err.count("\n")) == (ExitCode.SYSTEM, 1)


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (OSError(24, "Too many open files"), ExitCode.SYSTEM, 1),
        (MemoryError(), ExitCode.SYSTEM, 1),
        (click.ClickException("odd"), 2, 1),
    ],
)
def test_no_error_ends_with_1(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, lines: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("nsysan.cli.info.opened", fail)
    result = run_cli(capsys, "info", paper_trace(tmp_path / "t.sqlite"))
    assert (result.code, result.err.count("\n")) == (code, lines)


def test_a_bug_says_so(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsysan.cli.info.opened", None)
    with pytest.raises(AssertionError, match="Traceback"):
        run_cli(capsys, "info", paper_trace(tmp_path / "t.sqlite"))


def test_links_in_a_circle_are_one_line(tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    trace = paper_trace(tmp_path / "t.sqlite")
    result = run_cli(capsys, "report", trace, "-o", "one", "--json", "other")
    assert (result.code, result.err.count("\n")) == (ExitCode.OUTPUT_EXISTS, 1)
    assert names(tmp_path) == ["one", "other", "t.sqlite"]
