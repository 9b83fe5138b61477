"""A server on paper: ranks that launch kernels on several streams, one by one or as a graph, and wait for them. What is
wrong can be taken out, so that what it costs is known. Times are ns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

from tests.tracebuilder import COMPUTE_KERNEL, Process, TraceBuilder

_BEGIN, _CALL, _REPLAY, _TO_GPU, _GAP, _SYNC = 1_000_000, 2_500, 10_000, 5_000, 1_200, 3_000
#: What something takes of a rank in a step.
By = Callable[[int, int], int]


@dataclass(frozen=True)
class Op:
    """A kernel: on its stream, after those of other streams that are named. A call of NCCL if `call` is; root: the rank
    that the others wait for, which waits for nobody; None: all for all.
    """

    key: str
    ns: By
    stream: int = 7
    after: Sequence[str] = ()
    kernel: str = COMPUTE_KERNEL
    call: str = ""
    root: int | None = None
    #: Of which ranks it is, all if None; and ns that their GPU is another's before it.
    ranks: Sequence[int] | None = None
    lost: By = lambda *_: 0


@dataclass(frozen=True)
class Machine:
    """ns by rank: from a launch to its work, between work that follows on, from work's end to that of a call that
    waits for it.
    """

    to_gpu: Mapping[int, int] = field(default_factory=dict)
    gap: Mapping[int, int] = field(default_factory=dict)
    sync: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What a host does: works, launches these, all as a graph or each, and may then wait for the last of them."""

    work: By
    ops: Sequence[Op]
    waits: bool = True
    graph: bool = False
    #: ns between two queries of a host that sleeps between them; 0: it waits in a call.
    polls: int = 0


@dataclass
class Run:
    """kernels: of each rank in order: op, when its launch begins, begin, end, step, and whether of a graph; waits,
    queries: of its host.
    """

    kernels: list[list[tuple[Op, int, int, int, int, bool]]]
    waits: list[list[tuple[int, int]]]
    queries: list[list[tuple[int, int]]]
    begins: list[list[int]] = field(default_factory=list)

    def period(self, *, of_mean: bool = False) -> float:
        """ns a step of rank 0, by the begin of its first kernel."""
        return (mean if of_mean else median)(after - before for before, after in pairwise(self.begins[0]))


def run(parts: Sequence[Part], ranks: int = 4, steps: int = 40, machine: Machine | None = None) -> Run:
    """All ranks step by step."""
    own = machine or Machine()
    every = range(ranks)
    host, free = [_BEGIN] * ranks, [dict[int, int]() for _ in every]
    found = Run([[] for _ in every], [[] for _ in every], [[] for _ in every], [[] for _ in every])
    for step in range(steps):
        ends: list[dict[str, int]] = [{} for _ in every]
        for number, one in enumerate(parts):
            for rank in every:
                host[rank] += one.work(rank, step)
            for op in one.ops:
                begins = {}
                for rank in every if op.ranks is None else op.ranks:
                    before = [free[rank].get(op.stream, 0), *(ends[rank][key] for key in op.after)]
                    begins[rank] = op.lost(rank, step) + max(
                        host[rank] + own.to_gpu.get(rank, _TO_GPU), *(end + own.gap.get(rank, _GAP) for end in before)
                    )
                come = max(begins.values()) if op.root is None else begins[op.root]
                for rank, begin in begins.items():
                    met = begin if not op.call or rank == op.root else max(begin, come)
                    end = met + op.ns(rank, step)
                    found.kernels[rank].append((op, host[rank], begin, end, step, one.graph))
                    if not number and op is one.ops[0]:
                        found.begins[rank].append(begin)
                    free[rank][op.stream] = ends[rank][op.key] = end
                    host[rank] += 0 if one.graph else _CALL
            for rank in every if one.graph else ():
                host[rank] += _REPLAY
            for rank in every if one.waits else ():
                done = max(ends[rank].get(op.key, 0) for op in one.ops) + own.sync.get(rank, _SYNC)
                begin, over = host[rank] + 500, max(done, host[rank] + 1_500)
                while one.polls and begin + 500 < done:
                    found.queries[rank].append((begin, begin + 500))
                    begin += one.polls
                over = begin + 500 if one.polls else over
                (found.queries if one.polls else found.waits)[rank].append((begin, over))
                host[rank] = over
    return found


def write(
    path: Path, done: Run, only: Sequence[int] | None = None, host: str | None = None, *, ranges: bool = True
) -> Path:
    """The export of a run, or of some of its ranks on one machine: no table tells of the order between streams. ranges:
    whether there is one a step.
    """
    builder = TraceBuilder()
    if host is not None:
        builder.host(host)
    size = len(done.kernels)
    for rank, kernels in enumerate(done.kernels):
        if only is not None and rank not in only:
            continue
        process = builder.process(100 + rank, device=rank)
        streams = sorted({op.stream for op, *_ in kernels if op.call})
        for comm, _ in enumerate(streams):
            process.comm_init(comm=5 + comm, nranks=size, rank=rank, device=rank, start=100_000, end=101_000)
        calls = [5 + streams.index(op.stream) if op.call else 0 for op, *_ in kernels]
        nodes = _capture(process, [(op, comm) for (op, *_, graph), comm in zip(kernels, calls, strict=True) if graph])
        launched = [[launch for _, launch, _, _, at, _ in kernels if at == n] for n in range(kernels[-1][4] + 1)]
        for step, own in enumerate(launched if ranges else []):
            process.nvtx(f"decode_step_{step}", own[0] - 400, own[-1] + _CALL)
        replay, last = 0, -1
        for (op, launch, begin, end, _, graph), comm in zip(kernels, calls, strict=True):
            if graph:
                if launch != last:
                    replay, last = process.graph_launch(launch, launch + _REPLAY), launch
                made = {"launch": None, "correlation": replay, "graph_node": nodes[op.key]}
                process.kernel(op.kernel, begin, end, stream=op.stream, **made)  # type: ignore[arg-type]
                continue
            if op.call:
                process.nccl(op.call, launch - 50, launch + _CALL - 100, bytes=8_192, comm=comm)
            process.kernel(op.kernel, begin, end, launch=(launch, launch + _CALL - 500), stream=op.stream)
        for begin, end in done.waits[rank]:
            process.api("cudaStreamSynchronize_v3020", begin, end)
        for begin, end in done.queries[rank]:
            process.api("cudaEventQuery_v3020", begin, end)
    return builder.write(path)


def _capture(process: Process, ops: Sequence[tuple[Op, int]]) -> dict[str, int]:
    """The nodes of the graph, by key of what they do, made before the first step; ops: each with its communicator."""
    nodes: dict[str, int] = {}
    at = 150_000
    for op, comm in ops:
        if op.key in nodes:
            break
        made, nodes[op.key] = (1 << 32) + len(nodes), (2 << 32) + len(nodes)
        process.api("cuLaunchKernelEx" if op.call else "cudaLaunchKernel_v7000", at, at + 200)
        if op.call:
            process.nccl(op.call, at - 50, at + 250, bytes=8_192, comm=comm)
        process.graph_node(made, created=at + 100)
        process.graph_node(nodes[op.key], original=made, created=at + 110)
        at += 300
    return nodes
