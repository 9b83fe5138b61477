"""What every rank does in a decode step: host calls in program order, and the GPU operations that they submit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

COMPUTE_STREAM = 0
COMM_STREAM = 1
DEFAULT_WIRE = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL"


class Kind(StrEnum):
    """What an operation does."""

    COMPUTE = "compute"
    COLLECTIVE = "collective"
    COPY = "copy"


class Api(StrEnum):
    """A host call, by what it waits for."""

    LAUNCH = "launch"
    """Submits one operation."""
    GRAPH = "graph"
    """Replays a graph: its operations follow each other by the graph's gap."""
    BLOCKING_COPY = "blocking copy"
    """Submits a copy and returns after its end."""
    STREAM_SYNC = "stream sync"
    EVENT_SYNC = "event sync"
    QUERY = "query"
    """Asks again and again whether an operation has ended."""
    RECORD = "event record"
    STREAM_WAIT = "stream wait"


@dataclass(frozen=True)
class Op:
    """A GPU operation. A collective begins when its own rank is there and ends wire_ns after the last of its group."""

    name: str
    kind: Kind = Kind.COMPUTE
    ns: int = 0
    """Its own duration; 0 of a collective."""
    wire_ns: int = 0
    groups: tuple[tuple[int, ...], ...] = ()
    """The partition of the ranks among which a collective communicates, each group of consecutive ranks."""
    bytes: int | None = None
    nccl: str = "ncclAllReduce"
    stream: int = COMPUTE_STREAM
    after: tuple[int, ...] = ()
    """Operations of this step on other streams that it begins after, by their number."""
    in_layer: bool = True
    extra: bool = False
    """No rank runs it but those to which a fault gives it."""


@dataclass(frozen=True)
class Call:
    """A host call: segment_ns of host work, then the call, which takes cost_ns where it need not wait."""

    api: Api
    segment_ns: int
    cost_ns: int
    ops: tuple[int, ...] = ()
    awaits: tuple[int, int] | None = None
    """Of a call that waits: the number of the operation, and how many steps ago it was submitted."""
    extra: bool = False


@dataclass(frozen=True)
class Timing:
    """What lies between calls and operations, in ns."""

    launch_latency: int = 5_000
    """From the begin of a call to the begin of what it submits, at least."""
    graph_latency: int = 8_000
    stream_gap: int = 1_000
    graph_gap: int = 1_200
    """Between two operations of one replay on one stream; all others follow by stream_gap."""
    queue: int | None = None
    """So many operations may be submitted and not begun; the next call waits."""
    hold_graphs: bool = False
    """A graph is launched only when its previous replay has ended: the call waits."""
    range_lead: int = 300
    """The range of a step begins so long before its first call."""


@dataclass(frozen=True)
class Program:
    """A step of every rank, to be repeated."""

    ranks: int
    ops: tuple[Op, ...]
    calls: tuple[Call, ...]
    timing: Timing = field(default_factory=Timing)
    replicas: tuple[tuple[int, ...], ...] = ()
    """Ranks that wait for each other, directly or over others; none given: all do."""

    @property
    def graphed(self) -> bool:
        return any(call.api is Api.GRAPH for call in self.calls)

    @property
    def all_replicas(self) -> tuple[tuple[int, ...], ...]:
        return self.replicas or (tuple(range(self.ranks)),)


def as_graph(program: Program, *, cost_ns: int = 10_000) -> tuple[Program, list[int]] | None:
    """An eager program with everything but copies in one graph, and which of its calls are left.

    The host work before the first call stays, that between launches is what a graph saves. None: the host
    waits for the GPU in the middle of a step, which no graph can.
    """
    if program.graphed:
        return None
    launched = [number for number, call in enumerate(program.calls) if _in_graph(program, call)]
    first, last = launched[0], launched[-1]
    if any(call.awaits is not None for call in program.calls[:last]):
        return None
    nodes = tuple(op for number in launched for op in program.calls[number].ops)
    kept = [n for n in range(len(program.calls)) if n == first or (n not in launched and not _is_order(program, n))]
    calls = tuple(
        Call(Api.GRAPH, program.calls[n].segment_ns, cost_ns, nodes) if n == first else program.calls[n] for n in kept
    )
    return Program(program.ranks, program.ops, calls, program.timing, program.replicas), kept


def _in_graph(program: Program, call: Call) -> bool:
    return call.api is Api.LAUNCH and all(program.ops[op].kind is not Kind.COPY for op in call.ops)


def _is_order(program: Program, number: int) -> bool:
    return program.calls[number].api in (Api.RECORD, Api.STREAM_WAIT)


def eager_calls(ops: Sequence[Op], *, cost_ns: int, segment_ns: int, first_segment_ns: int) -> list[Call]:
    """One launch an operation; what waits for another stream is preceded by a record and a wait."""
    calls = []
    for number, op in enumerate(ops):
        segment = first_segment_ns if number == 0 else segment_ns
        if op.after:
            calls.append(Call(Api.RECORD, segment, cost_ns // 4 + 500))
            calls.append(Call(Api.STREAM_WAIT, 0, cost_ns // 4 + 500))
        calls.append(Call(Api.LAUNCH, segment, cost_ns, (number,), extra=op.extra))
    return calls
