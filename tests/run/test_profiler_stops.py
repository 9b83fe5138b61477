"""Steps in which nsys stops a host to empty its buffers are none of the workload's."""

from __future__ import annotations

from pathlib import Path

import pytest

import nsysan
from nsysan.report.build import build_report
from nsysan.report.report import Report
from tests.copies import changed
from tests.liveserver import Kind, run, write

STEPS = 60
STOP = 3_000_000


def report_of(path: Path, *, told: bool) -> Report:
    """Rank 1's host stands still for 3 ms before each tenth step; told: as the profiler's table has it."""
    steps = run([Kind(8, [40_000] * 6, late=STOP if n % 10 == 5 else 0) for n in range(STEPS)])
    write(path, steps)
    if told:
        changed(path, "CREATE TABLE PROFILER_OVERHEAD (start, end, globalTid, nameId, returnValue)")
        thread = "SELECT globalTid FROM CUPTI_ACTIVITY_KIND_RUNTIME WHERE (globalTid >> 24) & 16777215 = 101 LIMIT 1"
        for step in steps:
            if step.kind.late:
                begin = next(begin for name, begin, _ in step.calls[1] if name == "graph")
                values = f"{begin - STOP}, {begin - 5_000}, ({thread}), 0, 0"
                changed(path, f"INSERT INTO PROFILER_OVERHEAD VALUES ({values})")
    return build_report(nsysan.analyze(path), "0", timelines=False)


def test_a_host_that_nsys_stops_is_not_late(tmp_path: Path) -> None:
    report = report_of(tmp_path / "told.sqlite", told=True)
    why = "nsys stopped a host in it, or before it, for its buffers"
    left_out = [step for step, reason in report.steps.excluded.items() if reason == why]
    # The step before it, in which the host waits for the next, and the one that it is to launch.
    assert left_out == sorted(n for stop in range(5, STEPS, 10) for n in (stop - 1, stop))
    assert report.diagnosis.late == []
    period = report.replicas[0].period
    assert period is not None
    assert period.max < 2 * period.p50


def test_a_host_that_nobody_stops_is(tmp_path: Path) -> None:
    report = report_of(tmp_path / "not.sqlite", told=False)
    (late,) = report.diagnosis.late
    assert late.ranks == (1,)
    assert late.mean_saves == pytest.approx(STOP / 10, rel=0.2)
