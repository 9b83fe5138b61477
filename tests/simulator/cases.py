"""Runs that are known on paper: four layers a step, and one or two things wrong. Each says what is right and why.

Balanced, in us: attention 22, projection 9, all-reduce 8, up 26, down 13, all-reduce 8, four times, and sampling 6:
286 of compute and 64 of wire. As a graph 24 gaps of 1.2, then a gap of 1.0, a copy of 1.5, and 31.6 between steps
(the synchronise call returns after 3, the host works 20.6, the launch takes 8 to begin): 412.9. Eager, a kernel
begins 5 after its call has begun or 1 after its predecessor: 25 gaps of 1.0 and 28.6 between steps: 405.1.
"""

from __future__ import annotations

from dataclasses import replace

from tests.simulator.faults import DearCalls, LateHost, LongerKernel, SlowRank, every
from tests.simulator.program import COMM_STREAM, DEFAULT_WIRE, Api, Call, Kind, Op, Program, Timing, eager_calls
from tests.simulator.truth import Scenario

RANKS = 4
LAYERS = 4
STEPS = 14
PER_LAYER = 6
BETWEEN_NS = 20_600
"""Host work from the end of the synchronise call to the next step's launch."""
ALL = (tuple(range(RANKS)),)


def all_reduce(*, groups: tuple[tuple[int, ...], ...] = ALL, wire_ns: int = 8_000, size: int = 8_192) -> Op:
    return Op(DEFAULT_WIRE, Kind.COLLECTIVE, wire_ns=wire_ns, groups=groups, bytes=size)


def layer(first: Op, second: Op) -> list[Op]:
    return [
        Op("attn_fwd", ns=22_000),
        Op("oproj", ns=9_000),
        first,
        Op("mlp_up", ns=26_000),
        Op("mlp_down", ns=13_000),
        second,
    ]


def ending() -> list[Op]:
    return [Op("sample_kernel", ns=6_000, in_layer=False), Op("Memcpy DtoH", Kind.COPY, ns=1_500, in_layer=False)]


def graph_program(ops: list[Op], *, ranks: int = RANKS, replicas: tuple[tuple[int, ...], ...] = ()) -> Program:
    """All but the copy in one graph; then the host waits for the copy."""
    copy = len(ops) - 1
    calls = (
        Call(Api.GRAPH, BETWEEN_NS, 10_000, tuple(range(copy))),
        Call(Api.LAUNCH, 0, 3_000, (copy,)),
        Call(Api.STREAM_SYNC, 0, 3_000, awaits=(copy, 0)),
    )
    return Program(ranks, tuple(ops), calls, Timing(), replicas)


def eager_program(ops: list[Op], *, cost_ns: int = 3_000) -> Program:
    """A launch call an operation, one after the other; then the host waits for the copy."""
    calls = eager_calls(ops, cost_ns=cost_ns, segment_ns=0, first_segment_ns=BETWEEN_NS)
    return Program(RANKS, tuple(ops), (*calls, Call(Api.STREAM_SYNC, 0, 3_000, awaits=(len(ops) - 1, 0))))


def usual_ops(second: Op | None = None) -> list[Op]:
    return [op for _ in range(LAYERS) for op in layer(all_reduce(), second or all_reduce())] + ending()


def attention(number: int) -> int:
    """The number of the attention of a layer."""
    return PER_LAYER * number


def balanced(steps: int = STEPS) -> Scenario:
    """412.9."""
    return Scenario("balanced", graph_program(usual_ops()), steps, lead=1)


def balanced_eager() -> Scenario:
    """405.1; without launches 377.5: 286 and 64 and 1.5, and 26 gaps of 1."""
    return Scenario("balanced, eager", eager_program(usual_ops()), STEPS, lead=1)


def every_host_slow() -> Scenario:
    """A launch call costs 40, on rank 2 44: every host needs 26 x 40 + 23.6 = 1063.6, rank 2 26 x 4 = 104 more."""
    return Scenario(
        "every host slow, one 10 % slower", eager_program(usual_ops(), cost_ns=40_000), STEPS, (DearCalls(2, 1.1),)
    )


def gc_pause() -> Scenario:
    """Rank 2's host sleeps 1000 before steps 6, 16, 26, 36: mean 512.9, median 412.9."""
    return replace(balanced(41), name="pause in every 10th step", faults=(LateHost(2, 1_000_000, every(10, 6)),))


def two_sizes() -> Scenario:
    """All-reduces of 8 KB (8) and of 1 MB (30) in a graph, without payloads: 412.9 + 4 x 22, all at their floor."""
    ops = usual_ops(all_reduce(wire_ns=30_000, size=1 << 20))
    return Scenario("two sizes in a graph", graph_program(ops), STEPS, sizes_known=False, lead=1)


def async_slow_rank() -> Scenario:
    """The all-reduce on its own stream beside `up`; rank 2 computes 30 % longer: 0.3 x (22 + 26 + 13) x 4 = 73.2.

    The call takes 15, less than `up`. 298.5 balanced: 4 layers of 61, 12 gaps of 1.2, sampling 6, a gap of 1,
    a copy of 1.5 and 31.6.
    """
    ops: list[Op] = []
    for number in range(LAYERS):
        first = 4 * number
        hidden = replace(all_reduce(wire_ns=15_000), stream=COMM_STREAM, after=(first,))
        ops += [
            Op("attn_fwd", ns=22_000),
            hidden,
            Op("mlp_up", ns=26_000),
            Op("mlp_down", ns=13_000, after=(first + 1,)),
        ]
    return Scenario("calls beside compute, one slow rank", graph_program(ops + ending()), STEPS, (SlowRank(2, 1.3),))


def two_slow_ranks() -> Scenario:
    """Rank 1 + 30 % (84), rank 2 + 20 % (56): 496.9. Rank 1 saves 28 and costs 84, rank 2 saves 0 and costs 56."""
    return replace(balanced(), name="two slow ranks", faults=(SlowRank(1, 1.3), SlowRank(2, 1.2)))


def late_host_and_slow_gpu() -> Scenario:
    """Rank 2's host 180 late, rank 1 computes 250 longer at layer 2: 842.9. Rank 1 saves 250, no late launch 632.3."""
    faults = (LateHost(2, 180_000), LongerKernel(1, attention(2), 250_000))
    return replace(balanced(), name="late host and slow GPU", faults=faults)


def two_replicas() -> Scenario:
    """Two balanced replicas of four; the kernels of B's layers take 20 % longer: 412.9 and 468.9."""
    replicas = ((0, 1, 2, 3), (4, 5, 6, 7))
    ops = [op for _ in range(LAYERS) for op in layer(all_reduce(groups=replicas), all_reduce(groups=replicas))]
    program = graph_program(ops + ending(), ranks=8, replicas=replicas)
    return Scenario("two replicas", program, STEPS, tuple(SlowRank(rank, 1.2) for rank in replicas[1]), lead=1)


def sync_in_the_step() -> Scenario:
    """A synchronise call and 60 of host work after layer 1: idle 3 + 60 + 5 = 68 instead of a gap of 1: 472.1."""
    ops = usual_ops()
    program = eager_program(ops)
    half = 2 * PER_LAYER
    after = program.calls[half]
    calls = (
        *program.calls[:half],
        Call(Api.STREAM_SYNC, 0, 3_000, awaits=(half - 1, 0)),
        replace(after, segment_ns=60_000),
        *program.calls[half + 1 :],
    )
    return Scenario("synchronise call in the step", replace(program, calls=calls), STEPS, lead=1)


def experts() -> Scenario:
    """TP=2 all-reduces and all-to-alls over 4 ranks; rank 3's experts take 19.5 longer a layer: 78 of 547.1."""
    pairs = ((0, 1), (2, 3))
    exchange = Op(
        "ncclDevKernel_SendRecv", Kind.COLLECTIVE, wire_ns=12_000, groups=ALL, bytes=65_536, nccl="ncclAllToAll"
    )
    one = [Op("attn_fwd", ns=22_000), Op("oproj", ns=9_000), all_reduce(groups=pairs), exchange]
    one += [Op("moe_grouped_gemm", ns=39_000), exchange]
    program = eager_program([op for _ in range(LAYERS) for op in one] + ending())
    late = tuple(LongerKernel(3, PER_LAYER * number + 4, 19_500) for number in range(LAYERS))
    return Scenario("experts, one slow", program, STEPS, late, lead=1)


def half_late() -> Scenario:
    """Ranks 2 and 3 compute longer in turn, 14 and 26, 26 and 14: 516.9. Each costs 80 and saves 24, both save 104."""
    faults = tuple(
        LongerKernel(rank, attention(number), 26_000 if (number + rank) % 2 else 14_000)
        for rank in (2, 3)
        for number in range(LAYERS)
    )
    return replace(balanced(24), name="half of the ranks late", faults=faults)


def rotating() -> Scenario:
    """Another rank computes 20 longer in each layer, in turn by step: 492.9, balanced 412.9, and no rank of its own."""
    faults = tuple(
        LongerKernel(rank, attention(number), 20_000, every(RANKS, rank))
        for rank in range(RANKS)
        for number in range(LAYERS)
    )
    return replace(balanced(24), name="another rank late in each step", faults=faults)
