"""A rank whose host tells another time than its GPU: what is told of late ranks stays as it is true."""

from __future__ import annotations

from pathlib import Path

import pytest

import nsysan
from nsysan.metrics.scenarios import Scenario
from nsysan.report.build import build_report
from tests.liveserver import Kind, Told, period, run, write
from tests.run.test_degradation import shift_host

STEPS = [Kind(8, [30_000] * 6, more_first=40_000)] * 60
JITTER = 0.01


@pytest.mark.parametrize("told", Told)
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("early", [40_000, 200_000])
def test_a_host_whose_clock_is_early_makes_no_rank_late(tmp_path: Path, told: Told, rank: int, early: int) -> None:
    path = write(tmp_path / "t.sqlite", run(STEPS, told, jitter=JITTER), told)
    before = build_report(nsysan.analyze(path), "0", timelines=False)
    found = build_report(nsysan.analyze(shift_host(path, 100 + rank, f"t - {early}")), "0", timelines=False)
    (late,) = found.diagnosis.late
    assert (late.ranks, late.cause) == ((1,), "compute")
    right = period(run(STEPS, told, jitter=JITTER, faults=False), 8)
    assert late.saves == pytest.approx(period(run(STEPS, told, jitter=JITTER), 8) - right, rel=0.005)
    assert found.diagnosis.what_if is not None
    assert found.diagnosis.what_if[Scenario.NO_SKEW] == pytest.approx(right, rel=0.001)
    assert found.diagnosis.gaps.equals(before.diagnosis.gaps)
    (clock,) = (row for row in found.quality if row.id == "cpu_gpu_clock")
    assert clock.status == "estimated"
    assert f"rank {rank} +{early / 1e3:.1f} µs" in clock.reason


def test_a_few_microseconds_are_no_clock(tmp_path: Path) -> None:
    """The ranks of real recordings differ by up to 6 µs."""
    path = shift_host(write(tmp_path / "t.sqlite", run(STEPS)), 101, "t - 10000")
    clocks = nsysan.analyze(path).host_clocks
    assert [(clock.apart, clock.behind) for clock in clocks.values()] == [(0, 0), (10_000, 0)]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("sign", ["-", "+"])
def test_a_clock_that_drifts_tells_of_no_host(tmp_path: Path, rank: int, sign: str) -> None:
    """By 75 us over the recording: none of its own delays is impossible."""
    path = write(tmp_path / "t.sqlite", run(STEPS, jitter=JITTER))
    shift_host(path, 100 + rank, f"t {sign} (t - 1000000) / 256 - 80000 * {int(sign == '+')}")
    report = build_report(nsysan.analyze(path), "0", timelines=False)
    (late,) = report.diagnosis.late
    assert (late.ranks, late.cause) == ((1,), "compute")
    right = period(run(STEPS, jitter=JITTER, faults=False), 8)
    assert late.mean_saves == pytest.approx(period(run(STEPS, jitter=JITTER), 8) - right, rel=0.03)
    (clock,) = (row for row in report.quality if row.id == "cpu_gpu_clock")
    assert clock.status == "not_measurable"
    assert report.diagnosis.verdict.sure != "high"
