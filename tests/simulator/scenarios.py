"""Random runs: one to three faults on two to eight ranks, each the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.simulator.faults import (
    DearCalls,
    ExtraCalls,
    Fault,
    LateHost,
    LongerKernel,
    SlowHost,
    SlowRank,
    SlowWire,
    Steps,
    always,
    between,
    every,
)
from tests.simulator.inputs import Noise
from tests.simulator.program import COMM_STREAM, DEFAULT_WIRE, Api, Call, Kind, Op, Program, Timing, eager_calls
from tests.simulator.truth import Scenario

NOISE = Noise(kernel=0.008, host=0.04, wire=0.04, rank=0.003, end_ns=300.0)
RANKS = (2, 2, 3, 4, 4, 4, 6, 8)
#: How a host learns that its step is done: at once, a step later, or never (then only the driver holds it back).
SYNCHRONOUS = (Api.STREAM_SYNC, Api.STREAM_SYNC, Api.EVENT_SYNC, Api.BLOCKING_COPY, Api.QUERY)
LEAD = 4


@dataclass(frozen=True)
class Shape:
    """What kind of run it is."""

    ranks: int
    layers: int
    eager: bool
    host_bound: bool
    asynchronous: bool
    overlap: bool
    sizes: tuple[int, int]
    waits: Api
    """How a synchronous host waits."""
    steps_ago: int
    """Of an asynchronous host: the step whose end it waits for; 0: none, the driver holds it."""

    def __str__(self) -> str:
        words = ["eager" if self.eager else "graph", "host-bound" if self.host_bound else "GPU-bound"]
        words.append(f"async {self.steps_ago}" if self.asynchronous else self.waits)
        words += ["overlap"] * self.overlap
        return f"{self.ranks} ranks, {self.layers} layers, {', '.join(words)}"


def random_scenario(seed: int) -> Scenario:
    """A run with one to three faults."""
    rng, shape, scenario = _run(seed, extra=True)
    number = rng.choice((1, 1, 2, 2, 3))
    faults: list[Fault] = []
    while len(faults) < number:
        fault = rng.choice(_PLANTERS)(rng, shape, scenario)
        if fault is not None and not any(_same(fault, other) for other in faults):
            faults.append(fault)
    told = ", ".join(_told(fault) for fault in faults)
    return replace(scenario, name=f"random {seed}: {shape}; {told}", faults=tuple(faults))


def balanced(seed: int) -> Scenario:
    """A run in which nothing is wrong, of as many kinds."""
    _, shape, scenario = _run(seed, extra=False)
    return replace(scenario, name=f"balanced {seed}: {shape}")


def _same(fault: Fault, other: Fault) -> bool:
    """One of a kind a rank; extra work, which is extra only on fewer than half, on one rank."""
    return type(fault) is type(other) and (fault.rank == other.rank or isinstance(fault, ExtraCalls))


def _run(seed: int, *, extra: bool) -> tuple[random.Random, Shape, Scenario]:
    rng = random.Random(seed)
    shape = _shape(rng)
    ops = _ops(rng, shape, extra=extra and shape.ranks > 2 and not shape.overlap)
    program = _program(rng, shape, ops)
    scenario = Scenario(
        "",
        program,
        steps=rng.randint(12, 20) + LEAD,
        noise=NOISE,
        seed=seed,
        lead=LEAD,
        sizes_known=rng.random() < 0.6,
        ranges=rng.random() < 0.8,
        sync_tables=rng.random() < 0.6,
    )
    return rng, shape, scenario


def _shape(rng: random.Random) -> Shape:
    eager = rng.random() < 0.5
    return Shape(
        ranks=rng.choice(RANKS),
        layers=rng.randint(2, 4),
        eager=eager,
        host_bound=rng.random() < 0.4,
        asynchronous=rng.random() < 0.4,
        overlap=rng.random() < 0.3,
        sizes=rng.choice(((8_192, 8_192), (16_384, 16_384), (8_192, 1 << 20))),
        waits=rng.choice(SYNCHRONOUS),
        steps_ago=rng.choice((0, 1, 1, 2)),
    )


def _ops(rng: random.Random, shape: Shape, *, extra: bool) -> list[Op]:
    """The layers, sampling and the copy of the token; extra: places where a rank may do more than the others."""
    attention, projection = rng.randint(12_000, 30_000), rng.randint(5_000, 12_000)
    up, down = rng.randint(18_000, 40_000), rng.randint(8_000, 20_000)
    wires = [_wire(rng, size) for size in shape.sizes]
    if shape.sizes[0] == shape.sizes[1]:
        wires[1] = wires[0]
    groups = (tuple(range(shape.ranks)),)
    calls = [
        Op(DEFAULT_WIRE, Kind.COLLECTIVE, wire_ns=wire, groups=groups, bytes=size)
        for wire, size in zip(wires, shape.sizes, strict=True)
    ]
    ops: list[Op] = []
    for _ in range(shape.layers):
        first = len(ops)
        if shape.overlap:
            ops += [
                Op("attn_fwd", ns=attention),
                replace(calls[0], stream=COMM_STREAM, after=(first,)),
                Op("mlp_up", ns=up),
                Op("mlp_down", ns=down, after=(first + 1,)),
            ]
        else:
            ops += [Op("attn_fwd", ns=attention), Op("oproj", ns=projection), calls[0]]
            ops += [Op("mlp_up", ns=up), Op("mlp_down", ns=down)]
            ops += [Op("elementwise_extra", in_layer=False, extra=True)] * extra
            ops.append(calls[1])
    ops.append(Op("sample_kernel", ns=rng.randint(4_000, 12_000), in_layer=False))
    return [*ops, Op("Memcpy DtoH", Kind.COPY, ns=1_500, in_layer=False)]


def _wire(rng: random.Random, size: int) -> int:
    return rng.randint(6_000, 12_000) if size < 1 << 20 else rng.randint(25_000, 40_000)


def _program(rng: random.Random, shape: Shape, ops: list[Op]) -> Program:
    copy = len(ops) - 1
    gpu = sum(op.ns + op.wire_ns for op in ops)
    queue = None
    if shape.eager:
        share = rng.uniform(1.2, 3.0) if shape.host_bound else rng.uniform(0.3, 0.6)
        each = share * gpu / len(ops)  # of host time a launch
        cost = round(each * rng.uniform(0.4, 0.9))
        between = rng.randint(20_000, 60_000)
        calls = eager_calls(ops[:-1], cost_ns=cost, segment_ns=round(each) - cost, first_segment_ns=between)
    else:
        between = round(gpu * rng.uniform(1.1, 1.6)) if shape.host_bound else rng.randint(20_000, 80_000)
        cost = 3_000
        calls = [Call(Api.GRAPH, between, rng.randint(8_000, 14_000), tuple(range(copy)))]
    waits = shape.waits if shape.waits is not Api.BLOCKING_COPY or not shape.asynchronous else Api.EVENT_SYNC
    if shape.asynchronous:
        calls.append(Call(Api.LAUNCH, 0, cost, (copy,)))
        if shape.steps_ago:
            calls.append(Call(Api.RECORD, 0, 800))
            calls.append(Call(Api.EVENT_SYNC, 500, 2_000, awaits=(copy, shape.steps_ago)))
        elif shape.eager:
            queue = rng.randint(len(ops), 2 * len(ops))
    elif waits is Api.BLOCKING_COPY:
        calls.append(Call(waits, 0, 4_000, (copy,), awaits=(copy, 0)))
    else:
        calls.append(Call(Api.LAUNCH, 0, cost, (copy,)))
        if waits is not Api.STREAM_SYNC:
            calls.append(Call(Api.RECORD, 0, 800))
        calls.append(Call(waits, 500, 1_200 if waits is Api.QUERY else 3_000, awaits=(copy, 0)))
    held = not shape.eager and shape.asynchronous and shape.steps_ago == 0
    return Program(shape.ranks, tuple(ops), tuple(calls), Timing(queue=queue, hold_graphs=held))


def _steps(rng: random.Random, scenario: Scenario) -> Steps:
    """Mostly always, else in most of the steps or in few, never in about half: a median would be of neither."""
    if rng.random() < 0.7:
        return always
    many = round(scenario.steps * rng.choice((0.15, 0.2, 0.8, 0.85)))
    first = rng.randint(0, scenario.steps - many)
    if first <= LEAD and first + many > LEAD + many / 2:
        # What the truth does not count may be counted by an analysis: the fault is there as well.
        return between(0, first + many)
    return between(max(first, LEAD), max(first, LEAD) + many)


def _slow_rank(rng: random.Random, shape: Shape, scenario: Scenario) -> Fault:
    return SlowRank(rng.randrange(shape.ranks), rng.uniform(1.08, 1.5), steps=_steps(rng, scenario))


def _longer_kernel(rng: random.Random, shape: Shape, scenario: Scenario) -> Fault:
    places = [n for n, op in enumerate(scenario.program.ops) if op.in_layer and op.kind is Kind.COMPUTE]
    extra = rng.randint(20_000, 150_000)
    return LongerKernel(rng.randrange(shape.ranks), rng.choice(places), extra, _steps(rng, scenario))


def _late_host(rng: random.Random, shape: Shape, scenario: Scenario) -> Fault:
    return LateHost(rng.randrange(shape.ranks), rng.randint(30_000, 300_000), _steps(rng, scenario))


def _pause(rng: random.Random, shape: Shape, scenario: Scenario) -> Fault:  # noqa: ARG001
    return LateHost(rng.randrange(shape.ranks), rng.randint(300_000, 1_500_000), every(rng.randint(5, 10), LEAD + 1))


def _dear_calls(rng: random.Random, shape: Shape, scenario: Scenario) -> Fault | None:  # noqa: ARG001
    return DearCalls(rng.randrange(shape.ranks), rng.uniform(1.1, 2.0)) if shape.eager else None


def _slow_host(rng: random.Random, shape: Shape, scenario: Scenario) -> Fault:  # noqa: ARG001
    return SlowHost(rng.randrange(shape.ranks), rng.uniform(1.2, 2.5))


def _slow_wire(rng: random.Random, shape: Shape, scenario: Scenario) -> Fault:  # noqa: ARG001
    calls = [n for n, op in enumerate(scenario.program.ops) if op.kind is Kind.COLLECTIVE]
    chosen = tuple(sorted(rng.sample(calls, rng.randint(1, max(1, len(calls) // 2)))))
    return SlowWire(rng.uniform(1.5, 4.0), chosen, _steps(rng, scenario))


def _extra_calls(rng: random.Random, shape: Shape, scenario: Scenario) -> Fault | None:
    if not any(op.extra for op in scenario.program.ops):
        return None
    cost = rng.randint(3_000, 8_000) if shape.eager else 0
    return ExtraCalls(rng.randrange(shape.ranks), rng.randint(2_000, 15_000), cost)


_PLANTERS: tuple[Callable[[random.Random, Shape, Scenario], Fault | None], ...] = (
    _slow_rank,
    _slow_rank,
    _longer_kernel,
    _late_host,
    _late_host,
    _pause,
    _dear_calls,
    _slow_host,
    _slow_wire,
    _slow_wire,
    _extra_calls,
)


def _told(fault: Fault) -> str:
    where = "all" if fault.rank is None else f"rank {fault.rank}"
    return f"{type(fault).__name__} on {where}"
