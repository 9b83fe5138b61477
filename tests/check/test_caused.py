"""What late ranks cost is one figure, in the report, in check, in history and in compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import nsysan
from nsysan.check.judge import metric_of
from nsysan.compare.changes import compare
from nsysan.compare.compared_run import compared_run
from nsysan.report.document import to_document
from nsysan.report.read_back import report_document
from tests.clitools import run_cli
from tests.simulator import cases
from tests.simulator.cases import attention
from tests.simulator.export import export
from tests.simulator.faults import LongerKernel
from tests.simulator.truth import Scenario


def minor() -> Scenario:
    """Rank 1 computes 100 longer; the others 8 each, at other layers, which no one of them is late by: 536.9."""
    others = (LongerKernel(rank, attention(number), 8_000) for number, rank in ((0, 0), (1, 2), (3, 3)))
    return replace(cases.balanced(24), name="minor", faults=(LongerKernel(1, attention(2), 100_000), *others))


@pytest.mark.parametrize(
    ("build", "saves", "period", "says"),
    [
        (cases.balanced, 0, 412.9, "nobody: "),
        (cases.two_slow_ranks, 84, 496.9, "save 84.0 µs a step (16.9 %)"),
        # Of two causes, each by itself 250 and 180.
        (cases.late_host_and_slow_gpu, 430, 842.9, "saves at most 180 µs a step (21.4 %)"),
        (minor, 100, 536.9, "saves 100 µs a step (18.6 %)"),
        (cases.gc_pause, 105.3, 518.1, "saves at most 105 µs a step (20.3 %) in the mean"),
        (cases.rotating, 80, 492.9, "balancing them saves 80.0 µs a step (16.2 %)"),
    ],
)
def test_what_late_ranks_cost_is_one_figure(
    tmp_path: Path, build: Callable[[], Scenario], saves: float, period: float, says: str
) -> None:
    run = nsysan.analyze(export(build(), tmp_path / "t.sqlite"))
    side = compared_run("A", run, "0")
    assert says in side.report.late_sentence()
    document = report_document(to_document(side.report), "t.json")
    assert metric_of(document, "caused") == pytest.approx(saves * 1_000, abs=100)
    assert metric_of(document, "caused_share") == pytest.approx(100 * saves / period, abs=0.1)
    figure = compare([side, side], "0").figure("skew.caused")
    assert figure.values == [metric_of(document, "caused")] * 2
    assert ("in the mean" in figure.name) == (build is cases.gc_pause)


def test_ranks_that_are_late_in_turn_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = export(cases.rotating(), tmp_path / "t.sqlite")
    result = run_cli(capsys, "check", trace, "--fail-on", "straggler", "--fail-on", "caused_share>10%")
    assert result.code == 1
    assert "no rank is late by itself; ranks are late in turn, which costs 80.0 µs a step\n" in result.out


def test_a_document_that_does_not_tell_it_has_that_of_the_set_that_saves_most(tmp_path: Path) -> None:
    values = to_document(nsysan.build_report(nsysan.analyze(export(cases.two_slow_ranks(), tmp_path / "t.sqlite"))))
    del values["caused"]
    assert metric_of(report_document(values, "t.json"), "caused") == 84_000
