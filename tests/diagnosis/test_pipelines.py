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
    assert bubble is not None and what is not None
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
