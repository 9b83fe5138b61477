"""What is said of runs that are known on paper: verdict, late ranks, findings, each root cause once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import nsysan
from nsysan.diagnosis.path_told import why_no_path
from nsysan.diagnosis.sureness import weighed
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.metrics.causes import GapCause
from nsysan.metrics.lines import Line
from nsysan.replay.engine import NotAcyclic
from nsysan.report.build import build_report
from nsysan.report.key_numbers import key_numbers
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from nsysan.text import pct, rough
from tests.simulator import cases
from tests.simulator.export import export
from tests.simulator.truth import Scenario


def told(build: Callable[[], Scenario], path: Path) -> Report:
    trace = export(build(), path / "trace.sqlite")
    return build_report(nsysan.analyze(nsysan.open_trace(trace)), "0", timelines=False)


def saved(report: Report) -> dict[str, list[int | None]]:
    """Savings of the findings on hosts and late ranks, us."""
    ids = ("straggler", "late_host", "rotation", "uneven_split", "graphs_off", "host_stall", "late_between_steps")
    found: dict[str, list[int | None]] = {}
    for finding in report.findings:
        if finding.id in ids:
            found.setdefault(finding.id, []).append(None if finding.saving is None else round(finding.saving / 1000))
    return found


@pytest.mark.parametrize(
    ("build", "kind", "says", "findings"),
    [
        (cases.balanced, "compute", "nobody: ", {"late_between_steps": [31]}),
        (
            cases.two_slow_ranks,
            "skew",
            "ranks 1 and 2 put right together save 84.0 µs a step (16.9 %); cause compute (they compute longer); put "
            "right alone, rank 1 saves 28.0 µs, and rank 2 next to nothing, as the others are waited for then; what "
            "each costs once all the others are right: rank 1 84.0 µs, rank 2 56.0 µs",
            {"straggler": [84], "late_between_steps": [31]},
        ),
        (
            cases.late_host_and_slow_gpu,
            "skew",
            "rank 2 put right saves at most 180 µs a step (21.4 %)",
            {"straggler": [250], "late_host": [180]},
        ),
        (
            cases.half_late,
            "skew",
            "ranks 2 and 3 put right together save 104 µs a step (20.1 %)",
            {"straggler": [104], "late_between_steps": [31]},
        ),
        (
            cases.rotating,
            "skew",
            "nobody by itself: another rank is late in each step, and balancing them saves 80.0 µs a step (16.2 %)",
            {"rotation": [80], "late_between_steps": [31]},
        ),
        (cases.every_host_slow, "host", "rank 2 put right saves at most 104 µs a step (8.9 %)", {"graphs_off": [762]}),
        (cases.sync_in_the_step, "compute", "nobody: ", {"host_stall": [68]}),
    ],
)
def test_verdict_late_ranks_and_findings(
    tmp_path: Path, build: Callable[[], Scenario], kind: str, says: str, findings: dict[str, list[int]]
) -> None:
    report = told(build, tmp_path)
    assert report.diagnosis.verdict.kind == kind
    assert says in report.late_sentence()
    # The late line says of a saving what the finding says.
    for finding in report.findings:
        if finding.id in ("late_host", "straggler"):
            assert f"{rough(finding.saving or 0)} a step" in report.late_sentence()
            assert ("at most" in finding.saves) == (f"at most {rough(finding.saving or 0)}" in report.late_sentence())
    assert saved(report) == findings
    assert "with nothing changed that misses the period by 0.0 %" in to_text(report)


def test_what_waits_for_its_gpu_is_told_to_wait_elsewhere(tmp_path: Path) -> None:
    report = told(cases.sync_in_the_step, tmp_path)
    assert report.next_step.do.startswith("take the call that waits for the GPU out of the step on rank ")


def test_what_is_saved_of_the_mean_is_a_share_of_that(tmp_path: Path) -> None:
    report = told(cases.gc_pause, tmp_path)
    (late,) = report.diagnosis.late
    share = pct(late.mean_saves / late.mean_period)
    # One share, in the verdict, of the late rank and on the card.
    assert f"which costs {share} of the mean step" in report.diagnosis.verdict.reason
    assert f"({share}) in the mean" in report.late_sentence()
    assert key_numbers(report)[2].value.endswith(f"({share} of the mean)")


def test_an_inconclusive_verdict_stands_beside_no_path(tmp_path: Path) -> None:
    report = told(lambda: replace(cases.experts(), sizes_known=False), tmp_path)
    assert report.diagnosis.verdict.kind == VerdictKind.INCONCLUSIVE
    number = key_numbers(report)[1]
    assert "critical path" not in number.of
    assert number.shows == Line.COMM_UNSPLIT
    assert "the verdict is inconclusive" in why_no_path(report.diagnosis)


def test_how_sure(tmp_path: Path) -> None:
    sure = told(cases.two_slow_ranks, tmp_path).diagnosis.verdict
    assert (sure.sure, len(sure.because)) == ("high", 1)


def test_that_tracing_may_weigh_is_said(tmp_path: Path) -> None:
    verdict = told(cases.every_host_slow, tmp_path).diagnosis.verdict
    assert verdict.sure == "medium"
    assert verdict.because == (
        "how much tracing slows the hosts is not measured, so less may be saved; the verdict holds unless it slows "
        "them 3 times or more",
    )
    # It is enough to act on, and what would settle it is said.
    assert verdict.surer.startswith("time a step without nsys")


def test_tracing_may_weigh_in_launches_that_take_long(tmp_path: Path) -> None:
    trace = export(cases.every_host_slow(), tmp_path / "trace.sqlite")
    run = nsysan.analyze(nsysan.open_trace(trace))
    found = build_report(run, "0", timelines=False).diagnosis
    # Between a launch call and its kernel lies what the profiler adds to both.
    late = [replace(one, idle={GapCause.LAUNCH: one.costs}) for one in found.late]
    waited = replace(found, late=late, verdict=replace(found.verdict, kind=VerdictKind.SKEW))
    sure = weighed(run, waited, [])
    assert sure.sure == "medium"
    assert sure.because[0].startswith("how much tracing slows the hosts is not measured")


def test_what_hosts_cost_is_an_upper_bound_in_replays_too(tmp_path: Path) -> None:
    report = told(cases.balanced, tmp_path)
    (finding,) = (one for one in report.findings if one.id == "late_between_steps")
    row = next(row for row in report.quality if row.id == "host_time")
    assert (finding.saving_is, row.status) == ("at most", "estimated")
    assert "17 to 33 % longer" in row.reason
    assert "upper bounds: the profiler slows the host" in report.savings_sentence()


def test_a_recording_that_contradicts_itself_has_no_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def contradicts(*_: object) -> None:
        raise NotAcyclic

    monkeypatch.setattr("nsysan.replay.pace.prepare", contradicts)
    report = told(cases.two_slow_ranks, tmp_path)
    what = report.diagnosis.what_if
    assert what is not None
    assert set(what.without.values()) == {None}
    assert what.why == "needs steady steps that can be replayed"
    assert report.diagnosis.late == []
    assert report.diagnosis.verdict.kind == "inconclusive"
