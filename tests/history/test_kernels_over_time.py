"""`nsysan history --figure`: groups and kernels of each run, and histories of versions that kept none."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nsysan.history.cells import Row
from nsysan.history.plot import to_html
from tests.clitools import run_cli
from tests.tracebuilder import COMPUTE_KERNEL, TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]
FIGURE = f"kernel[~^{COMPUTE_KERNEL}$].ns"


@pytest.fixture
def history(tmp_path: Path, capsys: Capsys) -> Path:
    """One run, of two ranks."""
    builder = TraceBuilder()
    decode_loop(builder, ranks=2)
    db = tmp_path / "h.db"
    assert run_cli(capsys, "history", "add", builder.write(tmp_path / "a.sqlite"), "--db", db).code == 0
    return db


def listed(capsys: Capsys, db: Path, *more: str) -> dict[str, object]:
    (row,) = json.loads(run_cli(capsys, "history", "list", "--db", db, "--format", "json", *more).out)
    assert isinstance(row, dict)
    return row


def test_figures_of_kernels(history: Path, capsys: Capsys) -> None:
    row = listed(capsys, history, "--figure", FIGURE, "--figure", "kernel[none].ns")
    with closing(sqlite3.connect(history)) as database:
        kept = database.execute("select per_step_ns from kernels where name = ?", [COMPUTE_KERNEL]).fetchone()
        groups = database.execute("select count(*) from kernels where name is null").fetchone()
    assert row[FIGURE] == kept[0] == row["compute_ns"]
    assert groups[0] >= 1
    assert row["kernel[none].ns"] is None
    shown = run_cli(capsys, "history", "list", "--db", history, "--figure", FIGURE).out
    assert f"{FIGURE.removesuffix('.ns')}, µs" in shown
    assert "kernels" in run_cli(capsys, "history", "show", "1", "--db", history).out
    output = history.with_suffix(".html")
    assert run_cli(capsys, "history", "plot", "--db", history, "-o", output).code == 0
    assert "what groups of kernels take" in output.read_text("utf-8")


def test_a_history_that_kept_no_kernels(history: Path, capsys: Capsys) -> None:
    with closing(sqlite3.connect(history)) as database, database:
        database.execute("drop table kernels")
    assert listed(capsys, history, "--figure", FIGURE)[FIGURE] is None
    assert run_cli(capsys, "history", "show", "1", "--db", history).code == 0
    output = history.with_suffix(".html")
    assert run_cli(capsys, "history", "plot", "--db", history, "-o", output).code == 0


@pytest.mark.parametrize("figure", ["kernel[~(].ns", "kernel[a].wrong", "period"])
def test_what_is_no_figure(history: Path, capsys: Capsys, figure: str) -> None:
    refused = run_cli(capsys, "history", "list", "--db", history, "--figure", figure)
    assert (refused.code, "--figure: " in refused.err) == (2, True)


def test_a_trend_is_of_times_and_names_are_escaped(history: Path, capsys: Capsys) -> None:
    refused = run_cli(capsys, "history", "plot", "--db", history, "--figure", "kernel[gemm].share")
    assert "a trend is of ns or call_ns" in refused.err
    name = "kernel[<img src=x>].ns"
    run: Row = {"id": 1, "name": "a", "added": "", "host": None, "commit": None, name: 5_000}
    assert "<img" not in to_html([run], Path("h.db"), {}, Path(), [name]).partition("<body")[2].replace(
        "\\u003c", "<lt>"
    )
