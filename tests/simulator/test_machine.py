"""Who waits for whom, one rule at a time, worked out on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.simulator.faults import DearCalls, ExtraCalls, Fault, LateHost, SlowRank, SlowWire, between, every
from tests.simulator.inputs import Inputs, draw
from tests.simulator.machine import QUERY_PAUSE_NS, START_NS, Times, run
from tests.simulator.program import Api, Call, Kind, Op, Program, Timing, as_graph, eager_calls
from tests.simulator.truth import Scenario, truths

GEMM = Op("gemm", ns=20_000)
COPY = Op("copy", Kind.COPY, ns=2_000)
FIRST = START_NS + 300
"""The first call of the first step begins."""


def program(*calls: Call, ops: tuple[Op, ...] = (GEMM, COPY), ranks: int = 1, timing: Timing | None = None) -> Program:
    return Program(ranks, ops, calls, timing or Timing())


def one(program: Program, steps: int = 3) -> Times:
    return run(program, [draw(program, steps)])


def calls(times: Times, step: int) -> list[tuple[int, int]]:
    """(begin, end) of each call of rank 0, from the first of all."""
    begins, ends = times.call_begin[step, :, 0, 0] - FIRST, times.call_end[step, :, 0, 0] - FIRST
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


def ops(times: Times, step: int, rank: int = 0) -> list[tuple[int, int]]:
    begins, ends = times.op_start[step, :, 0, rank] - FIRST, times.op_end[step, :, 0, rank] - FIRST
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


def test_a_synchronous_step() -> None:
    times = one(
        program(
            Call(Api.LAUNCH, 10_000, 3_000, (0,)),
            Call(Api.LAUNCH, 1_000, 3_000, (1,)),
            Call(Api.STREAM_SYNC, 0, 2_000, awaits=(1, 0)),
        )
    )
    # A kernel 5 after its call, the copy 1 after the kernel, the call returns 2 after the copy.
    assert ops(times, 0) == [(5_000, 25_000), (26_000, 28_000)]
    assert calls(times, 0) == [(0, 3_000), (4_000, 7_000), (7_000, 30_000)]
    assert calls(times, 1)[0] == (40_000, 43_000)


def test_a_blocking_copy_submits_and_waits() -> None:
    times = one(program(Call(Api.LAUNCH, 0, 3_000, (0,)), Call(Api.BLOCKING_COPY, 0, 2_000, (1,), awaits=(1, 0))))
    assert calls(times, 0)[1] == (3_000, 30_000)


def test_queries_end_with_the_first_that_finds_it_done() -> None:
    times = one(
        program(
            Call(Api.LAUNCH, 0, 3_000, (0,)),
            Call(Api.LAUNCH, 0, 3_000, (1,)),
            Call(Api.QUERY, 0, 1_000, awaits=(1, 0)),
        )
    )
    # The copy ends at 28; queries begin at 6, 7.4, ... 28.4: the seventeenth is the first that finds it done.
    assert 6_000 + 16 * (1_000 + QUERY_PAUSE_NS) == 28_400
    assert calls(times, 0)[2] == (6_000, 29_400)


def test_an_asynchronous_host_is_a_step_ahead() -> None:
    times = one(
        program(
            Call(Api.LAUNCH, 4_000, 3_000, (0,)),
            Call(Api.LAUNCH, 0, 3_000, (1,)),
            Call(Api.EVENT_SYNC, 0, 1_000, awaits=(1, 1)),
        ),
        steps=4,
    )
    # Nothing to wait for at first; then the copy of the step before. The GPU never runs dry.
    assert [calls(times, step)[2] for step in range(3)] == [(6_000, 7_000), (17_000, 29_000), (39_000, 53_000)]
    assert np.diff(times.op_start[:, 0, 0, 0]).tolist() == [24_000, 24_000, 24_000]


def test_a_full_queue_holds_the_next_call() -> None:
    launch = Call(Api.LAUNCH, 0, 1_000, (0,))
    times = one(program(launch, ops=(GEMM,), timing=Timing(queue=2)), steps=5)
    # Kernels begin at 5, 26, 47, ...; with two waiting the third call returns when the first of them begins.
    assert times.op_start[:, 0, 0, 0].tolist() == [FIRST + 5_000 + 21_000 * n for n in range(5)]
    held = [(0, 1_000), (1_000, 2_000), (2_000, 5_000), (5_000, 26_000), (26_000, 47_000)]
    assert [calls(times, n)[0] for n in range(5)] == held


def test_a_graph_is_held_while_its_previous_replay_runs() -> None:
    graph = Call(Api.GRAPH, 0, 10_000, (0, 1))
    times = one(program(graph, timing=Timing(hold_graphs=True)))
    # 8 after the call; the copy is a node too, 1.2 after the kernel.
    assert ops(times, 0) == [(8_000, 28_000), (29_200, 31_200)]
    assert ops(times, 1) == [(32_200, 52_200), (53_400, 55_400)]
    assert [calls(times, step)[0] for step in range(3)] == [(0, 10_000), (10_000, 31_200), (31_200, 55_400)]


def test_a_collective_ends_after_its_own_group() -> None:
    pairs = ((0, 1), (2, 3))
    all_reduce = Op("all_reduce", Kind.COLLECTIVE, wire_ns=8_000, groups=pairs)
    launches = eager_calls((GEMM, all_reduce), cost_ns=3_000, segment_ns=0, first_segment_ns=0)
    shape = program(*launches, ops=(GEMM, all_reduce), ranks=4)
    inputs = SlowRank(1, 1.5).apply(shape, draw(shape, 1))
    times = run(shape, [inputs])
    assert [ops(times, 0, rank)[1] for rank in range(4)] == [
        (26_000, 44_000),
        (36_000, 44_000),
        (26_000, 34_000),
        (26_000, 34_000),
    ]


def test_without_hosts_only_streams_count() -> None:
    shape = program(
        Call(Api.LAUNCH, 900_000, 3_000, (0,)),
        Call(Api.LAUNCH, 0, 3_000, (1,)),
        Call(Api.STREAM_SYNC, 0, 2_000, awaits=(1, 0)),
    )
    times = run(shape, [draw(shape, 3)] * 2, host_free=[False, True])
    assert np.diff(times.op_start[:, 0, :, 0], axis=0).tolist() == [[930_000, 24_000]] * 2


def faulty(inputs: Inputs, shape: Program, fault: Fault) -> Inputs:
    return fault.apply(shape, inputs)


def test_faults_change_what_they_say_and_nothing_else() -> None:
    wire = Op("all_reduce", Kind.COLLECTIVE, wire_ns=8_000, groups=((0, 1, 2),))
    extra = Op("extra", extra=True, in_layer=False)
    kinds = (GEMM, wire, extra)
    shape = Program(3, kinds, tuple(eager_calls(kinds, cost_ns=3_000, segment_ns=500, first_segment_ns=9_000)))
    clean = draw(shape, 4)
    assert clean.work[1].tolist() == [[20_000] * 3, [0] * 3, [0] * 3]
    assert clean.op_there.tolist() == [[True] * 3, [True] * 3, [False] * 3]
    assert clean.segment[:, 0, 0].tolist() == [0, 9_000, 9_000, 9_000]

    slow = faulty(clean, shape, SlowRank(1, 1.5, steps=between(1, 3)))
    assert (slow.work - clean.work)[:, 0].tolist() == [[0] * 3, [0, 10_000, 0], [0, 10_000, 0], [0] * 3]
    late = faulty(clean, shape, LateHost(2, 70_000, every(2, 0)))
    assert (late.segment - clean.segment)[:, 0].tolist() == [[0] * 3, [0] * 3, [0, 0, 70_000], [0] * 3]
    dear = faulty(clean, shape, DearCalls(0, 2.0))
    assert (dear.cost - clean.cost)[2].tolist() == [[3_000, 0, 0], [3_000, 0, 0], [0, 0, 0]]
    long = faulty(clean, shape, SlowWire(2.0, (1,), between(0, 1)))
    assert (long.wire - clean.wire)[:, 1].tolist() == [[8_000] * 3, [0] * 3, [0] * 3, [0] * 3]
    more = faulty(clean, shape, ExtraCalls(1, 4_000, 2_500))
    assert (more.work[:, 2].tolist(), more.cost[:, 2].tolist()) == ([[0, 4_000, 0]] * 4, [[0, 2_500, 0]] * 4)
    assert more.op_there[2].tolist() == [False, True, False]


def test_an_extra_operation_costs_only_the_rank_that_has_it() -> None:
    wire = Op("all_reduce", Kind.COLLECTIVE, wire_ns=8_000, groups=((0, 1, 2),))
    kinds = (GEMM, Op("extra", extra=True, in_layer=False), wire)
    launches = eager_calls(kinds, cost_ns=1_000, segment_ns=0, first_segment_ns=0)
    (truth,) = truths(Scenario("extra", Program(3, kinds, tuple(launches)), 8, (ExtraCalls(1, 4_000, 2_500),)))
    # 20, 8 and two gaps; with it 4 and a gap more.
    assert (truth.periods["period"].median, truth.periods["no_skew"].median) == (35_000, 30_000)
    assert truth.late_by(0.03) == {1}
    assert truth.periods["rank_0"].median == 35_000


def test_launches_become_one_graph_unless_the_host_waits_between_them() -> None:
    launches = eager_calls((GEMM, GEMM), cost_ns=3_000, segment_ns=500, first_segment_ns=9_000)
    sync = Call(Api.STREAM_SYNC, 0, 2_000, awaits=(2, 0))
    eager = program(*launches, Call(Api.LAUNCH, 0, 3_000, (2,)), sync, ops=(GEMM, GEMM, COPY))
    converted = as_graph(eager)
    assert converted is not None
    graph, kept = converted
    assert kept == [0, 2, 3]
    assert graph.calls[0] == Call(Api.GRAPH, 9_000, 10_000, (0, 1))
    assert as_graph(graph) is None
    waiting = replace(launches[1], awaits=(0, 0))
    assert as_graph(replace(eager, calls=(launches[0], waiting, *eager.calls[1:]))) is None
