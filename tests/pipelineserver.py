"""A pipeline of an engine with one batch in flight, whose faults can be taken out: each host is told when to go on.

Each stage has two ranks, which replay a graph a step, and a scheduler that no call shows tells all of them of the next
step once the last stage has sampled. Times are ns.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median

from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder

TENSOR, LAYERS = 2, 3
SENDRECV = "ncclDevKernel_SendRecv"
_LAUNCH, _TO_GPU, _GAP, _SAMPLE, _HOST, _TOLD = 4_000, 6_000, 1_000, 6_000, 15_000, 20_000
_COMPUTE, _WIRE, _SEND, _BEGIN = 40_000, 8_000, 4_000, 1_000_000


class Pipeline:
    """A run of so many stages. slow, late: what each kernel of a rank computes longer, and its host does more."""

    def __init__(
        self,
        stages: int,
        *,
        slow: Mapping[int, int] | None = None,
        late: Mapping[int, int] | None = None,
        steps: int = 30,
    ) -> None:
        rng = random.Random(0)
        self.stages, self.ranks = stages, stages * TENSOR
        self.calls: list[tuple[int, int, str, int]] = []  # rank, step, sort, begin
        self.work: list[tuple[int, int, str, int, int]] = []  # rank, step, sort, begin, end
        self.begins: list[int] = []
        host, gpu = [_BEGIN] * self.ranks, [_BEGIN] * self.ranks
        sampled = _BEGIN - _TOLD
        for step in range(steps):
            noise = [[rng.uniform(0.99, 1.01) for _ in range(LAYERS + 1)] for _ in range(self.ranks)]
            sent: dict[int, int] = {}
            for stage in range(stages):
                own = range(stage * TENSOR, (stage + 1) * TENSOR)
                at = {}
                for rank in own:
                    host[rank] = max(host[rank], sampled + _TOLD)
                    host[rank] += round(_HOST * noise[rank][-1]) + (late or {}).get(rank, 0)
                    at[rank] = gpu[rank]
                    if stage:
                        begin = max(at[rank] + _GAP, self._call(host, rank, step, "receive"))
                        # Who sends has begun before that, or waits for the receiver.
                        at[rank] = max(begin, sent[rank - TENSOR]) + _SEND
                        self.work.append((rank, step, "receive", begin, at[rank]))
                        self._sends(rank - TENSOR, step, sent[rank - TENSOR], at[rank])
                        gpu[rank - TENSOR] = at[rank]
                    at[rank] = max(at[rank] + _GAP, self._call(host, rank, step, "graph"))
                self.begins += [at[0]] if not stage else []
                for layer in range(LAYERS):
                    more = {rank: (slow or {}).get(rank, 0) for rank in own}
                    ends = {rank: at[rank] + round(_COMPUTE * noise[rank][layer]) + more[rank] for rank in own}
                    done = max(ends.values()) + _GAP + _WIRE
                    for rank in own:
                        self.work.append((rank, step, "compute", at[rank], ends[rank]))
                        self.work.append((rank, step, "reduce", ends[rank] + _GAP, done))
                        at[rank] = done + _GAP
                for rank in own:
                    if stage < stages - 1:
                        sent[rank] = max(at[rank], self._call(host, rank, step, "send"))
                        continue
                    self.work.append((rank, step, "sample", at[rank], at[rank] + _SAMPLE))
                    gpu[rank] = at[rank] + _SAMPLE
                    self.calls.append((rank, step, "wait", host[rank] + 500))
                    host[rank] = max(host[rank] + 1_000, gpu[rank] + 2_000)
            sampled = gpu[(stages - 1) * TENSOR]

    def _call(self, host: list[int], rank: int, step: int, sort: str) -> int:
        """A launch call; when its work may begin."""
        begin = host[rank]
        host[rank] += _LAUNCH + 500
        self.calls.append((rank, step, sort, begin))
        return begin + _TO_GPU

    def _sends(self, rank: int, step: int, begin: int, end: int) -> None:
        self.work.append((rank, step, "send", begin, end))

    @property
    def period(self) -> float:
        """The median step."""
        return median(after - before for before, after in pairwise(self.begins))

    def write(self, path: Path, *, ranges: bool = True) -> Path:
        """The export; ranges: whether steps have some."""
        builder = TraceBuilder()
        work = {(rank, step): [] for rank, step, *_ in self.calls}  # type: dict[tuple[int, int], list[tuple[str, int, int]]]
        for rank, step, sort, begin, end in self.work:
            work[rank, step].append((sort, begin, end))
        for rank in range(self.ranks):
            process = builder.process(100 + rank, device=rank)
            stage, lane = divmod(rank, TENSOR)
            own = [call for call in self.calls if call[0] == rank]
            for step in sorted({step for _, step, *_ in own}):
                calls = {sort: begin for _, at, sort, begin in own if at == step}
                launches = [begin for sort, begin in calls.items() if sort != "wait"]
                if ranges:
                    process.nvtx(f"decode_step_{step}", min(launches) - 500, max(launches) + _LAUNCH + 200)
                if "wait" in calls:
                    process.api("cudaStreamSynchronize_v3020", calls["wait"], work[rank, step][-1][2] + 2_000)
                replay = process.graph_launch(calls["graph"], calls["graph"] + _LAUNCH)
                node = 0
                for sort, begin, end in work[rank, step]:
                    if sort in ("send", "receive"):
                        call, peer, group = ("ncclSend", 1, stage + 1) if sort == "send" else ("ncclRecv", 0, stage)
                        at = calls[sort]
                        process.nccl(
                            call, at - 100, at + _LAUNCH + 100, bytes=8_192, comm=100 * group + lane, peer=peer
                        )
                        process.kernel(SENDRECV, begin, end, launch=(at, at + _LAUNCH))
                        continue
                    name = {"compute": COMPUTE_KERNEL, "reduce": ALLREDUCE_KERNEL, "sample": "sample_kernel"}[sort]
                    process.kernel(name, begin, end, launch=None, correlation=replay, graph_node=(1 << 32) + node)
                    node += 1
        return builder.write(path)
