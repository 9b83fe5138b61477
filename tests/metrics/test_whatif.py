"""Savings in closed form: on paper, and never more than a step takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

import nsysan
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.whatif import WhatIf, call_wires, floors, what_if
from nsysan.report.build import build_report
from nsysan.run.run import Run
from tests.clitools import graph_level_trace
from tests.conftest import REAL_TRACES
from tests.frames import lockstep_run
from tests.tracebuilder import COMPUTE_KERNEL, TraceBuilder, decode_loop

SHAPE = (3, 8, 4)
SENDRECV_KERNEL = "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)"


def mostly_slow(call: int) -> npt.NDArray[np.int64]:
    """The wire of each step and call: 8 us, but 13 at one call in all steps but three."""
    wire = np.full(SHAPE[1:], 8_000)
    wire[3:, call] += 5_000
    return wire


def periods(now: int, *without: int) -> WhatIf:
    """now: as measured; without: by scenario, in order."""
    return WhatIf(now, dict(zip(Scenario, without, strict=True)))


def answer(run: Run) -> WhatIf:
    found = build_report(run, "0", timelines=False).diagnosis.what_if
    assert found is not None
    return found


def test_nothing_to_save(tmp_path: Path) -> None:
    run = lockstep_run(tmp_path / "trace.sqlite", np.full(SHAPE, 10_000))
    # Four layers of 18 us, and 2 us between steps.
    assert answer(run) == periods(74_000, 74_000, 74_000, 74_000, 74_000)


def test_without_skew(tmp_path: Path) -> None:
    compute = np.full(SHAPE, 10_000)
    compute[1] += 3_000
    run = lockstep_run(tmp_path / "trace.sqlite", compute)
    assert answer(run) == periods(86_000, 74_000, 86_000, 86_000, 74_000)


@pytest.mark.parametrize("always", [True, False])
def test_skew_between_two_ranks_is_what_it_is_whoever_is_late(tmp_path: Path, always: bool) -> None:
    compute = np.full((2, 9, 4), 10_000)
    for step in range(9):
        compute[0 if always else step % 2, step] += 3_000
    run = lockstep_run(tmp_path / "trace.sqlite", compute)
    late = build_report(run, "0", timelines=False).diagnosis.straggler
    assert (late is not None) == always
    assert answer(run) == periods(86_000, 74_000, 86_000, 86_000, 74_000)


def test_waiting_for_data_in_a_pipeline_is_no_skew(tmp_path: Path) -> None:
    builder = TraceBuilder()
    # Rank 1 waits 20 us for what rank 0 computes, and computes while rank 0 is done.
    kernels = (
        ((COMPUTE_KERNEL, 0, 20_000), (SENDRECV_KERNEL, 20_000, 24_000)),
        ((SENDRECV_KERNEL, 0, 24_000), (COMPUTE_KERNEL, 24_000, 44_000)),
    )
    for rank, own in enumerate(kernels):
        process = builder.process(100 + rank, device=rank)
        for step in range(9):
            at = 1_000_000 + 50_000 * step
            process.nvtx(f"decode_step_{step}", at - 10_000, at - 1_000)
            for number, (name, begin, end) in enumerate(own):
                process.kernel(name, at + begin, at + end, launch=at - 9_000 + 1_000 * number)
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "pipeline.sqlite")))
    report = build_report(run, "0", timelines=False)
    waits = dict(report.per_rank.select("rank", "wait_ns").iter_rows())
    assert waits == {0: 0, 1: 20_000}
    assert report.diagnosis.straggler is None
    assert answer(run)[Scenario.NO_SKEW] == answer(run).period == 50_000


def test_with_the_wire_at_its_floor(tmp_path: Path) -> None:
    run = lockstep_run(tmp_path / "trace.sqlite", np.full(SHAPE, 10_000), wire=mostly_slow(2))
    assert set(floors(call_wires(run.collectives, run.steady_steps))["floor"]) == {8_000}
    assert answer(run) == periods(79_000, 79_000, 74_000, 79_000, 74_000)


def test_calls_of_unknown_size_are_held_to_what_others_at_their_place_take(tmp_path: Path) -> None:
    wire = np.full(SHAPE[1:], 8_000)
    wire[:, 2] += 22_000
    run = lockstep_run(tmp_path / "trace.sqlite", np.full(SHAPE, 10_000), wire=wire)
    assert sorted(set(floors(call_wires(run.collectives, run.steady_steps))["floor"])) == [8_000, 30_000]
    assert answer(run)[Scenario.FLOOR_WIRE] == answer(run).period == 96_000


def test_without_late_hosts(tmp_path: Path) -> None:
    idle = np.zeros(SHAPE, dtype=np.int64)
    idle[:, :, 1] = 6_000
    # All hosts are late alike: that is no skew.
    assert answer(lockstep_run(tmp_path / "all.sqlite", np.full(SHAPE, 10_000), idle=idle)) == periods(
        80_000, 80_000, 80_000, 74_000, 74_000
    )
    idle[1:] = 0
    assert answer(lockstep_run(tmp_path / "one.sqlite", np.full(SHAPE, 10_000), idle=idle)) == periods(
        80_000, 74_000, 80_000, 74_000, 74_000
    )


def test_all_three_at_once(tmp_path: Path) -> None:
    compute = np.full(SHAPE, 10_000)
    compute[2] += 3_000
    idle = np.zeros(SHAPE, dtype=np.int64)
    idle[:, :, 3] = 6_000
    run = lockstep_run(tmp_path / "trace.sqlite", compute, wire=mostly_slow(2), idle=idle)
    period = 74_000 + 12_000 + 6_000 + 5_000
    assert answer(run) == periods(period, period - 12_000, period - 5_000, period - 6_000, 74_000)


@pytest.mark.parametrize("kind", ["one rank", "graph level"])
def test_what_cannot_be_told_is_none(tmp_path: Path, kind: str) -> None:
    if kind == "one rank":
        builder = TraceBuilder()
        decode_loop(builder, ranks=1, steps=8)
        path = builder.write(tmp_path / "trace.sqlite")
    else:
        path = graph_level_trace(tmp_path / "trace.sqlite")
    what = answer(nsysan.analyze(nsysan.open_trace(path)))
    assert what.period > 0
    assert what.told == []
    assert what.without == dict.fromkeys(Scenario)


def test_no_steady_step_no_answer(tmp_path: Path) -> None:
    run = lockstep_run(tmp_path / "trace.sqlite", np.full(SHAPE, 10_000))
    none = run.ledger.with_columns(steady=pl.lit(False))
    gaps = pl.DataFrame(schema={"step": pl.Int64, "rank": pl.Int64, "ns": pl.Int64, "cause": pl.String})
    assert what_if(none, run.collectives, gaps) is None


def within_the_period(what: WhatIf) -> None:
    told = [ns for ns in what.without.values() if ns is not None]
    assert len(told) in (0, len(Scenario))
    # Medians are rounded each.
    assert all(0 < ns <= what.period + 1 for ns in told)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_saves_more_than_there_is(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(2, 5)), int(rng.integers(3, 8)), int(rng.integers(1, 6)))
    compute = rng.integers(4_000, 20_000, shape)
    idle = rng.integers(0, 9_000, shape) * (rng.random(shape) < 0.3)
    idle[:, :, 0] = 0
    wire = rng.integers(8_000, 30_000, shape[1:])
    run = lockstep_run(tmp_path / "trace.sqlite", compute, wire=wire, idle=idle, gap=int(rng.integers(0, 50_000)))
    within_the_period(answer(run))


@pytest.mark.parametrize("names", [*REAL_TRACES, "rank_0 rank_1 rank_2 rank_3"])
def test_nothing_saves_more_than_there_is_in_real_runs(analyzed: Callable[[str], Run], names: str) -> None:
    within_the_period(answer(analyzed(names)))
