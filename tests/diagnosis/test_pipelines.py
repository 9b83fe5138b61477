"""Pipelines on paper: what is for want of another stage, and what is not."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.metrics.scenarios import Scenario
from nsysan.report.build import build_report
from nsysan.report.report import Report
from tests.documents import document_of
from tests.pipelines import pipeline
from tests.tracebuilder import TraceBuilder


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
    assert dict(report.per_rank.select("rank", "wait_ns").iter_rows()) == {0: 0, 1: 0, 2: 122_000, 3: 122_000}
    assert bubble.share == pytest.approx((128 + 122) / 2 / 244)
    assert bubble.at_once == 1
    assert [stage.work for stage in bubble.stages] == [116_000, 122_000]
    assert report.diagnosis.verdict.kind == VerdictKind.PIPELINE
    assert report.diagnosis.straggler is None
    assert {what[scenario] for scenario in Scenario} == {244_000}
    assert what.no_bubble == 122_000


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
