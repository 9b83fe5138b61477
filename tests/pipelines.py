"""Pipelines whose answer is known on paper: stages that compute, reduce among their ranks, and send to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tests.tracebuilder import COMPUTE_KERNEL, Process, TraceBuilder

REDUCE = "cross_device_reduce_1stage"
SENDRECV = "ncclDevKernel_SendRecv"
WIRE, SEND, SAMPLE = 8_000, 4_000, 6_000
_FIRST = 1_000_000


def pipeline(
    computes: Sequence[int],
    *,
    tensor: int = 2,
    batches: int = 1,
    steps: int = 12,
    host: int = 10_000,
    eager: bool = False,
    wide: bool = False,
    claimed: bool = True,
    jitter: int = 0,
    names: Callable[[int], str] = "decode_step_{}".format,
    more: Mapping[int, int] | None = None,
    builders: Sequence[TraceBuilder] | None = None,
) -> TraceBuilder:
    """A stage an entry of `computes`, of `tensor` ranks each, `batches` in flight in turn; a step is one of a batch.

    In a step each stage computes so long, reduces for WIRE once all its ranks have come, and sends for SEND to the
    next, which has waited since its own work ended; the last samples for SAMPLE instead. A batch comes again to the
    first stage `host` after it was sampled and that stage was free; its launch call begins half of that before.
    eager: a send waits for no receiver. wide: stages share one communicator for each of their lanes, in place of one
    for each two. names: of the ranges; claimed: whether they have the receives in them. jitter: how much later the host
    is in every second step. more: what a rank computes longer. builders: one a rank, in place of one for all.
    """
    one = TraceBuilder()
    ranks = len(computes) * tensor
    processes = [
        (one if builders is None else builders[rank]).process(100 + rank, device=rank) for rank in range(ranks)
    ]
    free = [_FIRST] * len(computes)
    sampled = [_FIRST] * batches
    for step in range(steps):
        sent, late = 0, host + step % 2 * jitter
        for stage, compute in enumerate(computes):
            own = range(stage * tensor, (stage + 1) * tensor)
            begin = max(free[0], sampled[step % batches]) + late if stage == 0 else sent
            ends = {rank: begin + compute + (more or {}).get(rank, 0) for rank in own}
            reduced = max(ends.values()) + (WIRE if tensor > 1 else 0)
            last = stage == len(computes) - 1
            # The next stage takes what is sent when it is free.
            sent = reduced + SAMPLE if last else max(reduced, free[stage + 1]) + SEND
            done = reduced + SEND if eager and not last else sent
            for rank in own:
                process, lane = processes[rank], rank % tensor
                launched = begin - host // 2 if stage == 0 else free[stage] - 10_000
                if stage:
                    known = (lane, stage - 1) if wide else (100 * stage + lane, 0)
                    _message(process, "ncclRecv", free[stage], begin, *known)
                process.kernel(COMPUTE_KERNEL, begin, ends[rank], launch=launched if stage == 0 else begin - 10_000)
                if tensor > 1:
                    name = f"void vllm::{REDUCE}<__nv_bfloat16, (int){tensor}>(vllm::RankData *, vllm::RankSignals)"
                    process.kernel(REDUCE, ends[rank], reduced, demangled=name)
                if last:
                    process.kernel("sample_kernel", reduced, done)
                else:
                    known = (lane, stage + 1) if wide else (100 * (stage + 1) + lane, 1)
                    _message(process, "ncclSend", reduced, done, *known)
                process.nvtx(
                    names(step), (launched if claimed or not stage else begin - 10_000) - 500, reduced - 10_000 + 2_500
                )
            free[stage] = done
        sampled[step % batches] = sent
    return one


def _message(process: Process, call: str, begin: int, end: int, communicator: int, peer: int) -> None:
    launch = begin - 10_000
    process.nccl(call, launch - 100, launch + 2_100, bytes=8_192, comm=communicator, peer=peer)
    process.kernel(SENDRECV, begin, end, launch=(launch, launch + 2_000))
