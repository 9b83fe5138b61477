"""Where the time of a report went, by stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from nsysan import timings
from nsysan.cli.timed import lines
from nsysan.timings import IDLE, REST, STARTED, Spent, Timings
from tests.clitools import paper_trace, run_cli

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time, in a list that a test writes to; processors work half of it."""
    now = [1_000]
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])
    monkeypatch.setattr(time, "process_time_ns", lambda: now[0] // 2)
    return now


def test_what_is_inside_of_a_stage_is_taken_out_of_it_and_all_sum_to_the_whole(clock: list[int]) -> None:
    timings.begin()
    with timings.stage(REST):
        clock[0] += 10
        with timings.stage("outer"):
            clock[0] += 100
            with timings.stage("inner"):
                clock[0] += 1_000
                timings.count("inner", 7)
            clock[0] += 200
        with timings.stage("inner"):
            clock[0] += 2_000
            timings.count("inner", 5)
    found = timings.taken()
    stages = {name: (spent.wall, spent.cpu, spent.rows) for name, spent in found.stages.items() if name != STARTED}
    assert stages == {REST: (10, 5, None), "outer": (300, 150, None), "inner": (3_000, 1_500, 12)}
    assert found.summed.wall == found.stages[STARTED].wall + 3_310
    assert all((spent.peak or 0) > 1_000_000 for spent in found.stages.values())


def test_what_another_thread_does_is_beside_and_not_in_the_sum(clock: list[int]) -> None:
    timings.begin()

    def work() -> None:
        with timings.stage("read T"):
            clock[0] += 50
        timings.count("read T", 9)

    with timings.stage("outer"):
        thread = Thread(target=work)
        thread.start()
        thread.join()
    found = timings.taken()
    beside = found.stages["read T, beside others"]
    assert (beside.wall, beside.cpu, beside.rows, beside.beside) == (50, 0, 9, True)
    assert found.summed.wall == found.stages[STARTED].wall + 50


def test_nothing_is_measured_unless_it_is_asked_for(clock: list[int]) -> None:
    with timings.stage("a"):
        clock[0] += 1
        timings.count("a", 1)
    assert not timings.wanted()
    assert timings.taken() == Timings()


def test_table_has_what_is_of_no_stage_last_and_small_tables_as_one() -> None:
    second = 1_000_000_000
    stages = {
        STARTED: Spent(second, second, peak=20_000_000),
        REST: Spent(4 * second, second, peak=90_000_000),
        "read A": Spent(second, second, rows=10, peak=30_000_000),
        "read B": Spent(second, second, rows=20, peak=40_000_000),
        "read C": Spent(second, second, rows=1_000_000),
        "read D, beside others": Spent(9 * second, rows=5, beside=True),
    }
    process = Timings({"read C": Spent(second, second, rows=3, peak=60_000_000), IDLE: Spent(second)})
    found = Timings(stages, processes=[process, process])
    assert lines(found) == [
        "stage                  seconds  of CPU       rows  MB at most",
        "start                    1.000   1.000                     20",
        "read small tables        2.000   2.000         30          40",
        "read C                   1.000   1.000  1,000,000",
        "read D, beside others    9.000                  5",
        "all else                 4.000   1.000                     90",
        "in all                   8.000   5.000                     90",
        "",
        "2 processes that read traces  seconds  of CPU  rows  MB at most",
        "read small tables               2.000   2.000     6          60",
        "wait for requests               2.000   0.000",
        "in all                          4.000   2.000                60",
        "",
        "Of processes: seconds and rows are sums, memory is that of the largest. All of them and this one: 210 MB, if "
        "each had its most at once.",
    ]


def test_a_report_says_where_its_time_went_and_is_the_same(capsys: Capsys, tmp_path: Path) -> None:
    trace = paper_trace(tmp_path / "paper.sqlite", steps=2)
    plain = run_cli(capsys, "report", trace, "--json", "-")
    timed = run_cli(capsys, "report", trace, "--json", "-", "--timings")
    assert (timed.code, timed.out) == (0, plain.out)
    assert plain.err == ""
    named = {line[:31].strip() for line in timed.err.splitlines()}
    assert {"imports", "match collectives", "ask: ledger", "JSON", "all else", "in all"} <= named
    assert "replay: graph, beside others" in named
    assert not timings.wanted()


def test_processes_of_a_pool_tell_too(capsys: Capsys, real_trace: Callable[[str], Path]) -> None:
    paths = [real_trace(f"rank_{rank}") for rank in range(2)]
    result = run_cli(capsys, "report", *paths, "--json", "-", "--timings", "--jobs", "2")
    assert result.code == 0
    here, there = result.err.split("2 processes that read traces")
    assert "wait for processes" in here
    assert "CUPTI_ACTIVITY_KIND_KERNEL" not in here
    kernels = next(line for line in there.splitlines() if line.startswith("read CUPTI_ACTIVITY_KIND_KERNEL"))
    # Both traces have 6,266 kernels.
    assert "12,532" in kernels
