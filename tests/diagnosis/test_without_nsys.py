"""A report of the step as it runs without nsys, of which the user tells how long it takes, on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

import nsysan
from nsysan.diagnosis.evidence import Aspect, Status
from nsysan.page.html import to_html
from nsysan.report.build import build_report
from nsysan.report.markdown import to_markdown
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from tests.clitools import run_cli
from tests.documents import document_of
from tests.simulator import cases
from tests.simulator.export import export

GIVEN = 583_800


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each host needs 26 launch calls of 40 us and 23.6 us, 1063.6; that of rank 2 calls of 44, 1167.6."""
    return export(cases.every_host_slow(), tmp_path_factory.mktemp("untraced") / "t.sqlite")


@pytest.fixture(scope="module")
def report(path: Path) -> Report:
    return build_report(nsysan.analyze(path), "0", timelines=False, untraced=GIVEN)


def test_the_answers_are_of_that_step(report: Report) -> None:
    # At half of their time hosts need 531.8, that of rank 2 583.8; the GPUs' work is as it was.
    document = document_of(report)
    what, without = document["what_if"], document["untraced"]
    assert (what["period_ns"], what["untraced_ns"], what["traced_ns"]) == (GIVEN, GIVEN, 1_167_600)
    assert what["no_skew_ns"] == pytest.approx(531_800, rel=0.001)
    assert what["ranks"]["2"] == pytest.approx(531_800, rel=0.001)
    assert sum(part["ns"] for part in document["critical_path"]) == GIVEN
    assert document["straggler"]["rank"] == 2
    assert document["straggler"]["caused_ns"] == pytest.approx(52_000, rel=0.01)
    assert document["straggler"]["share"] == pytest.approx(52 / 583.8, rel=0.01)
    assert (without["period_ns"], without["traced_ns"]) == (GIVEN, 1_167_600)
    assert (without["hosts"], without["gaps"]) == (pytest.approx(0.5, abs=0.001), 1)


def test_its_ledger_stands_beside_the_measured_one(report: Report) -> None:
    document = document_of(report)
    traced = {row["rank"]: row for row in document["per_rank"]}
    for row in document["untraced"]["per_rank"]:
        own = traced[row["rank"]]
        assert own["period_ns"] == 1_167_600
        assert row["period_ns"] == pytest.approx(GIVEN, rel=0.001)
        lines = ("compute_ns", "wait_ns", "wire_ns", "copy_ns", "idle_ns")
        assert sum(row[line] for line in lines) == pytest.approx(row["period_ns"], abs=10)
        assert [row[line] for line in ("compute_ns", "wire_ns", "copy_ns")] == [
            own[line] for line in ("compute_ns", "wire_ns", "copy_ns")
        ]
        # What a rank waits for rank 2 and idles shrinks with the hosts' time.
        assert row["idle_ns"] < own["idle_ns"]


def test_it_is_said_where_one_reads_first(report: Report) -> None:
    said = "of the step without nsys, 583.8 µs as given (1,167.6 µs as traced)"
    assert said in to_text(report).splitlines()[0]
    assert said in to_markdown(report).replace("\\", "")
    page = to_html(report, "cdn").replace("&nbsp;", " ")
    assert page.index(said) < page.index("<b>how sure</b>")
    for text in (to_text(report), to_markdown(report)):
        assert "he same without nsys, by replay" in text
    row = next(row for row in report.quality if row.id == Aspect.HOST_TIME)
    assert (row.status, said in row.reason) == (Status.OK, True)
    # The profiler's weight is known: it makes nothing less sure.
    assert not any("tracing slows" in why for why in report.diagnosis.verdict.because)


def test_what_is_measured_is_held_against_the_traced_step(report: Report) -> None:
    (found,) = (one for one in report.findings if one.id == "graphs_off")
    # The host of rank 2 keeps its GPU idle for more than the whole step without nsys takes.
    late, share = found.figures["host_late_ns"], found.figures["share"]
    assert isinstance(late, int)
    assert isinstance(share, float)
    assert late > GIVEN
    assert 0 < share < 1
    assert "of 1,167.6 µs as traced because launch calls came late" in found.evidence
    assert "upper bound" not in found.evidence
    # Graphs take the hosts' calls away; what makes one host slower than the others stays.
    assert "give the process of rank 2 CPU cores of its own" in found.also


def test_without_a_time_it_is_null_and_the_remedy_named(path: Path) -> None:
    report = build_report(nsysan.analyze(path), "0", timelines=False)
    document = document_of(report)
    assert (document["untraced"], document["what_if"]["untraced_ns"], document["what_if"]["traced_ns"]) == (None,) * 3
    assert any("--untraced" in row["reason"] for row in document["quality"])


@pytest.mark.parametrize(
    ("time", "said"), [("1.3ms", "more than the 1,167.6 µs"), ("200us", "less than the"), ("0", "takes the time")]
)
def test_an_impossible_time_is_refused(path: Path, capsys: pytest.CaptureFixture[str], time: str, said: str) -> None:
    result = run_cli(capsys, "report", path, "--untraced", time, "--json", "-")
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_what_no_replay_tells_is_not_told_of_that_step_either(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsysan.diagnosis.paced.why_untold", lambda *_: "something paces them")
    report = build_report(nsysan.analyze(path), "0", timelines=False, untraced=GIVEN)
    document = document_of(report)
    assert document["untraced"] is None
    assert document["what_if"]["period_ns"] == 1_167_600
