"""Which steps are replayed where all are too many."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import nsysan
from nsysan.ask.answer import answer
from nsysan.ask.expressions import parse
from nsysan.diagnosis import paced
from nsysan.diagnosis.evidence import Aspect, Status
from nsysan.diagnosis.savings import savings
from nsysan.metrics.scenarios import Scenario
from nsysan.replay import activity
from nsysan.replay.edits import STANDARD
from nsysan.replay.pace import replay
from nsysan.replay.stretches import Steps, stretches_of
from nsysan.replay.trust import why_no_saving
from nsysan.report.build import build_report
from nsysan.report.report import Report
from tests.liveserver import Kind, period, run, write


def of(*blocks: tuple[str, int, float]) -> Steps:
    """Steady steps in blocks: kind, how many, period."""
    kinds, periods = [], []
    for kind, count, ns in blocks:
        kinds += [kind] * count
        periods += [ns] * count
    return Steps([True] * len(kinds), kinds, periods)


def test_alike_steps_are_shown_evenly() -> None:
    # Of 100 two times 11: a quarter and three quarters of the way.
    assert stretches_of(of(("a", 100, 8.0)), 22, 40) == [(22, 33), (67, 78)]
    # Where not even one has room, it has more.
    assert stretches_of(of(("a", 100, 8.0)), 5, 9) == [(45, 54)]
    assert stretches_of(of(("a", 100, 8.0)), 3, 3) == [(48, 51)]


def test_a_stretch_is_where_steps_take_what_they_usually_do() -> None:
    # A fault in 40 of 100 steps, in the middle: the median step is without.
    ((begin, end),) = stretches_of(of(("a", 30, 8.0), ("a", 40, 9.8), ("a", 30, 8.0)), 11, 18)
    # Five of eight counted steps are without.
    assert end <= 30 + 4 or begin >= 70 - 6
    ((begin, end),) = stretches_of(of(("a", 44, 9.8), ("a", 12, 8.0), ("a", 44, 9.8)), 11, 18)
    assert begin + 2 + 5 <= 44 or end - 1 - 5 >= 56


def test_every_kind_is_shown() -> None:
    steps = of(("a", 30, 8.0), ("b", 30, 9.0), ("c", 30, 7.0))
    found = stretches_of(steps, 11, 18)
    assert [end - begin for begin, end in found] == [6, 6, 6]
    assert {steps.kinds[at] for begin, end in found for at in range(begin + 2, end - 1)} == {"a", "b", "c"}
    # Where there is room for two of them, those that take most time.
    two = stretches_of(of(("a", 30, 1.0), ("b", 30, 9.0), ("c", 30, 7.0)), 8, 8)
    assert [steps.kinds[begin + 2] for begin, _ in two] == ["b", "c"]


# ---- what is told by it

LAYERS = 4
#: Operations of all ranks a step: two a layer, and sampling.
EACH = 2 * (2 * LAYERS + 1)
SIZES = {16: Kind(16, [60_000] * LAYERS), 8: Kind(8, [50_000] * LAYERS, 60_000), 4: Kind(4, [40_000] * LAYERS)}


def report_of(path: Path, kinds: list[Kind], steps: int, monkeypatch: pytest.MonkeyPatch) -> Report:
    """The report where no more than so many steps are replayed."""
    monkeypatch.setattr(paced, "replay", partial(replay, most=steps * EACH))
    monkeypatch.setattr(activity, "OF_STRETCHES", steps * EACH)
    return build_report(nsysan.analyze(write(path, run(kinds, jitter=0.01))), "0", timelines=False)


def status(report: Report, aspect: Aspect) -> Status:
    return next(row.status for row in report.quality if row.id == aspect)


@pytest.mark.parametrize("order", [(16, 8, 4), (8, 16, 4)])
def test_a_sample_of_all_kinds_tells_what_all_steps_do(
    tmp_path: Path, order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = [SIZES[batch] for batch in order for _ in range(14)]
    report = report_of(tmp_path / "t.sqlite", kinds, 18, monkeypatch)
    what = report.diagnosis.what_if
    assert what is not None
    assert len(report.diagnosis.summed) == 3
    now, right = (period(run(kinds, jitter=0.01, faults=faults)) for faults in (True, False))
    assert what.period == pytest.approx(now, rel=0.005)
    assert what[Scenario.NO_SKEW] == pytest.approx(right, abs=0.005 * now)
    (late,) = report.diagnosis.late
    assert late.ranks == (1,)
    assert late.saves == pytest.approx(now - right, abs=0.005 * now)
    assert status(report, Aspect.STRAGGLER) == Status.OK


def test_kinds_that_no_stretch_shows_are_a_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [SIZES[batch] for batch in (16, 8, 4) for _ in range(14)]
    report = report_of(tmp_path / "t.sqlite", kinds, 8, monkeypatch)
    assert report.diagnosis.pace is not None
    assert 0.25 < report.diagnosis.pace.unseen < 0.4
    for aspect in (Aspect.STRAGGLER, Aspect.WHAT_IF):
        row = next(row for row in report.quality if row.id == aspect)
        assert row.status == Status.ESTIMATED
        assert "of their time are in none of the stretches that are replayed" in row.reason


def test_a_sample_that_takes_otherwise_is_an_error(tmp_path: Path) -> None:
    whole = nsysan.analyze(write(tmp_path / "t.sqlite", run([SIZES[8]] * 30, jitter=0.01)))
    pace = replay(whole)
    assert pace is not None
    # Steps of which these are a fifth short.
    off = pace.off(1.25 * pace.period.median)
    assert off.unlike
    assert off.error == pytest.approx(0.2)
    said = "the steps that are replayed take 20.0 % more or less than those that they stand for"
    assert why_no_saving(whole, off).startswith(said)
    what = savings(whole, off)
    assert what is not None
    assert what[Scenario.NO_SKEW] is None
    # How well the replay gives what was measured is told where that is worse.
    assert pace.off(pace.period.median) is pace


def test_a_sample_that_is_refused_is_refused_by_whatif_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ten steps that are replayed take 60 % longer than the thirty others."""
    usual = [Kind(8, [30_000] * LAYERS)] * 15
    kinds = [*usual, *[Kind(8, [60_000] * LAYERS)] * 10, *usual]
    path = write(tmp_path / "t.sqlite", run(kinds))
    chosen = activity._chosen
    monkeypatch.setattr(activity, "_chosen", lambda run, _: chosen(run, 18 * EACH))
    monkeypatch.setattr(activity, "stretches_of", lambda *_: [(15, 23)])
    report = build_report(nsysan.analyze(path), "0", timelines=False)
    told = answer(nsysan.analyze(path), [parse("no_skew", STANDARD)], 0)
    assert report.diagnosis.what_if is not None
    assert report.diagnosis.what_if[Scenario.NO_SKEW] is None
    assert told.unknown is not None
    assert told.unknown.startswith("the steps that are replayed take")
    assert [asked.period for asked in told.asked] == [None]
    assert told.error == report.diagnosis.what_if.error
