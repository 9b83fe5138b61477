"""A live server whose answer is known on paper: three kinds of decode steps in turn, each with its own fault."""

from __future__ import annotations

from pathlib import Path

from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder

#: Batch: steps, what each rank computes, how much longer rank 1 does.
KINDS = {16: (24, 200_000, 0), 8: (24, 120_000, 60_000), 4: (32, 80_000, 20_000)}
WIRE, GAP = 8_000, 2_000
#: 24 of 210, 24 of 190 and 32 of 110: 5040, 4560 and 3520 of 13 120, none of which is half.
PERIODS = {16: 210_000, 8: 190_000, 4: 110_000}
COUNT = 24 + 24 + 32


def mixture(path: Path, *, last: int = 0) -> Path:
    """Requests come and go: eight stretches of each kind in turn, and `last` steps of batch 2 in the end.

    Hosts launch a step when the last but one has ended.
    """
    builder = TraceBuilder()
    processes = [builder.process(100 + rank, device=rank) for rank in range(2)]
    at, launched, ended = 970_000, 940_000, [960_000, 980_000]
    stretches = [(batch, kind[0] // 8, *kind[1:]) for _ in range(8) for batch, kind in KINDS.items()]
    for batch, steps, compute, longer in [*stretches, (2, last, 80_000, 20_000)]:
        for _ in range(steps):
            launch, done = ended[-2] + 500, at + compute + longer
            name = f"execute_context_0(0)_generation_{batch}({batch})"
            for rank, process in enumerate(processes):
                process.api("cudaEventSynchronize_v3020", launched + 7_000, ended[-2] + 300)
                end = at + compute + longer * rank
                process.nvtx(name, launch - 500, launch + 9_000)
                process.kernel(COMPUTE_KERNEL, at, end, launch=launch)
                process.nccl("ncclAllReduce", launch + 3_900, launch + 6_100, bytes=8_192, comm=7)
                process.kernel(ALLREDUCE_KERNEL, end, done + WIRE, launch=launch + 4_000)
            launched = launch
            ended.append(done + WIRE)
            at = ended[-1] + GAP
    return builder.write(path)
