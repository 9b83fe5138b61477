"""Who is late in a pipeline with one batch in flight: what is told comes true when the fault is taken out."""

from __future__ import annotations

from pathlib import Path

import pytest

import nsysan
from nsysan.metrics.scenarios import Scenario
from nsysan.report.build import build_report
from tests.pipelineserver import Pipeline

EXACT = 0.01


@pytest.mark.parametrize(
    ("stages", "slow", "late", "cause", "ranges"),
    [
        (2, {3: 15_000}, {}, "compute", True),
        # The host of the first stage does it before it launches, once the last stage has ended.
        (2, {}, {1: 60_000}, "host", True),
        # Hosts of stages between are told of the next step as the first one's are.
        (3, {3: 40_000}, {}, "compute", True),
        (4, {}, {5: 600_000}, "host", True),
        # Numbered by their replays, the last stage may end a step that the first begins after it.
        (2, {3: 15_000}, {}, "compute", False),
    ],
)
def test_what_is_told_of_a_late_rank_comes_true(
    tmp_path: Path, stages: int, slow: dict[int, int], late: dict[int, int], cause: str, ranges: bool
) -> None:
    now, right = Pipeline(stages, slow=slow, late=late), Pipeline(stages)
    report = build_report(nsysan.analyze(now.write(tmp_path / "t.sqlite", ranges=ranges)), "0", timelines=False)
    what = report.diagnosis.what_if
    assert what is not None
    assert what.period == pytest.approx(now.period, rel=EXACT)
    assert what[Scenario.NO_SKEW] == pytest.approx(right.period, abs=EXACT * now.period)
    (one,) = report.diagnosis.late
    assert (one.ranks, one.cause) == (tuple({**slow, **late}), cause)
    assert one.saves == pytest.approx(now.period - right.period, abs=EXACT * now.period)


def test_nobody_is_late_in_a_balanced_pipeline(tmp_path: Path) -> None:
    for stages in (2, 3, 4):
        report = build_report(
            nsysan.analyze(Pipeline(stages).write(tmp_path / f"{stages}.sqlite")), "0", timelines=False
        )
        assert report.diagnosis.late == []
        assert report.diagnosis.verdict.kind == "pipeline"
