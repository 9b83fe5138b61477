"""Where a history changed: by the rule of compare, against the level that a workload was on."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nsysan.history.cells import Row
from nsysan.history.marks import marks_of
from nsysan.history.plot import sentence
from nsysan.history.workloads import by_workload, default_workload
from nsysan.metrics.change_rule import ChangeVerdict
from tests.clitools import paper_trace, run_cli

Capsys = pytest.CaptureFixture[str]
STEPS = 20


def run_of(number: int, period_us: float, **more: str | int | float | None) -> Row:
    return {"id": number, "name": f"r{number}", "period_ns": period_us * 1e3, "compute_ns": period_us * 1e3, **more}


def steps_of(period_us: float) -> list[int]:
    """Steps about their median, 1 µs apart on either side."""
    return [round(1e3 * (period_us + (step - STEPS // 2) / 10)) for step in range(STEPS + 1)]


def marked(*periods: float) -> list[tuple[int, int, ChangeVerdict]]:
    """Run, the one that it was held against, and what it is, of runs that take so many µs."""
    runs = [run_of(number, period) for number, period in enumerate(periods, start=1)]
    marks = marks_of(runs, {number: steps_of(period) for number, period in enumerate(periods, start=1)})
    return [(int(mark.run["id"] or 0), int(mark.against["id"] or 0), mark.change.verdict) for mark in marks]


def test_a_run_is_held_against_its_level() -> None:
    # 100.1 is chance; 110 is not, and what follows is held against it.
    assert marked(100, 100.1, 110, 110.2, 100) == [
        (2, 1, ChangeVerdict.NOISE),
        (3, 1, ChangeVerdict.CHANGED),
        (4, 3, ChangeVerdict.NOISE),
        (5, 3, ChangeVerdict.CHANGED),
    ]


def test_a_drift_adds_up() -> None:
    # 0.4 % from run to run is small each time; against the run where it began it is 1.2 % at last.
    *before, last = marked(1_000, 1_004, 1_008, 1_012)
    assert [verdict for _, _, verdict in before] == [ChangeVerdict.SMALL] * 2
    assert last == (4, 1, ChangeVerdict.CHANGED)


def test_what_was_kept_without_steps_is_not_judged() -> None:
    (mark,) = marks_of([run_of(1, 100), run_of(2, 200)], {2: steps_of(200)})
    assert mark.change.verdict == ChangeVerdict.NOT_COMPARABLE
    assert mark.change.reason == "the steps of run 1 were not kept"
    assert marks_of([run_of(1, 100)], {}) == []


def test_the_sentence_tells_what_grew() -> None:
    runs = [run_of(1, 100, wait_ns=1_000.0), run_of(2, 120, wait_ns=6_000.0)]
    marks = marks_of(runs, {1: steps_of(100), 2: steps_of(120)})
    assert sentence("w", runs, marks) == (
        "run 2: r2 takes 120.0 µs a step, slower by 20.0 µs (+20.0 %) than run 1: r1: compute +20.0 µs, wait +5.0 µs"
    )
    assert sentence("w", runs[:1], []) == "run 1: r1 takes 100.0 µs a step: the first of w"


def test_workloads_are_told_apart() -> None:
    one: Row = {"id": 1, "ranks": 2, "gpu": "NVIDIA H200", "graph_trace": "node"}
    other = {**one, "id": 2, "graph_trace": "none"}
    stated: Row = {"id": 3, "workload": "llama"}
    told = default_workload(one, [("all_reduce", 8_192)])
    assert told == "TP=2, CUDA graphs, all_reduce of 8 KiB, NVIDIA H200"
    assert [len(runs) for runs in by_workload([one, other, stated, {**one, "id": 4}]).values()] == [2, 1, 1]


def test_runs_link_to_their_pages(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trace = paper_trace(tmp_path / "a run.sqlite", steps=12)
    run_cli(capsys, "report", trace, "-q", "-o", "a run.html", "--json", "r.json")
    run_cli(capsys, "history", "add", trace, "--workload", "llama")
    with closing(sqlite3.connect("nsysan-history.db")) as database:
        assert database.execute("select workload, page from runs").fetchone() == ("llama", str(tmp_path / "a run.html"))
        assert database.execute("select count(*), max(period_ns) from steps").fetchone() == (11, 44_000)
    os.mkdir("pages")
    run_cli(capsys, "history", "plot", "-o", "pages/trend.html")
    assert 'href="../a%20run.html"' in Path("pages/trend.html").read_text("utf-8")
    os.remove("a run.html")
    run_cli(capsys, "history", "plot", "-o", "pages/trend.html")
    assert "a%20run" not in Path("pages/trend.html").read_text("utf-8")


def test_a_tail_is_a_change_of_the_mean() -> None:
    runs = [run_of(1, 100, mean_ns=100_000.0), run_of(2, 100, mean_ns=112_000.0)]
    paused = [*steps_of(100)[:-3], 180_000, 182_000, 184_000]
    (mark,) = marks_of(runs, {1: steps_of(100), 2: paused})
    assert (mark.changed, mark.of_mean) == (True, True)
    told = "run 2: r2 takes 100.0 µs a step, slower by 12.0 µs (+12.0 %) in the mean than run 1: r1"
    assert sentence("w", runs, [mark]) == told


def test_replicas_are_no_wider_group() -> None:
    row: Row = {"id": 1, "ranks": 4, "gpu": "NVIDIA H200", "graph_trace": "none"}
    assert default_workload(row, [], "TP=2", 2) == "TP=2 x 2, no CUDA graphs, NVIDIA H200"
    assert default_workload(row, [], "TP=4") == "TP=4, no CUDA graphs, NVIDIA H200"
