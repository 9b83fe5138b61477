"""What a step takes with things changed, on runs that are known on paper (tests.simulator.cases), in us."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import nsysan
from nsysan.ask.answer import answer
from nsysan.ask.answered import Answer
from nsysan.ask.expressions import BadExpression, parse
from nsysan.diagnosis.diagnose import diagnose
from nsysan.diagnosis.savings import REPLAYED
from nsysan.metrics.scenarios import Scenario
from nsysan.replay.edits import STANDARD
from nsysan.replay.pace import replay
from nsysan.replay.trust import why_untold
from nsysan.replay.untraced import OutOfRange
from nsysan.report.report import Report
from nsysan.run.run import Run
from tests.clitools import run_cli
from tests.pipelines import pipeline
from tests.simulator import cases
from tests.simulator.export import export

#: Of two slow ranks, 496.9: 1 computes 30 % longer. Four layers, 25 gaps of 1.2, 1.2 or 1.0 and 1.0 a step.
KNOWN = {
    # Rank 1's attention takes 28.6, four times.
    "kernel[~attn].x0.5": 496.9 - 4 * 28.6 / 2,
    # Rank 2 is then the last at the first call of a layer: 1.2 instead of 1.3 times 22 + 9.
    "kernel[=attn_fwd, rank 1]=22us": 496.9 - 4 * 3.1,
    # Rank 2 takes 20 % longer than the others, rank 1 30 %: once rank 1 is right, rank 2 is the last.
    "rank[1]=level": 468.9,
    "rank[2]=level": 496.9,
    "rank[1, 2]=level": 412.9,
    "no_skew": 412.9,
    # Eight all-reduces of 8.
    "wire=5us": 496.9 - 8 * 3,
    "wire[all_reduce].x0.5": 496.9 - 8 * 4,
    "wire=floor": 496.9,
    "copy=0": 496.9 - 1.5,
    "gaps=0": 496.9 - 24 * 1.2 - 1.0,
    # Of 20.6 between steps, and 3 in the synchronise call, which is no work.
    "host.x0.5": 496.9 - 10.3,
    # Launch calls end while the GPUs work.
    "launch=0": 496.9,
}


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(cases.two_slow_ranks(), tmp_path_factory.mktemp("ask") / "t.sqlite")


def asked(path: Path, *texts: str, without_nsys: int | None = None) -> Answer:
    return answer(nsysan.analyze(path), [parse(text, STANDARD) for text in texts], 0, without_nsys)


def test_each_alone_and_all_together(slow: Path) -> None:
    found = asked(slow, *KNOWN)
    assert found.period == 496_900
    assert {one.text: one.period and one.period / 1000 for one in found.asked} == pytest.approx(KNOWN)
    both = asked(slow, "wire=5us", "rank[1]=level").together
    assert both is not None
    assert both.period == 468_900 - 24_000


def test_what_changes_nothing(slow: Path) -> None:
    for text, said in {
        "kernel[~atn]=0": "near: attn_fwd",
        "kernel[~xyz]=0": "there is attn_fwd",
        "kernel[~AllReduce]=0": "but communication",
        "wire[all_gather]=0": "there is all_reduce",
        "rank[7]=level": "there is no rank 7, only ranks 0 to 3",
    }.items():
        with pytest.raises(BadExpression, match=said):
            asked(slow, text)


def test_without_nsys(tmp_path: Path) -> None:
    """Each host needs 1063.6, rank 2 1167.6: of 26 launch calls of 44 and 23.6. At half of it, 583.8 and 531.8."""
    path = export(cases.every_host_slow(), tmp_path / "t.sqlite")
    found = asked(path, "rank[2]=level", without_nsys=583_800)
    assert (found.traced, found.gaps) == (1_167_600, 1.0)
    assert found.hosts == pytest.approx(0.5, abs=0.001)
    assert found.period == pytest.approx(583_800, rel=0.001)
    assert found.asked[0].period == pytest.approx(531_800, rel=0.001)
    for ns, said in ((1_300_000, "is more than the 1,167.6 µs"), (200_000, "is less than the")):
        with pytest.raises(OutOfRange, match=said):
            asked(path, without_nsys=ns)


def test_gaps_take_what_hosts_cannot(tmp_path: Path) -> None:
    """Of 412.9 the GPU needs 286 + 64 + 1.5; hosts can be faster by three quarters of 20.6."""
    found = asked(export(cases.balanced(), tmp_path / "t.sqlite"), without_nsys=390_000)
    assert found.hosts == pytest.approx(0.25, abs=0.02)
    assert found.gaps is not None
    assert 0.7 < found.gaps < 0.8
    assert found.period == pytest.approx(390_000, rel=0.001)


def test_command(slow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_cli(capsys, "whatif", slow, "--set", "wire=5us", "--set", "gaps=0", "--json", tmp_path / "w.json")
    assert result.code == 0
    assert "wire=5us" in result.out
    assert "all together" in result.out
    document = json.loads((tmp_path / "w.json").read_text("utf-8"))
    assert [row["saves_ns"] for row in document["edits"]] == [24_000, 29_800]
    assert document["together"]["saves_ns"] == 53_800
    listed = run_cli(capsys, "whatif", slow)
    assert all(name in listed.out for name in (*STANDARD, "rank[1]=level"))
    # Of the steady steps those that lead in, and the last, are not counted; in replays graphs save nothing to tell.
    assert re.search(r": \d+ steps replayed of \d+ steady ones", listed.out)
    assert re.search(r"graphs +- +- +-", listed.out)
    assert "-0.0" not in listed.out
    for options in (["--set", "wire=5"], ["--set", "kernel[~atn]=0"], ["--untraced", "1ms"], ["--untraced", "0"]):
        wrong = run_cli(capsys, "whatif", slow, *options)
        assert (wrong.code, wrong.out) == (2, "")


def test_what_a_report_does_not_tell_is_not_told_here(
    analyzed: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the order that its streams show a step would take 11 us of 2 063.
    monkeypatch.setattr("nsysan.replay.orders.crossings", lambda *_, **__: [])
    run = analyzed("tp4_overlap")
    found = answer(run, [parse("host.x0.5", STANDARD)], 0)
    what = diagnose(run).what_if
    assert what is not None
    assert found.unknown == what.why
    assert "no order between streams" in what.why
    assert [one.period for one in found.asked] == [None]
    assert set(found.standard.values()) == {None} == set(what.without.values())


def test_what_a_report_tells_is_told_here(analyzed: Callable[[str], Run], reported: Callable[[str], Report]) -> None:
    """Nine of eleven steady steps are replayed, and sizes, by which floors are, come from grids."""
    found = answer(analyzed("tp4_slow"), [parse("floor_wire", STANDARD)], 0)
    what = reported("tp4_slow").diagnosis.what_if
    assert what is not None
    assert found.replayed < found.steady
    assert found.traced == found.period == what.period
    assert found.standard == {name: what[scenario] for scenario, name in REPLAYED.items() if name in found.standard}
    assert found.ranks_right == what.ranks
    assert [one.period for one in found.asked] == [what[Scenario.FLOOR_WIRE]]


def test_what_replays_as_blocks_hide_is_told_nowhere(
    analyzed: Callable[[str], Run], reported: Callable[[str], Report]
) -> None:
    found = answer(analyzed("tp4_graph_graph"), [], 0)
    what = reported("tp4_graph_graph").diagnosis.what_if
    assert what is not None
    assert found.unknown == what.why
    assert set(found.standard.values()) == set(found.ranks_right.values()) == {None}


def test_a_pipeline_has_its_bubble_among_the_standard_ones(tmp_path: Path) -> None:
    path = pipeline([104_000, 104_000]).write(tmp_path / "t.sqlite")
    found = answer(nsysan.analyze(nsysan.open_trace(path)), [], 0)
    assert (found.period, found.standard["no_bubble"]) == (244_000, 122_000)


def test_a_replay_that_does_not_give_what_was_measured_tells_nothing(slow: Path) -> None:
    run = nsysan.analyze(nsysan.open_trace(slow))
    pace = replay(run)
    assert pace is not None
    assert why_untold(run, pace) == ""
    assert "does not give the times" in why_untold(run, replace(pace, exact=False))


def test_what_is_asked_beside_a_what_if_with_bounds_has_them_too(tmp_path: Path) -> None:
    """Hosts that mirror the GPU: whether they wait is not told, whatever else is asked."""
    own = nsysan.analyze(pipeline([104_000, 104_000]).write(tmp_path / "t.sqlite"))
    told = answer(own, [parse("host_free", STANDARD), parse("wire.x1", STANDARD)], 0)
    assert told.asked[0].bounds == (234_000, 244_000)
    assert told.together is not None
    assert (told.together.period, told.together.bounds) == (244_000, (234_000, 244_000))
