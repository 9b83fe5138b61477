"""A live server of several kinds of decode steps, whose faults can be taken out: what is true without them is measured.

Two ranks replay a graph a step. Times are ns.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import pairwise
from pathlib import Path
from statistics import median

from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, Process, TraceBuilder

RANKS = (0, 1)
_LAUNCH, _TO_GPU, _GAP, _SAMPLE, _HOST = 10_000, 8_000, 1_200, 6_000, 20_000
_BEGIN, _COMM = 1_000_000, 7


class Told(Enum):
    """What a host waits for before it launches the next step."""

    #: The event of its own step before.
    BY_ITSELF = auto()
    #: A scheduler tells all hosts, as a thread of rank 0 has seen that step end.
    BY_SCHEDULER = auto()
    #: Rank 0's host tells the others, as it has seen that step end.
    BY_RANK_0 = auto()
    #: All hosts, each after its own step: they meet, which no call shows.
    BY_ALL = auto()


@dataclass(frozen=True)
class Kind:
    """Steps of one batch: compute of each layer. Of rank 1: more_first, what it computes longer in the first layer;
    slower, the share that it computes longer in all; late, what its host does more.
    """

    batch: int
    layers: Sequence[int]
    more_first: int = 0
    slower: float = 0.0
    late: int = 0
    wire: int = 8_000

    @property
    def name(self) -> str:
        """The range of such a step, as vLLM names it."""
        return f"execute_context_0(0)_generation_{self.batch}({self.batch})"


@dataclass
class _Step:
    kind: Kind
    calls: Mapping[int, list[tuple[str, int, int]]] = field(default_factory=lambda: {rank: [] for rank in RANKS})
    work: Mapping[int, list[tuple[str, int, int]]] = field(default_factory=lambda: {rank: [] for rank in RANKS})


def run(
    kinds: Sequence[Kind],
    told: Told = Told.BY_ITSELF,
    *,
    jitter: float = 0.0,
    pause: Callable[[int], int] = lambda _: 0,
    faults: bool = True,
) -> list[_Step]:
    """What ranks and hosts do, a step a kind. jitter: by so much of it a time varies; pause: of all hosts before a
    step, by number; faults: whether what is wrong with rank 1 is.
    """
    rng = random.Random(0)
    host, gpu, ended = dict.fromkeys(RANKS, _BEGIN), dict.fromkeys(RANKS, _BEGIN), dict.fromkeys(RANKS, 0)
    steps: list[_Step] = []
    for number, kind in enumerate(kinds):
        step = _Step(kind)
        noise = {rank: [rng.uniform(-jitter, jitter) for _ in (*kind.layers, 0, 0)] for rank in RANKS}
        more = {rank: kind.late if faults and rank else 0 for rank in RANKS}
        if number:
            _wait(step, told, host, ended, {rank: own[0] for rank, own in noise.items()}, more, pause(number))
        for rank in RANKS:
            host[rank] += round(_HOST * (1 + noise[rank][-1])) + (0 if told is Told.BY_ALL else more[rank])
            step.calls[rank].append(("graph", host[rank], host[rank] + _LAUNCH))
            gpu[rank] = max(gpu[rank] + 1_000, host[rank] + _TO_GPU)
            host[rank] += _LAUNCH
        for layer, compute in enumerate(kind.layers):
            longer = {0: 0.0, 1: (kind.more_first if not layer else 0) + kind.slower * compute if faults else 0.0}
            done = {rank: gpu[rank] + round(compute * (1 + noise[rank][layer]) + longer[rank]) for rank in RANKS}
            last = max(done.values()) + _GAP + kind.wire
            for rank in RANKS:
                step.work[rank].append((COMPUTE_KERNEL, gpu[rank], done[rank]))
                step.work[rank].append((ALLREDUCE_KERNEL, done[rank] + _GAP, last))
                gpu[rank] = last + _GAP
        for rank in RANKS:
            step.work[rank].append(("sample_kernel", gpu[rank], gpu[rank] + _SAMPLE))
            gpu[rank] += _SAMPLE
            ended[rank] = gpu[rank]
        steps.append(step)
    return steps


def _wait(
    step: _Step,
    told: Told,
    host: dict[int, int],
    ended: Mapping[int, int],
    noise: Mapping[int, float],
    more: Mapping[int, int],
    pause: int,
) -> None:
    """Each host goes on when it is told."""
    came = dict(host)
    waiting = () if told is Told.BY_SCHEDULER else (0,) if told is Told.BY_RANK_0 else RANKS
    for rank in waiting:
        came[rank] = max(host[rank] + 2_000, ended[rank] + 3_000)
        step.calls[rank].append(("cudaEventSynchronize_v3020", host[rank] + 1_000, came[rank]))
    if told is Told.BY_ALL:
        for rank in RANKS:
            came[rank] += round(30_000 * (1 + 10 * noise[rank])) + more[rank]
            step.calls[rank].append(("cudaStreamSynchronize_v3020", came[rank], came[rank] + 2_000))
    at = {
        Told.BY_SCHEDULER: ended[0] + 3_000 + pause,
        Told.BY_RANK_0: came[0] + 5_000,
        Told.BY_ALL: max(came.values()) + 25_000,
    }
    for rank in RANKS:
        # Who is told reads it after a while of its own.
        reads = 0 if told is Told.BY_SCHEDULER else round(2_000 * (1 + 10 * noise[rank]))
        host[rank] = came[rank] + pause if told is Told.BY_ITSELF else max(host[rank], at[told] + reads)


def write(path: Path, steps: Sequence[_Step], told: Told = Told.BY_ITSELF) -> Path:
    """The export of a run."""
    builder = TraceBuilder()
    batches = sorted({step.kind.batch: step.kind for step in steps}.items())
    for rank in RANKS:
        process = builder.process(100 + rank, device=rank)
        process.comm_init(comm=_COMM, nranks=len(RANKS), rank=rank, device=rank, start=100_000, end=101_000)
        _capture(process, [kind for _, kind in batches])
        seen = 0
        for step in steps:
            for name, begin, end in step.calls[rank]:
                if name != "graph":
                    process.api(name, begin, end)
                    continue
                process.nvtx(step.kind.name, begin - 500, end + 500)
                replay = process.graph_launch(begin, end)
            for number, (name, begin, end) in enumerate(step.work[rank]):
                node = _node(step.kind, number, made=False)
                process.kernel(name, begin, end, launch=None, correlation=replay, graph_node=node)
            if told is Told.BY_SCHEDULER and rank == 0:
                done = step.work[0][-1][2]
                process.api(
                    "cudaEventSynchronize_v3020", max(step.calls[0][-1][1] + 500, seen), done + 3_000, tid=7_777
                )
                seen = done + 3_500
    return builder.write(path)


def _node(kind: Kind, number: int, *, made: bool) -> int:
    return (2 * kind.batch + (not made) << 32) + number


def _capture(process: Process, kinds: Sequence[Kind]) -> None:
    at = 150_000
    for kind in kinds:
        for number in range(2 * len(kind.layers) + 1):
            if number % 2:
                process.api("cuLaunchKernelEx", at, at + 200, event_class=1)
                # What tells kinds apart beside their ranges is how much they send.
                process.nccl("ncclAllReduce", at - 50, at + 250, bytes=1_024 * kind.batch, comm=_COMM)
            else:
                process.api("cudaLaunchKernel_v7000", at, at + 200)
            made = _node(kind, number, made=True)
            process.graph_node(made, created=at + 100)
            process.graph_node(_node(kind, number, made=False), original=made, created=at + 110)
            at += 300


def period(steps: Sequence[_Step], batch: int | None = None) -> float:
    """The median period of a kind; of all of them the mean, each as often as it has steps."""
    begins = [step.work[0][0][1] for step in steps]
    periods: dict[int, list[int]] = {}
    for step, (begin, following) in zip(steps, pairwise(begins), strict=False):
        periods.setdefault(step.kind.batch, []).append(following - begin)
    if batch is not None:
        return median(periods[batch])
    counts = {one: sum(step.kind.batch == one for step in steps) for one in periods}
    return sum(n * median(periods[one]) for one, n in counts.items()) / sum(counts.values())
