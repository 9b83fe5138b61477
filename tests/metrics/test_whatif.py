"""Savings by replay: on paper, and never more than a step takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import nsysan
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.whatif import WhatIf, call_wires, floors
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


#: The scenarios of any run, in order.
ANY_RUN = (Scenario.NO_SKEW, Scenario.FLOOR_WIRE, Scenario.NO_HOST_LATE, Scenario.ALL)


def told(run: Run) -> tuple[int | None, ...]:
    """The period as measured, and that of each scenario of any run."""
    what = answer(run)
    return (what.period, *(what[scenario] for scenario in ANY_RUN))


def answer(run: Run) -> WhatIf:
    found = build_report(run, "0", timelines=False).diagnosis.what_if
    assert found is not None
    return found


def test_nothing_to_save_but_the_pause_between_the_steps(tmp_path: Path) -> None:
    run = lockstep_run(tmp_path / "trace.sqlite", np.full(SHAPE, 10_000))
    # Four layers of 18 us, and 2 us between steps, in which every host hears of the end and launches the next.
    assert told(run) == (74_000, 74_000, 74_000, 72_000, 72_000)
    assert answer(run).error == 0


def test_without_skew(tmp_path: Path) -> None:
    compute = np.full(SHAPE, 10_000)
    compute[1] += 3_000
    run = lockstep_run(tmp_path / "trace.sqlite", compute)
    assert told(run) == (86_000, 74_000, 86_000, 84_000, 72_000)
    assert answer(run).ranks == {0: 86_000, 1: 74_000, 2: 86_000}


@pytest.mark.parametrize("always", [True, False])
def test_skew_between_two_ranks_is_what_it_is_whoever_is_late(tmp_path: Path, always: bool) -> None:
    compute = np.full((2, 9, 4), 10_000)
    for step in range(9):
        compute[0 if always else step % 2, step] += 3_000
    run = lockstep_run(tmp_path / "trace.sqlite", compute)
    late = build_report(run, "0", timelines=False).diagnosis.late
    found = [(one.ranks, one.cause, one.costs, one.saves) for one in late]
    if always:
        assert found == [((0,), "compute", 12_000, 12_000)]
    else:
        # Each in half of the steps.
        both, *alone = found
        assert both == ((0, 1), "compute", 12_000, 12_000)
        assert alone == [((rank,), "compute", 6_000, 6_000) for rank in (0, 1)]
    assert told(run) == (86_000, 74_000, 86_000, 84_000, 72_000)


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
    assert told(run) == (79_000, 79_000, 74_000, 77_000, 72_000)


def test_calls_of_unknown_size_are_held_to_what_others_at_their_place_take(tmp_path: Path) -> None:
    wire = np.full(SHAPE[1:], 8_000)
    wire[:, 2] += 22_000
    run = lockstep_run(tmp_path / "trace.sqlite", np.full(SHAPE, 10_000), wire=wire)
    assert sorted(set(floors(call_wires(run.collectives, run.steady_steps))["floor"])) == [8_000, 30_000]
    assert answer(run)[Scenario.FLOOR_WIRE] == answer(run).period == 96_000


def test_fused_calls_of_a_known_size_have_the_floor_of_their_place(tmp_path: Path) -> None:
    fused = "allreduce_fusion_kernel_oneshot_lamport"
    run = lockstep_run(
        tmp_path / "trace.sqlite", np.full(SHAPE, 10_000), wire=mostly_slow(2), collective=fused
    ).stating(8_192)
    assert run.collectives.select("cls", "message_bytes").unique().rows() == [("fused", 8_192)]
    # At the third call 8 us in three steps, 13 in the others: 79 us are 74 with all calls at their floor.
    assert (answer(run).period, answer(run)[Scenario.FLOOR_WIRE]) == (79_000, 74_000)


def test_without_late_hosts(tmp_path: Path) -> None:
    idle = np.zeros(SHAPE, dtype=np.int64)
    idle[:, :, 1] = 6_000
    # All hosts are late alike: that is no skew. What they take between the steps goes too.
    assert told(lockstep_run(tmp_path / "all.sqlite", np.full(SHAPE, 10_000), idle=idle)) == (
        *(80_000, 80_000, 80_000),
        *(72_000, 72_000),
    )
    idle[1:] = 0
    assert told(lockstep_run(tmp_path / "one.sqlite", np.full(SHAPE, 10_000), idle=idle)) == (
        *(80_000, 74_000, 80_000),
        *(72_000, 72_000),
    )


def test_all_three_at_once(tmp_path: Path) -> None:
    compute = np.full(SHAPE, 10_000)
    compute[2] += 3_000
    idle = np.zeros(SHAPE, dtype=np.int64)
    idle[:, :, 0] = 6_000
    run = lockstep_run(tmp_path / "trace.sqlite", compute, wire=mostly_slow(2), idle=idle)
    period = 74_000 + 12_000 + 6_000 + 5_000
    assert told(run) == (period, period - 12_000, period - 5_000, period - 6_000 - 2_000, 72_000)


def test_a_host_that_works_on_while_its_gpu_is_late_hides_what_that_loses(tmp_path: Path) -> None:
    compute = np.full(SHAPE, 10_000)
    compute[2] += 3_000
    idle = np.zeros(SHAPE, dtype=np.int64)
    idle[:, :, 3] = 6_000
    run = lockstep_run(tmp_path / "trace.sqlite", compute, idle=idle)
    period = 74_000 + 12_000 + 6_000
    # Every host launches the last call no sooner than it did: of four times 3 us only the last is won.
    assert told(run)[:2] == (period, period - 3_000)


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


def within_the_period(what: WhatIf) -> None:
    known = {scenario: ns for scenario, ns in what.without.items() if ns is not None}
    assert not known or known.keys() >= set(ANY_RUN)
    assert all(0 < ns <= what.period for ns in (*known.values(), *what.ranks.values()))
    assert all(low < high == what[scenario] for scenario, (low, high) in what.bounds.items())


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
