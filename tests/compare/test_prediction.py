"""`nsysan compare --predict`: a model of which every kernel takes a + b/n, at a number of ranks not captured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import nsysan
from nsysan.compare.aligned import aligned
from nsysan.compare.as_markdown import to_markdown
from nsysan.compare.as_page import to_html
from nsysan.compare.as_text import to_text
from nsysan.compare.bars import bar
from nsysan.compare.changes import compare
from nsysan.compare.compared_run import compared_run
from nsysan.compare.comparison import ComparedRun, Comparison
from nsysan.compare.prediction import Ends, Prediction
from nsysan.compare.replay_told import Replayed
from nsysan.compare.split import Split, fitted
from nsysan.compare.wire_at import floor_at
from nsysan.metrics.lines import Line
from nsysan.metrics.link import Link
from nsysan.model.gpu_links import LinkKind
from nsysan.replay.results import Timed
from nsysan.run.run import Run
from tests.clitools import run_cli
from tests.documents import document_of
from tests.simulator.export import export
from tests.simulator.inputs import Noise
from tests.simulator.sharded import LAYER, sharded
from tests.simulator.truth import truths
from tests.tracebuilder import TraceBuilder, decode_loop

Side = Callable[[int], ComparedRun]
EAGER_NS = 20_000


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ComparedRun]:
    """A side by its number of ranks: a machine of clockwork, as a graph or eager."""
    folder = tmp_path_factory.mktemp("sharded")

    @cache
    def side(ranks: int, launch_ns: int | None = None, layers: int = 4, size: int = 8_192) -> ComparedRun:
        scenario = sharded(ranks, launch_ns=launch_ns, layers=layers, size=size)
        path = export(scenario, folder / f"{ranks}_{launch_ns}_{layers}_{size}.sqlite")
        return compared_run("A", nsysan.analyze(nsysan.open_trace(path)), "0", predicting=True)

    return side


def compared(*found: ComparedRun, predict: tuple[int, ...]) -> Comparison:
    return compare([replace(one, label="ABCD"[n]) for n, one in enumerate(found)], "0", predict)


def real(analyzed: Callable[[str], Run], name: str) -> ComparedRun:
    return compared_run("A", analyzed(name), "0", predicting=True)


def only(comparison: Comparison) -> Prediction:
    (one,) = comparison.predictions
    return one


def assert_holds(one: Prediction, truth: float, within: float) -> None:
    assert one.reason is None
    assert one.period is not None
    assert one.low is not None
    assert one.high is not None
    assert one.low <= truth <= one.high
    assert one.period == pytest.approx(truth, rel=within)
    assert sum(one.ledger.values()) == one.period


@pytest.mark.parametrize(
    ("known", "ranks", "launch_ns"), [((1, 2), 4, None), ((2, 4), 8, None), ((2, 4), 1, None), ((2, 4), 1, EAGER_NS)]
)
def test_a_degree_that_was_not_captured(
    sides: Callable[..., ComparedRun], known: tuple[int, int], ranks: int, launch_ns: int | None
) -> None:
    """Of clockwork the compute is right to the ns; calls of TP=4 from TP=2 alone are by the table of links."""
    one = only(compared(*(sides(n, launch_ns) for n in known), predict=(ranks,)))
    truth = truths(sharded(ranks, launch_ns=launch_ns))[0].periods["period"].median
    assert_holds(one, truth, 0.01)
    layer = sum(round(a + b / ranks) for a, b in LAYER.values())
    assert one.ledger[Line.COMPUTE] == pytest.approx(4 * layer + 6_000, abs=20)
    assert one.fixed == pytest.approx(4 * sum(a for a, _ in LAYER.values()) + 6_000, abs=20)


def test_hosts_that_pace_a_step_pace_it_at_any_degree(sides: Callable[..., ComparedRun]) -> None:
    """26 launches of 20 us and 23.6 more than the GPU needs at TP=4 already: at TP=8 nothing gets shorter."""
    comparison = compared(sides(2, EAGER_NS), sides(4, EAGER_NS), predict=(8,))
    one = only(comparison)
    truth = truths(sharded(8, launch_ns=EAGER_NS))[0].periods["period"].median
    # Launched one by one, hosts are up to three times as slow elsewhere: no figure, but its two ends.
    assert (one.period, one.low, one.high) == (None, None, None)
    assert one.hosts
    assert one.as_now == pytest.approx(truth, rel=0.01)
    assert one.alone is not None
    assert one.alone.low < one.alone.ns < one.alone.high < truth
    text = to_text(comparison)
    assert "predict   TP=8: no one figure: hosts pace this, launching one kernel at a time: GPUs alone 269.7" in text
    assert "with hosts as now 543.6 µs, and these differ by up to 3x between captures; predict from a graph" in text
    row = document_of(comparison)["predictions"][0]
    assert (row["period_ns"], row["ledger"], row["hosts_pace"]) == (None, None, True)
    assert row["hosts_as_now_ns"] == round(one.as_now or 0)
    assert row["no_host_late_low_ns"] < row["no_host_late_ns"] < row["no_host_late_high_ns"]


def replayed(middle: int, free: int, hosts: float, asked: int = 0) -> Replayed:
    """A replay of which only the middle, that without late launches and what hosts need count; 10 % each way."""

    def ends(ns: int) -> list[Timed]:
        return [Timed(each, each) for each in (ns, ns - free // 10, ns + free // 10)]

    return Replayed(ends(middle)[0], ends(middle), ends(free), Timed(asked, asked), hosts, hosts / 20, {})


def test_bars_by_hand() -> None:
    """ns: of 1,000 by GPUs alone, 100 either way."""
    sure = (0.0, 0.0)
    free = bar(replayed(1_000, 1_000, 300.0), sure, 0.0, 0.0, 2, eager=False)
    assert (free.alone, free.told, free.paced) == (Ends(1_000, 900, 1_100), Ends(1_000, 900, 1_100), False)
    # Hosts that need 900 and keep ahead: elsewhere they may need 1,350.
    near = bar(replayed(1_000, 1_000, 900.0), sure, 0.0, 0.0, 2, eager=False)
    assert (near.told, near.paced) == (Ends(1_000, 900, 1_350), False)
    # Hosts that need 1,600: they may be such that keep ahead, or half as slow again.
    paced = bar(replayed(1_600, 1_000, 1_600.0), sure, 0.0, 0.0, 2, eager=False)
    assert (paced.told, paced.paced, paced.says_nothing) == (Ends(1_600, 900, 2_400), True, False)
    assert bar(replayed(1_900, 1_000, 1_900.0), sure, 0.0, 0.0, 2, eager=False).says_nothing
    assert bar(replayed(1_600, 1_000, 1_600.0), sure, 0.0, 0.0, 2, eager=True).says_nothing
    # What hosts add without pacing may be nothing, or half of it more; of one rank alone three times more.
    added = bar(replayed(1_200, 1_000, 300.0), sure, 0.0, 0.0, 2, eager=False)
    assert added.told.low == pytest.approx(1_200 - np.hypot(100, 200))
    assert added.told.high == pytest.approx(1_200 + np.hypot(100, 100))
    alone = bar(replayed(1_200, 1_000, 300.0), sure, 0.0, 0.0, 1, eager=False)
    assert alone.told.high == pytest.approx(1_200 + np.hypot(100, 600))
    # Launching calls that there were none of takes hosts longer, and what they ask after they may wait for.
    more = bar(replayed(1_600, 1_000, 1_600.0, asked=2_600), sure, 0.0, 100.0, 2, eager=False)
    assert more.told == Ends(1_700, 900, 2_600)


def test_three_degrees_are_left_out_in_turn(sides: Callable[..., ComparedRun]) -> None:
    comparison = compared(sides(1), sides(2), sides(4), predict=(8, 4))
    known, far = comparison.predictions
    truth = {n: truths(sharded(n))[0].periods["period"].median for n in (4, 8)}
    assert_holds(far, truth[8], 0.01)
    assert far.missed.keys() == {1, 2, 4}
    assert max(map(abs, far.missed.values())) < 0.02
    # TP=4 was measured: what is predicted of it is from the others.
    assert_holds(known, truth[4], 0.01)
    assert known.measured == pytest.approx(truth[4], rel=0.001)
    row = document_of(comparison)["predictions"][1]
    assert (row["tp"], row["batch"], row["side"], row["replicas"]["tp"]) == (8, 1, "C", 4)
    assert row["replicas"]["tokens_per_second"] == pytest.approx(2e9 / truth[4], rel=0.01)
    assert sum(row["ledger"].values()) == row["period_ns"]
    assert row["left_out"].keys() == {"1", "2", "4"}


def test_every_output_tells_it(sides: Callable[..., ComparedRun]) -> None:
    comparison = compared(sides(2), sides(4), predict=(8,))
    text = to_text(comparison)
    # 0.345 at TP=4: 4 x (18.5 + 29.5) of compute and 6, 71.2 of wire; at TP=8 59 less and 44 more.
    assert "stop      at TP=4: 8 GPUs make a token only" in text
    assert "do not shrink: compute 68.0 µs" in text
    assert "predict   TP=8: " in text
    assert "replicas  on 8 GPUs, 2 replicas of TP=4 serve" in text
    assert "100.0 % of the compute aligned kernel by kernel" in text
    assert "| 8 | predicted |" in " ".join(to_markdown(comparison).split())
    page = to_html(comparison)
    assert "Other TP degrees" in page
    assert 'data-figure="predicted"' in page


def test_noise_stays_within_the_bar(tmp_path: Path) -> None:
    noise = Noise(kernel=0.008, host=0.04, wire=0.04, rank=0.003, end_ns=300.0)
    found = []
    for ranks in (2, 4):
        path = export(sharded(ranks, noise=noise, seed=ranks), tmp_path / f"{ranks}.sqlite")
        found.append(compared_run("A", nsysan.analyze(nsysan.open_trace(path)), "0", predicting=True))
    one = only(compared(*found, predict=(8,)))
    assert_holds(one, truths(sharded(8, noise=noise, seed=8))[0].periods["period"].median, 0.03)


# ---- what cannot be predicted


def test_other_models_are_refused_at_the_top(sides: Callable[..., ComparedRun]) -> None:
    """An 8-layer against a 4-layer run; of one rank alone only the kernels tell."""
    for ranks, what in ((2, "other calls a step, so other layers"), (1, "other layers: ")):
        comparison = compared(sides(ranks, None, 8), sides(4), predict=(8,))
        assert what in comparison.refused["B"]
        assert comparison.scaling is None
        one = only(comparison)
        assert (one.period, one.reason) == (None, f"B is refused: {comparison.refused['B']}")
        assert to_text(comparison).startswith("B vs A    refused: other ")
        assert document_of(comparison)["refused"][0]["side"] == "B"
        assert to_markdown(comparison).splitlines()[2].startswith("- **B vs A refused: other ")


def test_what_is_not_one_workload_is_not_predicted(sides: Callable[..., ComparedRun]) -> None:
    def reason(*found: ComparedRun, predict: int = 8) -> str:
        return only(compared(*found, predict=(predict,))).reason or ""

    assert reason(sides(2), sides(2)).startswith("all sides are of TP=2: ")
    assert (
        reason(sides(2), sides(4), predict=4)
        == "B is of TP=4, and without it one degree is left; --model tells how it divides"
    )
    assert reason(sides(2), sides(4, None, 4, 1 << 20)).startswith("all-reduces of no common size, so another batch")


def test_graph_blocks_hide_what_a_prediction_needs(analyzed: Callable[[str], Run]) -> None:
    one = only(compared(real(analyzed, "tp2_graph"), real(analyzed, "tp4_graph_graph"), predict=(8,)))
    assert one.period is None
    assert (one.reason or "").startswith("compute is not measured in B: ")


def test_without_a_replay_the_lines_are_summed(sides: Callable[..., ComparedRun]) -> None:
    """Nothing tells what paces the step, and 10 % more may be wrong."""
    found = [sides(2), sides(4)]
    blind = [
        replace(side, work_of_step=side.work_of_step and replace(side.work_of_step, ready=None, why="told"))
        for side in found
    ]
    one, seen = (only(compared(*each, predict=(8,))) for each in (blind, found))
    assert_holds(one, truths(sharded(8))[0].periods["period"].median, 0.01)
    assert one.basis[-1].endswith("line by line: told")
    assert (one.high or 0) - (one.low or 0) > (seen.high or 0) - (seen.low or 0)
    alone = only(compared(*blind, predict=(1,)))
    assert alone.ledger[Line.WIRE] == alone.ledger[Line.WAIT] == 0


def test_calls_without_counterparts_tell_no_wire(sides: Callable[..., ComparedRun]) -> None:
    side = sides(4)
    partial = replace(side, calls=side.calls.with_columns(wire=pl.lit(None, dtype=pl.Int64)))
    reason = only(compared(sides(2), partial, predict=(8,))).reason
    assert (reason or "").startswith("no call of communication is measured in B: ")


def test_steps_that_compute_nothing_tell_nothing(sides: Callable[..., ComparedRun]) -> None:
    """As of damaged times, by which every kernel ends where it begins."""
    side = sides(2)
    assert side.work_of_step is not None
    idle = replace(side, work_of_step=replace(side.work_of_step, ns=np.zeros_like(side.work_of_step.ns)))
    assert only(compared(idle, sides(4), predict=(8,))).reason == "no compute kernel that takes time shows in A"


def test_one_capture_alone_is_told_what_to_give(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=2)
    path = builder.write(tmp_path / "a.sqlite")
    refused = run_cli(capsys, "compare", path, "--predict", "8")
    assert refused.code == 2
    assert "give a second one" in refused.err
    both = run_cli(capsys, "compare", path, path, "--predict", "8", "--json", "-")
    assert json.loads(both.out)["predictions"][0]["reason"].startswith("all sides are of TP=2")


# ---- real captures


def test_two_real_captures(analyzed: Callable[[str], Run]) -> None:
    """TP=8 of tp2_graph and tp4_graph_node: compute 1 301 of TP=4 less half of the 556 that it is less than TP=2's."""
    one = only(compared(real(analyzed, "tp2_graph"), real(analyzed, "tp4_graph_node"), predict=(8,)))
    assert one.ledger[Line.COMPUTE] == pytest.approx(1_301_000 - 278_000, rel=0.02)
    # 32 calls of 14 us, by the table's 14.4 against 8.9 at TP=4.
    assert one.ledger[Line.WIRE] == pytest.approx(453_000, rel=0.03)
    assert one.base == "B"
    assert not one.hosts


# ---- the parts


def test_the_longest_common_sequence_by_hand() -> None:
    assert aligned("abcabc", "abxcabc") is not None
    assert aligned("abcabc", "abxcabc").tolist() == [0, 1, 3, 4, 5, 6]  # type: ignore[union-attr]
    assert aligned("xay", "ab").tolist() == [-1, 0, -1]  # type: ignore[union-attr]
    assert aligned("", "ab").tolist() == []  # type: ignore[union-attr]
    assert aligned("a" * 10_000, "a" * 10_000) is None


def test_a_split_by_hand() -> None:
    """Of 100 half is shared out at TP=2: 50 + 100 / n; at TP=4 75, a change of 25, of which a quarter may be wrong."""
    one = np.ones(1)
    split = Split(2, ("gemm",), (0,), 50 * one, 100 * one, 0.25 * one, 0 * one, "by hand")
    assert (split.total(2), split.total(4), split.fixed_total) == (100, 75, 50)
    assert split.factors(4).tolist() == [0.75]
    assert split.error(4) == pytest.approx(np.hypot(0.25 * 25, 0.015 * (75 + 25)))


def test_a_step_that_cannot_be_aligned_is_fitted_as_a_whole(sides: Callable[..., ComparedRun]) -> None:
    two, four = sides(2).work_of_step, sides(4).work_of_step
    assert two is not None
    assert four is not None
    other = replace(two, kinds=tuple(f"another {kind}" for kind in two.kinds))
    split = fitted([(2, other), (4, four)], 4)
    assert split.total(8) == pytest.approx(four.total - (two.total - four.total) / 2)
    assert "only 0.0 % of the compute could be aligned" in split.basis
    assert split.error(8) > fitted([(2, two), (4, four)], 4).error(8)


H200 = Link("H200 SXM", LinkKind.NVLINK, 450.0, "a row", LinkKind.NVLINK, ())
CALL = ("all_reduce", 8_192)


def test_floors_in_the_order_of_what_they_rest_on() -> None:
    floors = {2: 6_000.0, 4: 9_000.0}
    assert floor_at(CALL, floors, 1, 4, H200, nccl=True).high == 0
    measured = floor_at(CALL, floors, 4, 2, H200, nccl=True)
    assert (measured.ns, measured.source) == (9_000, "measured at TP=4")
    table = floor_at(CALL, floors, 8, 4, H200, nccl=True)
    # 14.4 of 8.9 in the table; by the line 15.0.
    assert table.ns == pytest.approx(9_000 * 14.4 / 8.9)
    assert (table.low, table.high) == pytest.approx((0.9 * table.ns, 1.1 * 15_000))
    line = floor_at(CALL, floors, 8, 4, H200, nccl=False)
    assert (round(line.ns), line.source) == (15_000, "a line through 6.0 µs at TP=2, 9.0 µs at TP=4")
    alone = floor_at(CALL, {4: 9_000.0}, 8, 4, H200, nccl=False)
    # A ring's 6.6 + 14 x 0.6 against 6.6 + 6 x 0.6.
    assert alone.ns == 9_000
    assert alone.high == pytest.approx(1.1 * 9_000 * 15.0 / 10.2)
