"""The slowest steps: what was different in them, on which rank, and at which collective."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import nsysan
from nsysan.metrics.lines import Line
from nsysan.metrics.outliers import Outlier
from nsysan.metrics.tail_causes import TailCause
from nsysan.report.build import build_report
from nsysan.report.terminal import to_text
from nsysan.run.run import Run
from tests.frames import lockstep_run
from tests.tracebuilder import TraceBuilder

SHAPE = (3, 9, 4)
#: Four layers of 18 us, and 2 us between steps.
PERIOD = 74_000


def outliers(run: Run) -> list[Outlier]:
    return build_report(run, "0", timelines=False).diagnosis.outliers


def test_no_step_is_slow_where_all_are_alike(tmp_path: Path) -> None:
    assert outliers(lockstep_run(tmp_path / "trace.sqlite", np.full(SHAPE, 10_000))) == []


def test_longer_compute_of_one_rank(tmp_path: Path) -> None:
    compute = np.full(SHAPE, 10_000)
    compute[2, 5, 3] += 20_000
    run = lockstep_run(tmp_path / "trace.sqlite", compute)
    assert outliers(run) == [Outlier(5, PERIOD + 20_000, 20_000, 2, TailCause.COMPUTE, Line.COMPUTE, 20_000, 3, 20_000)]
    text = to_text(build_report(run, "0", timelines=False))
    assert "compute on rank 2 grew by 20.0 µs; most lost at its collective 3: 20.0 µs" in text


def test_a_late_host(tmp_path: Path) -> None:
    idle = np.zeros(SHAPE, dtype=np.int64)
    idle[1, 4, 2] = 9_000
    found = outliers(lockstep_run(tmp_path / "trace.sqlite", np.full(SHAPE, 10_000), idle=idle))
    assert found == [Outlier(4, PERIOD + 9_000, 9_000, 1, TailCause.HOST, Line.IDLE, 9_000, 2, 9_000)]


def test_a_slow_transfer_has_no_rank_that_is_late_for_it(tmp_path: Path) -> None:
    wire = np.full(SHAPE[1:], 8_000)
    wire[6, 1] += 12_000
    (found,) = outliers(lockstep_run(tmp_path / "trace.sqlite", np.full(SHAPE, 10_000), wire=wire))
    assert (found.step, found.excess, found.line, found.growth) == (6, 12_000, "wire", 12_000)
    assert found.call is None


def test_slowest_first(tmp_path: Path) -> None:
    compute = np.full(SHAPE, 10_000)
    for step, rank, call, extra in ((3, 0, 1, 5_000), (5, 2, 2, 30_000), (7, 1, 0, 9_000)):
        compute[rank, step, call] += extra
    found = outliers(lockstep_run(tmp_path / "trace.sqlite", compute))
    assert [(o.step, o.rank, o.call, o.growth) for o in found] == [
        (5, 2, 2, 30_000),
        (7, 1, 0, 9_000),
        (3, 0, 1, 5_000),
    ]


@pytest.mark.parametrize("name", ["tp4_eager", "tp4_graph_node", "tp2_slow0"])
def test_real_slow_steps_are_the_longest(analyzed: Callable[[str], Run], name: str) -> None:
    run = analyzed(name)
    steady = run.ledger.filter("steady").group_by("step").agg(pl.median("period_ns")).sort("period_ns")
    found = outliers(run)
    assert [o.step for o in found[:3]] == steady["step"].to_list()[::-1][:3]
    middle = steady["period_ns"].median()
    assert isinstance(middle, float)
    # Two ranks have half nanoseconds as their median.
    assert all(abs(o.excess - (o.period - middle)) <= 1 and o.excess > 0 for o in found)


def test_a_replay_that_is_one_block_and_takes_longer(tmp_path: Path) -> None:
    builder = TraceBuilder(graph_mode="Graph")
    process = builder.process(100)
    at = 1_000_000
    for step in range(9):
        longer = 20_000 if step == 4 else 0
        process.nvtx(f"decode_step_{step}", at - 10_000, at - 1_000)
        process.graph_trace(at, at + 60_000 + longer, correlation=process.graph_launch(at - 9_000))
        at += 62_000 + longer
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "blocks.sqlite")))
    (found,) = outliers(run)
    assert found == Outlier(4, 82_000, 20_000, 0, TailCause.GRAPH, Line.GRAPH, 20_000, None, 0)
    assert "graph on rank 0 grew by 20.0 µs" in to_text(build_report(run, "0", timelines=False))
