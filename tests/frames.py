"""Ranks that compute and then meet, time by time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

import nsysan
from nsysan.run.run import Run
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder

I64 = npt.NDArray[np.int64]


def lockstep_run(
    path: Path,
    compute: I64,
    *,
    wire: I64 | int = 8_000,
    gap: int = 2_000,
    idle: I64 | None = None,
    collective: str = ALLREDUCE_KERNEL,
) -> Run:
    """Every rank computes for compute[rank, step, call] after idle[...], and then all meet in a collective.

    The first step is start-up, as in every run. All ranks leave a collective together, wire[step, call] after the last
    arrival. Hosts wait until a step has ended, which they hear of a tenth of the gap later, and launch the next from a
    quarter of it on: its first kernel starts when all of the gap has gone. Idle before a kernel is its host's fault,
    which works until its launch call begins halfway through; all other calls are early.
    """
    ranks, steps, calls = compute.shape
    idle = np.zeros_like(compute) if idle is None else idle
    wires = np.broadcast_to(np.asarray(wire), (steps, calls))
    builder = TraceBuilder()
    processes = [builder.process(100 + rank, device=rank) for rank in range(ranks)]
    ready = 1_000_000
    for step in range(steps):
        begin = ready
        first = begin - 3 * gap // 4
        latest = [first] * ranks
        for call in range(calls):
            last = ready + int((idle + compute)[:, step, call].max())
            done = last + int(wires[step, call])
            for rank, process in enumerate(processes):
                pause = int(idle[rank, step, call])
                launch = ready + pause // 2 if pause else latest[rank]
                arrival = ready + pause + int(compute[rank, step, call])
                process.kernel(COMPUTE_KERNEL, ready + pause, arrival, launch=(launch, launch + 40))
                process.kernel(collective, arrival, done, launch=(launch + 50, launch + 90))
                latest[rank] = launch + 100
            ready = done
        for rank, process in enumerate(processes):
            process.nvtx(f"decode_step_{step}", first - 20, latest[rank])
            process.api("cudaStreamSynchronize_v3020", latest[rank] + 10, done + gap // 10)
        ready += gap
    return nsysan.analyze(nsysan.open_trace(builder.write(path)))
