"""A page that nsysan wrote, and nobody changed, makes room for the next; anything else stays."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from nsysan import ExitCode, NsysanError
from nsysan.output import own_page, signed, subject, write_text
from tests.clitools import run_cli
from tests.tracebuilder import TraceBuilder, decode_loop

OF = subject(["a trace"])
PAGE = signed("<html>one</html>\n", OF)


def test_its_own_page_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    for page in (PAGE, signed("<html>two</html>\n", OF)):
        write_text(path, page, force=False)
        assert path.read_text("utf-8") == page


@pytest.mark.parametrize(
    "content",
    [
        "",
        "mine",
        PAGE + "\n",
        PAGE.replace("one", "won"),
        "mine " + PAGE,
        PAGE[:-1],
        PAGE.replace("\n", "\r\n"),
        PAGE.replace(OF, subject(["another"])),
        PAGE[PAGE.index("<!--") :] + PAGE,
    ],
)
def test_anything_else_stays(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.html"
    path.write_bytes(content.encode())
    with pytest.raises(NsysanError) as refused:
        write_text(path, PAGE, force=False)
    assert refused.value.exit_code == ExitCode.OUTPUT_EXISTS
    assert path.read_bytes() == content.encode()
    write_text(path, PAGE, force=True)


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PAGE, "utf-8")
    (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
    assert own_page(tmp_path / "page.html")
    with pytest.raises(NsysanError):
        write_text(tmp_path / "link.html", PAGE, force=False)


def test_a_page_of_something_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_text(PAGE, "utf-8")
    other = signed("<html>two</html>\n", subject(["another trace"]))
    assert own_page(path, OF)
    assert not own_page(path, subject(["another trace"]))
    with pytest.raises(NsysanError, match=r"exists already, a page of another trace.*--force .*\(-o\)"):
        write_text(path, other, force=False)
    with pytest.raises(NsysanError, match=r"exists already; pass --force"):
        write_text(path, "{}\n", force=False)
    write_text(path, other, force=True)
    assert path.read_text("utf-8") == other


def two_runs() -> None:
    """run1/trace.sqlite and run2/trace.sqlite, of sessions that begin 9 ns apart."""
    for number in (1, 2):
        builder = TraceBuilder(utc_epoch_ns=1_795_224_063_000_000_000 + 9 * number)
        decode_loop(builder, steps=12)
        Path(f"run{number}").mkdir()
        builder.write(Path(f"run{number}/trace.sqlite"))


def test_the_page_of_another_run_stays_and_is_not_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    two_runs()
    for options in ((), ("--steps", "2:9"), ("--from", "0s")):
        assert run_cli(capsys, "report", "run1/trace.sqlite", *options).code == 0
    first = Path("trace.html").read_bytes()
    for traces in (["run2/trace.sqlite"], ["run2/trace.sqlite", "gone.sqlite"]):
        result = run_cli(capsys, "report", *traces, *(("-o", "trace.html") if len(traces) > 1 else ()))
        assert (result.code, result.out) == (ExitCode.OUTPUT_EXISTS, "")
        assert "nsysan: trace.html: exists already, a page of another trace, comparison or history; pass" in result.err
    assert Path("trace.html").read_bytes() == first
    assert run_cli(capsys, "report", "run2/trace.sqlite", "-o", "run2/trace.html", "--json", "r.json").code == 0
    assert run_cli(capsys, "compare", "run1/trace.sqlite", "run2/trace.sqlite", "-o", "trace.html").code == 9

    # The page beside the second trace is of it, that in the working directory is of the first.
    for trace in ("run1/trace.sqlite", "run2/trace.sqlite"):
        assert run_cli(capsys, "history", "add", trace, "--db", "h.db").code == 0
    rows = json.loads(run_cli(capsys, "history", "list", "--db", "h.db", "--format", "json").out)
    assert [row["page"] for row in rows] == [str(tmp_path / "trace.html"), str(tmp_path / "run2/trace.html")]


def test_a_page_gives_way_to_that_of_the_trace_recorded_anew_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    two_runs()
    monkeypatch.chdir(tmp_path / "run1")
    assert run_cli(capsys, "report", "trace.sqlite").code == 0
    page = Path("trace.html")
    older, first = page.stat().st_mtime_ns - 1_000, page.read_bytes()
    shutil.copyfile("../run2/trace.sqlite", "trace.sqlite")
    os.utime("trace.sqlite", ns=(older, older))
    assert run_cli(capsys, "report", "trace.sqlite").code == ExitCode.OUTPUT_EXISTS
    assert page.read_bytes() == first
    os.utime("trace.sqlite", ns=(older + 2_000, older + 2_000))
    assert run_cli(capsys, "report", "trace.sqlite").code == 0
    assert page.read_bytes() != first


def test_the_trends_of_another_history_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    two_runs()
    for number in (1, 2):
        run_cli(capsys, "history", "add", f"run{number}/trace.sqlite", "--db", f"run{number}/h.db")
    assert [run_cli(capsys, "history", "plot", "--db", f"run{n}/h.db").code for n in (1, 1, 2)] == [0, 0, 9]
