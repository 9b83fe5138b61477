"""Pipelines on paper: what waits for another stage, and what does not."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan.diagnosis.evidence import Aspect, Status
from nsysan.diagnosis.findings.bubble import BubbleFinding, requests
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.metrics.scenarios import Scenario
from nsysan.page.html import to_html
from nsysan.page.pace_section import bars
from nsysan.report.build import build_report
from nsysan.report.document import to_document
from nsysan.report.markdown import to_markdown
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from tests.documents import document_of
from tests.pipelines import pipeline
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder, decode_loop


def reported(tmp_path: Path, *builders: TraceBuilder) -> Report:
    tmp_path.mkdir(exist_ok=True)
    paths = [builder.write(tmp_path / f"rank_{number}.sqlite") for number, builder in enumerate(builders)]
    report = build_report(nsysan.analyze(paths), "0", timelines=False)
    document_of(report)
    return report


def idle(report: Report) -> dict[int, dict[str, int]]:
    """us of idle time a step by rank and cause."""
    rows = report.diagnosis.gaps.filter(pl.col("ns") > 0).iter_rows()
    found: dict[int, dict[str, int]] = {rank.rank: {} for rank in report.ranks}
    for rank, cause, ns in rows:
        found[rank][cause] = ns // 1_000
    return found


def test_one_batch_in_flight(tmp_path: Path) -> None:
    # 112 + 4 + 112 + 6 + 10 = 244: stage 0 works for 116 of it, stage 1 for 122.
    report = reported(tmp_path, pipeline([104_000, 104_000]))
    bubble, what = report.diagnosis.bubble, report.diagnosis.what_if
    assert bubble is not None
    assert what is not None
    assert what.period == 244_000
    assert idle(report) == {0: {"stage": 128}, 1: {"stage": 128}, 2: {}, 3: {}}
    # Stage 1 waits until the send has ended (section 6); the transfer is work of a stage, for which nobody is late.
    assert dict(report.per_rank.select("rank", "wait_ns").iter_rows()) == {0: 0, 1: 0, 2: 126_000, 3: 126_000}
    assert bubble.share == pytest.approx((128 + 122) / 2 / 244)
    assert bubble.waits == {0: 0, 1: 0, 2: 122_000, 3: 122_000}
    assert bubble.idles == {0: 128_000, 1: 128_000, 2: 0, 3: 0}
    # Means over the ranks, which add up: waiting and idle for a stage together are what the verdict tells.
    drawn = re.sub(r"<[^>]*>", "", bars(report))
    assert (
        "compute 43.9 %waiting for another stage 51.2 %wait (for the last rank) 0.8 %wire (moving data) 4.1 %" in drawn
    )
    assert bubble.at_once == 1
    assert [stage.work for stage in bubble.stages] == [116_000, 122_000]
    assert report.diagnosis.verdict.kind == VerdictKind.PIPELINE
    # Which ranks are which stage, and why no more is gained than 244 / 122.
    assert "take turns (stage 0: ranks 0 and 1; stage 1: ranks 2 and 3)" in report.diagnosis.verdict.says
    assert (
        "no token comes sooner; not more: the busiest rank, GPU or host, works 122 µs of 244.0 µs."
        in report.next_step.told
    )
    assert report.diagnosis.straggler is None
    assert (what[Scenario.NO_SKEW], what[Scenario.FLOOR_WIRE]) == (244_000, 244_000)
    # Hosts mirror the GPU here, so that they may wait for it; without them a step still goes from stage to stage.
    assert what.bounds[Scenario.NO_HOST_LATE] == what.bounds[Scenario.ALL] == (234_000, 244_000)
    # What the busiest stage works.
    assert what.no_bubble == 122_000
    # The chain goes through both stages, and the 10 that the first one's host takes in between.
    spent: dict[str, int] = {}
    for (name, _), ns in report.diagnosis.path.items():
        spent[name] = spent.get(name, 0) + ns
    assert spent == {"compute": 2 * 104_000 + 6_000, "wire": 2 * 8_000 + 4_000, "host": 5_000, "launch": 5_000}
    why = next(row for row in report.quality if row.id == Aspect.WHAT_IF)
    assert (why.status, "is inferred" in why.reason) == (Status.ESTIMATED, True)


def test_how_many_requests_fill_the_pipeline() -> None:
    assert requests(8, 2, 1) == "16 requests at once instead of 8"
    assert requests(8, 4, 2) == "32 requests at once instead of 16"
    # Of batches of unknown size, by their number.
    assert requests(None, 4, 2) == "2 times as many requests at once"
    assert requests(None, 3, 2) == "1.5 times as many requests at once"


def test_pairs_that_send_are_not_those_that_reduce_whatever_the_clocks_say(tmp_path: Path) -> None:
    builders = [TraceBuilder() for _ in range(4)]
    pipeline([104_000, 104_000], builders=builders)
    report = reported(tmp_path, *builders)
    kinds = {group.id: group.kind for group in report.groups}
    assert kinds == {"0,1": "tp", "2,3": "tp", "0,2": "pp", "1,3": "pp"}
    assert idle(report) == {0: {"stage": 128}, 1: {"stage": 128}, 2: {}, 3: {}}


def test_ranks_of_a_pipeline_in_traces_of_their_own(tmp_path: Path) -> None:
    one = reported(tmp_path / "one", pipeline([60_000, 60_000, 60_000], tensor=1))
    builders = [TraceBuilder() for _ in range(3)]
    pipeline([60_000, 60_000, 60_000], tensor=1, builders=builders)
    each = reported(tmp_path / "each", *builders)
    # 3 x 60 + 2 x 4 + 6 + 10 = 204.
    assert idle(one) == idle(each) == {0: {"stage": 140}, 1: {}, 2: {}}
    for report in (one, each):
        assert [replica.layout.name for replica in report.replicas] == ["TP=1 x PP=3"]
        bubble = report.diagnosis.bubble
        assert bubble is not None
        assert (bubble.at_once, [stage.work for stage in bubble.stages]) == (1, [64_000, 68_000, 70_000])


def test_a_host_that_is_late_while_no_stage_works_is_not_for_want_of_one(tmp_path: Path) -> None:
    report = reported(tmp_path, pipeline([40_000, 40_000], host=300_000))
    # 52 + 54 + 300, of which stage 1 works for 54.
    assert idle(report) == {0: {"between_steps": 354}, 1: {"between_steps": 354}, 2: {}, 3: {}}


def test_batches_in_flight_fill_the_bubble(tmp_path: Path) -> None:
    report = reported(tmp_path, pipeline([104_000, 104_000], batches=2, steps=24))
    bubble = report.diagnosis.bubble
    assert bubble is not None
    # Stage 1 paces at 126 a batch, of which it waits for 4 while stage 0 still sends; the host's 10 are no stage's.
    assert bubble.at_once == 2
    assert bubble.share == pytest.approx(4 / 126 / 2)
    assert idle(report) == {0: {"between_steps": 10}, 1: {"between_steps": 10}, 2: {}, 3: {}}
    assert report.diagnosis.verdict.kind == VerdictKind.COMPUTE


def test_kinds_that_are_in_a_pipeline_at_one_time_are_told_together(tmp_path: Path) -> None:
    """What a rank loses in steps of one kind makes those of the other longer, which come behind them."""

    def named(step: int) -> str:
        batch = 16 if step % 2 else 4
        return f"execute_context_0(0)_generation_{batch}({batch})"

    for batches, kinds in ((1, 0), (2, 2)):
        report = reported(tmp_path, pipeline([104_000, 104_000], batches=batches, steps=25, names=named))
        assert len(report.diagnosis.summed) == kinds


def test_what_puts_no_more_batches_in_flight_promises_nothing_of_them(tmp_path: Path) -> None:
    """vLLM's asynchronous scheduling has all requests in one batch; without it hosts no longer work ahead."""
    report = reported(tmp_path, pipeline([104_000, 104_000], names=lambda _: "execute_context_0(0)_generation_8(8)"))
    found = next(one for one in report.findings if one.id == BubbleFinding.PIPELINE_BUBBLE)
    assert (found.saving, found.saves, found.in_throughput) == (None, "", False)
    assert "send more requests at once" in found.fix
    assert report.next_step.saves == "how much that saves nobody can tell: try it"


@pytest.mark.parametrize(("longer", "ratio"), [(40_000, 1.32), (4_000, None)])
@pytest.mark.parametrize("batches", [1, 2])
def test_uneven_stages_are_a_finding(tmp_path: Path, longer: int, ratio: float | None, batches: int) -> None:
    report = reported(tmp_path, pipeline([104_000, 104_000 + longer], batches=batches, steps=20))
    found = {finding.id: finding for finding in report.findings}
    assert (BubbleFinding.UNEVEN_STAGES in found) == (ratio is not None)
    bubble = report.diagnosis.bubble
    assert bubble is not None
    assert bubble.at_once == batches
    if ratio is not None:
        uneven = found[BubbleFinding.UNEVEN_STAGES]
        # 116 and 122 + 40, whose mean is 139: what is saved of a batch if another is in flight meanwhile.
        assert (uneven.figures["stage_0_ns"], uneven.figures["stage_1_ns"]) == (116_000, 162_000)
        assert uneven.figures["ratio"] == pytest.approx(162 / 116)
        assert uneven.saving == (None if batches == 1 else 23_000)
        assert uneven.ranks == [2, 3]
        assert uneven.thresholds["uneven_stages"] == 1.1


@pytest.mark.parametrize("eager", [False, True])
def test_a_stage_that_is_faster_wants_for_the_other_though_batches_are_in_flight(tmp_path: Path, eager: bool) -> None:
    report = reported(tmp_path, pipeline([60_000, 140_000], batches=2, steps=24, eager=eager))
    bubble = report.diagnosis.bubble
    assert bubble is not None
    # Stage 1 paces at 158 a batch, of which stage 0 works for 72: it waits with its message, or for what is sampled.
    waits = dict(report.per_rank.select("rank", "wait_ns").iter_rows())
    if eager:
        assert (waits[0], idle(report)[0]) == (0, {"stage": 86})
    else:
        assert (waits[0], idle(report)[0]) == (76_000, {"between_steps": 10})
    assert bubble.at_once == 2
    assert bubble.stages[0].bubble == pytest.approx((86 if eager else 76) / 158)
    assert bubble.stages[1].bubble == 0
    assert report.diagnosis.verdict.kind == VerdictKind.PIPELINE
    # More batches give nothing where a stage works all the time.
    assert "stage 1 works all of the step, and paces it" in report.diagnosis.verdict.says
    assert BubbleFinding.PIPELINE_BUBBLE not in {finding.id for finding in report.findings}
    assert report.next_step.finding is not None
    assert report.next_step.finding.id == BubbleFinding.UNEVEN_STAGES
    assert report.next_step.do.endswith("fewer for stage 1, which works longest")
    assert "without a bubble" not in report.savings_sentence()


def test_a_rank_that_computes_longer_within_its_stage(tmp_path: Path) -> None:
    report = reported(tmp_path, pipeline([104_000, 104_000], more={3: 30_000}))
    late, what = report.diagnosis.straggler, report.diagnosis.what_if
    # Hosts mirror the GPU, so that theirs could be what is late: nobody is named for what they may have waited for.
    assert late is None
    assert what is not None
    assert (what.period, what[Scenario.NO_SKEW]) == (274_000, 274_000)
    assert what.bounds[Scenario.NO_SKEW] == (244_000, 274_000)
    # What may be saved stands beside what certainly is, though that is nothing.
    assert "without skew at least 0.0 µs, at most 30.0 µs, " in report.savings_sentence()
    row = next(row for row in report.quality if row.id == "straggler")
    assert row.status == "estimated"
    assert "a late rank could cost up to 10.9 % of the step and not show" in row.reason
    verdict = report.diagnosis.verdict
    assert verdict.kind == VerdictKind.PIPELINE


def test_a_run_without_stages_has_no_bubble(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, steps=8)
    report = reported(tmp_path, builder)
    document = to_document(report)
    assert report.diagnosis.bubble is None
    head = document["replicas"][0]
    assert (head["bubble_share"], head["stages_at_once"], head["pipeline"]) == (None, None, [])
    assert document["what_if"]["no_bubble_ns"] is None
    assert "pipeline" not in document["verdict"]["shares"]


def test_every_output_names_the_stages(tmp_path: Path) -> None:
    report = reported(tmp_path, pipeline([104_000, 104_000]))
    document = to_document(report)
    head = document["replicas"][0]
    assert (head["bubble_share"], head["stages_at_once"]) == (pytest.approx(125 / 244), 1)
    assert head["pipeline"] == [
        {"stage": 0, "work_ns": 116_000, "bubble_share": pytest.approx(128 / 244)},
        {"stage": 1, "work_ns": 122_000, "bubble_share": pytest.approx(122 / 244)},
    ]
    assert (document["verdict"]["kind"], document["verdict"]["thresholds"]["pipeline_share"]) == ("pipeline", 0.15)
    assert document["verdict"]["shares"]["pipeline"] == head["bubble_share"]
    sentences = (
        "51.2 % of the ranks' time is spent waiting for another stage; only one batch is in flight, so stages take "
        "turns",
        "stage 0 (ranks 0 and 1): works 116.0 µs a step, and 52.5 % of its time is spent waiting for another stage",
    )
    for text in (to_text(report), unescape(to_markdown(report))):
        for sentence in sentences:
            assert sentence in text
        assert "without a bubble" in text
    page = re.sub(r"<[^>]*>", "", unescape(to_html(report))).replace("\xa0", " ")
    assert sentences[0] in page
    assert "without a bubble (at best)" in page


@pytest.mark.parametrize("tensor", [1, 2])
def test_stages_that_share_a_communicator_are_told_by_whom_they_send_to(tmp_path: Path, tensor: int) -> None:
    apart = reported(tmp_path / "apart", pipeline([60_000] * 4, tensor=tensor))
    wide = reported(tmp_path / "wide", pipeline([60_000] * 4, tensor=tensor, wide=True))
    assert [family.unmatched for family in wide.collectives] == [0] * len(wide.collectives)
    assert wide.groups == apart.groups
    assert wide.diagnosis.bubble == apart.diagnosis.bubble
    assert wide.replicas[0].layout.name == f"TP={tensor} x PP=4"
    assert wide.diagnosis.verdict.kind == VerdictKind.PIPELINE


@pytest.mark.parametrize("batches", [(8,) * 12, (8,) * 9 + (7, 7, 6)])
def test_a_stage_that_begins_half_a_step_later_has_the_steps_of_the_others(
    tmp_path: Path, batches: tuple[int, ...]
) -> None:
    def name(step: int) -> str:
        return f"execute_context_0(0)_generation_{batches[step]}({batches[step]})"

    # Ranges begin after the receive, and stage 1 120 us after stage 0, in steps of 236 and of 252.
    report = reported(
        tmp_path, pipeline([108_000, 100_000], host=2_000, jitter=16_000, names=name, claimed=False, steps=12)
    )
    assert report.steps.count == 12
    assert {family.unmatched for family in report.collectives if family.kind == "all_reduce"} == {0}
    assert report.per_step.group_by("step").agg(pl.len())["len"].unique().to_list() == [4]
    assert [one.batch for one in report.replicas[0].populations] == list(dict.fromkeys(batches))


def test_ranks_that_also_exchange_messages_within_a_layer_are_no_stages(tmp_path: Path) -> None:
    # Two ranks that reduce and exchange in every layer: rank 1 is late, and its waiting is skew.
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(100 + rank, device=rank)
        for step in range(12):
            at = 1_000_000 + 100_000 * step
            process.nvtx(f"decode_step_{step}", at - 20_000, at + 19_000)
            begin = at + 20_000 + 8_000 * rank
            process.kernel(COMPUTE_KERNEL, at, begin)
            process.kernel(ALLREDUCE_KERNEL, begin, at + 34_000)
            process.kernel("ncclDevKernel_SendRecv", at + 34_000, at + 38_000, launch=at + 18_000)
    report = reported(tmp_path, builder)
    assert report.replicas[0].layout.name == "TP=2"
    assert report.diagnosis.bubble is None
    # Whether its host, which mirrors the GPU, could have been sooner shows nowhere.
    assert dict(report.per_rank.select("rank", "wait_ns").iter_rows()) == {0: 8_000, 1: 0}
