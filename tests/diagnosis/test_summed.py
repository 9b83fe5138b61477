"""A live server: no kind of decode step has half of the decode time. Answers are sums over them, by hand, in us."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import nsysan
from nsysan.diagnosis.savings import savings
from nsysan.metrics.scenarios import Scenario
from nsysan.page.html import to_html
from nsysan.page.pace_section import bars
from nsysan.replay.pace import replay
from nsysan.replay.untraced import OutOfRange
from nsysan.report.build import build_report
from nsysan.report.markdown import to_markdown
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from nsysan.run.all_decode import of_all_decode, usual_period
from nsysan.run.other_steps import headed_by
from nsysan.run.run import Run
from tests.clitools import run_cli
from tests.documents import document_of
from tests.mixtures import COUNT, KINDS, PERIODS, WIRE, mixture


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return nsysan.analyze(nsysan.open_trace(mixture(tmp_path_factory.mktemp("summed") / "t.sqlite")))


@pytest.fixture(scope="module")
def report(run: Run) -> Report:
    return build_report(run, "0", timelines=False)


def over(ns: dict[int, int]) -> float:
    """The mean over the kinds, each as often as it has steps."""
    return sum(KINDS[batch][0] * value for batch, value in ns.items()) / COUNT


def test_periods_and_savings_are_means_by_steps(report: Report) -> None:
    document = document_of(report)
    what = document["what_if"]
    assert what["period_ns"] == round(over(PERIODS)) == 164_000
    assert [(one["population"], one["steps"], one["period_ns"]) for one in what["summed"]] == [
        ("decode_16", 24, 210_000),
        ("decode_8", 24, 190_000),
        ("decode_4", 32, 110_000),
    ]
    assert [one["share"] for one in what["summed"]] == pytest.approx([5_040 / 13_120, 4_560 / 13_120, 3_520 / 13_120])
    # Of rank 1 the longer kernels of two of the kinds: 24 x 60 and 32 x 20, of 80 steps. The one that heads has none.
    lost = over({16: 0, 8: 60_000, 4: 20_000})
    assert lost == 26_000
    assert what["no_skew_ns"] == pytest.approx(164_000 - lost, abs=300)
    assert what["ranks"]["1"] == pytest.approx(164_000 - lost, abs=300)
    (late,) = document["late"]
    assert (late["ranks"], late["cause"]) == ([1], "compute")
    assert (late["costs_ns"], late["saves_ns"]) == (pytest.approx(lost, abs=300),) * 2
    assert document["straggler"]["share"] == pytest.approx(26 / 164, abs=0.003)


def test_steps_are_steady_within_their_own_kind(report: Report) -> None:
    document = document_of(report)
    # The first step of all is start-up; of every kind the others are what its period is of.
    told = {one["id"]: one["steady"] for one in document["populations"]}
    assert told == {"decode_16": 23, "decode_8": 24, "decode_4": 32}
    steady = Counter(row["population"] for row in document["per_step"] if row["steady"] and row["rank"] == 0)
    assert steady == told
    # The kind that heads alone is what medians are of, whatever else is steady.
    assert {rank["period_ns"] for rank in document["per_rank"]} == {PERIODS[16]}


def test_the_path_is_a_sum_too_and_medians_stay_apart(report: Report) -> None:
    document = document_of(report)
    path: dict[str, int] = {}
    for part in document["critical_path"]:
        path[part["class"]] = path.get(part["class"], 0) + part["ns"]
    assert sum(path.values()) == 164_000
    compute = over({batch: compute + longer for batch, (_, compute, longer) in KINDS.items()})
    assert path["compute"] == pytest.approx(compute, abs=500)
    assert path["wire"] == pytest.approx(WIRE, abs=100)
    # 26 of 164 is over 15 %.
    assert document["verdict"]["kind"] == "skew"
    assert {row["period_ns"] for row in document["per_rank"]} == {210_000}
    assert document["steps"]["steady"] < 24
    # Of all decode: all but the first step.
    assert document["steps"]["coverage"]["span"] > 0.95


def test_every_output_says_so(report: Report) -> None:
    said = "late ranks and savings are means over all of them"
    assert "summed    decode steps are of 3 kinds, by batch and work (decode_16 takes 38.4 % of the time)" in to_text(
        report
    )
    for text in (to_text(report), to_markdown(report), to_html(report, "cdn")):
        assert said in text


def test_the_bars_are_of_all_kinds(report: Report) -> None:
    shown = re.sub(r"<[^>]*>", "", bars(report)).replace("\xa0", " ")
    compute = over({batch: compute for batch, (_, compute, _) in KINDS.items()})
    waits = over({batch: longer for batch, (_, _, longer) in KINDS.items()})
    assert (compute, waits) == (128_000, 26_000)
    assert shown.startswith(
        "what GPUs do (ledger), rank 0, not late, means over all 3 kinds of steps"
        "compute 78.0 %wait (for the last rank) 15.9 %wire (moving data) 4.9 %idle 1.2 %"
    )
    assert "rank 1, a late onecompute 93.9 %wait (for the last rank) 0.0 %wire (moving data) 4.9 %idle 1.2 %" in shown


def test_a_kind_whose_only_step_is_the_last_is_not_in_it(tmp_path: Path) -> None:
    """The last step ends with its own last work, so that nothing tells what one of its kind takes."""
    for last, counted in ((1, 3), (3, 4)):
        run = nsysan.analyze(nsysan.open_trace(mixture(tmp_path / f"{last}.sqlite", last=last)))
        what = document_of(build_report(run, "0", timelines=False))["what_if"]
        assert len(what["summed"]) == counted
        # Else what is saved would be of other steps than the period.
        assert what["period_ns"] == what["replay_ns"] == pytest.approx(164_000 - 54_000 * (counted > 3) * 3 / 83, abs=1)


def test_a_kind_that_is_not_replayed_is_told_by_the_share_of_the_others(run: Run) -> None:
    """So few operations that the steps have no room that take least time together: 24 of 210 and 24 of 190 are told."""
    every = of_all_decode(run)
    pace = replay(every, 20)
    assert pace is not None
    told = (24 * 210_000 + 24 * 190_000) / 48
    assert pace.period.median == round(told)
    what = savings(every, pace.of(usual_period(every)))
    assert what is not None
    assert (what.period, what.replayed) == (164_000, round(told))
    lost = 164_000 * (24 * 60_000 / 48) / told
    assert what[Scenario.NO_SKEW] == pytest.approx(164_000 - lost, abs=2)
    (late,) = pace.of(usual_period(every)).late
    assert late.ranks == (1,)
    assert [late.costs, late.saves] == pytest.approx([lost] * 2, abs=2)
    # A kind weighs by its steps here too, however many of them are replayed.
    assert [ns for _, ns in late.kernels] == [pytest.approx(lost, abs=2)]


def test_one_that_is_named_is_told_alone(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = mixture(tmp_path / "t.sqlite")
    alone = run_cli(capsys, "whatif", path, "--batch", "8", "--set", "rank[1]=level")
    assert "190.0" in alone.out
    assert "130.0" in alone.out
    with pytest.raises(OutOfRange, match="--population"):
        build_report(run, "0", timelines=False, untraced=150_000)


def test_sizes_leave_the_steps_that_head(run: Run) -> None:
    own = run.replicas[0]
    for one in own.steps.populations:
        other = headed_by(own, one.id)
        stated = other.stating(8_192)
        assert set(stated.ledger.filter("steady")["step"]) == set(stated.steady_steps) == set(other.steady_steps)
