"""The line that people see while they wait."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from nsysan import open_trace, progress
from nsysan.trace import sqlite
from tests.clitools import paper_trace, run_cli


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_line_names_stage_rows_and_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    progress.stage("reading kernels", 4_000_000)
    assert progress.line(103.0, 99.0) == "   4 s  reading kernels: 0.0 of 4.0 million rows"
    progress.advance(1_000_000)
    # A million rows in 3 s: three more take 9 s.
    assert progress.line(103.0, 99.0) == "   4 s  reading kernels: 1.0 of 4.0 million rows, 9 s left"
    progress.stage("matching collectives")
    assert progress.line(103.0, 99.0) == "   4 s  matching collectives"


def test_line_of_several_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    progress.stage("reading 8 reports")
    progress.done(2_500_000)
    assert progress.line(103.0, 99.0) == "   4 s  reading 8 reports: 2.5 million rows"
    progress.stage("reading traces", 64, progress.TRACES)
    progress.advance(16)
    assert progress.line(103.0, 99.0) == "   4 s  reading traces: 16 of 64, 9 s left"


def test_line_of_an_export_is_in_per_cent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    progress.stage("nsys exports run.nsys-rep", 100, progress.PERCENT)
    progress.done(25)
    assert progress.line(103.0, 99.0) == "   4 s  nsys exports run.nsys-rep: 25 %, 9 s left"


def test_a_terminal_gets_a_line_that_is_gone_at_the_end() -> None:
    terminal = Terminal()
    with progress.shown(terminal, after=0.0):
        progress.stage("reading kernels")
        while "reading kernels" not in terminal.getvalue():
            pass
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_short_work_shows_nothing() -> None:
    terminal = Terminal()
    with progress.shown(terminal, after=3_600.0):
        progress.stage("reading kernels")
    assert terminal.getvalue() == ""


def test_a_pipe_gets_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    with progress.shown(stream, after=0.0):
        progress.stage("reading kernels")
    assert stream.getvalue() == ""
    result = run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), "--json", "-", "-q")
    assert (result.code, result.err) == (0, "")


def test_rows_of_large_tables_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BULK_ROWS", 0)
    stages: list[tuple[str, int]] = []
    rows: list[int] = []
    monkeypatch.setattr(progress, "stage", lambda name, total=0: stages.append((name, total)))
    monkeypatch.setattr(progress, "advance", rows.append)
    kernels = open_trace(paper_trace(tmp_path / "t.sqlite")).kernels
    assert ("reading CUPTI_ACTIVITY_KIND_KERNEL", len(kernels)) in stages
    assert sum(rows) >= len(kernels)
