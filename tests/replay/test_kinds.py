"""Servers whose steps are of several kinds: what is told of rank 1 comes true when its fault is taken out."""

from __future__ import annotations

from pathlib import Path

import pytest

import nsysan
from nsysan.metrics.scenarios import Scenario
from nsysan.report.build import build_report
from nsysan.report.report import Report
from tests.liveserver import Kind, Told, period, run, write

#: By how much of the step a saving may be off.
EXACT = 0.005
LAYERS = 4


def report_of(path: Path, kinds: list[Kind], told: Told = Told.BY_ITSELF, jitter: float = 0.0) -> Report:
    return build_report(nsysan.analyze(write(path, run(kinds, told, jitter=jitter), told)), "0", timelines=False)


def held(report: Report, now: float, right: float, *late: tuple[int, str]) -> None:
    """Hold periods and late ranks to what is true."""
    what = report.diagnosis.what_if
    assert what is not None
    assert what.period == pytest.approx(now, rel=EXACT)
    assert what[Scenario.NO_SKEW] == pytest.approx(right, abs=EXACT * now)
    assert [(*one.ranks, one.cause) for one in report.diagnosis.late] == list(late)
    for one in report.diagnosis.late:
        assert one.saves == pytest.approx(now - right, abs=EXACT * now)


def test_the_kind_that_heads_has_levels_of_its_own(tmp_path: Path) -> None:
    """It has most of the time and fewer steps; no layer alone is longer by much of a step."""
    large, small = Kind(64, [30_000] * 20, slower=0.25), Kind(4, [8_000] * 20, wire=6_000)
    kinds = ([large] * 8 + [small] * 12) * 5
    report = report_of(tmp_path / "t.sqlite", kinds, jitter=0.01)
    assert not report.diagnosis.summed
    now, right = (run(kinds, jitter=0.01, faults=faults) for faults in (True, False))
    held(report, period(now, 64), period(right, 64), (1, "compute"))


@pytest.mark.parametrize(
    ("told", "kind", "cause", "jitter"),
    [
        (Told.BY_SCHEDULER, Kind(0, [], more_first=60_000), "compute", 0.02),
        (Told.BY_RANK_0, Kind(0, [], more_first=60_000), "compute", 0.03),
        (Told.BY_ALL, Kind(0, [], late=150_000), "host", 0.03),
    ],
)
def test_what_hosts_wait_for_is_told_of_each_kind(
    tmp_path: Path, told: Told, kind: Kind, cause: str, jitter: float
) -> None:
    sizes = {16: 60_000, 8: 50_000, 4: 40_000}
    each = [Kind(batch, [ns] * LAYERS, kind.more_first, late=kind.late) for batch, ns in sizes.items()]
    kinds = [one for _ in range(3) for one in each for _ in range(10)]
    report = report_of(tmp_path / "t.sqlite", kinds, told, jitter)
    assert len(report.diagnosis.summed) == len(sizes)
    now, right = (period(run(kinds, told, jitter=jitter, faults=faults)) for faults in (True, False))
    held(report, now, right, (1, cause))


@pytest.mark.parametrize(
    ("large", "more", "order"),
    [
        # The first two of the recording are the only ones of a kind; or one of two is the last, which nothing follows.
        (400_000, 600_000, [64] * 2 + [16] * 12 + [8] * 12),
        (70_000, 60_000, [16, 8, 64, 16, 8, 16, 64]),
    ],
)
def test_a_kind_with_few_steps_is_in_the_replay_as_in_the_period(
    tmp_path: Path, large: int, more: int, order: list[int]
) -> None:
    sizes = {64: Kind(64, [large] * LAYERS, more), 16: Kind(16, [60_000] * LAYERS), 8: Kind(8, [40_000] * LAYERS)}
    kinds = [sizes[batch] for batch in order]
    report = report_of(tmp_path / "t.sqlite", kinds)
    assert len(report.diagnosis.summed) == len(sizes)
    now, right = (period(run(kinds, faults=faults)) for faults in (True, False))
    held(report, now, right, (1, "compute"))
    what = report.diagnosis.what_if
    assert what is not None
    assert what.replayed == what.period


def test_a_kind_that_a_pause_without_requests_follows_is_not_in_the_sum(tmp_path: Path) -> None:
    """The last request of a burst decodes alone; then there is none for 20 ms."""
    order = ([16] * 6 + [8] * 6 + [4] * 6 + [1]) * 5
    more = {16: 0, 8: 60_000, 4: 0, 1: 0}
    kinds = [Kind(batch, [35_000 + 1_500 * batch] * LAYERS, more[batch]) for batch in order]

    def pause(number: int) -> int:
        return 20_000_000 if order[number - 1] == 1 else 0

    now, right = (run(kinds, jitter=0.01, pause=pause, faults=faults) for faults in (True, False))
    report = build_report(nsysan.analyze(write(tmp_path / "t.sqlite", now)), "0", timelines=False)
    assert {one.id for one in report.diagnosis.summed} == {"decode_16", "decode_8", "decode_4"}
    before, after = (sum(period(steps, batch) for batch in (16, 8, 4)) / 3 for steps in (now, right))
    held(report, before, after, (1, "compute"))


def test_the_path_is_of_the_usual_steps_as_the_period_is(tmp_path: Path) -> None:
    """Hosts pause for 4 ms in every tenth step: the mean step is mostly that, the usual one compute."""
    sizes = [Kind(16, [60_000] * LAYERS), Kind(8, [50_000] * LAYERS), Kind(4, [40_000] * LAYERS)]
    kinds = [one for _ in range(4) for one in sizes for _ in range(10)]
    steps = run(kinds, jitter=0.01, pause=lambda number: 4_000_000 if number % 10 == 5 else 0)
    report = build_report(nsysan.analyze(write(tmp_path / "t.sqlite", steps)), "0", timelines=False)
    spent: dict[str, int] = {}
    for (name, _), ns in report.diagnosis.path.items():
        spent[name] = spent.get(name, 0) + ns
    whole = period(steps)
    assert sum(spent.values()) == pytest.approx(whole, rel=EXACT)
    # Four layers of 50 in the mean, and sampling; hosts prepare a launch and wait for its beginning.
    assert spent["compute"] == pytest.approx(206_000, rel=0.02)
    assert report.diagnosis.verdict.kind == "compute"
