"""A rank that runs what no other does, after a pause that all hosts make: nobody else is late by that, on paper."""

from __future__ import annotations

from pathlib import Path

import nsysan
from nsysan.replay.pace import replay
from nsysan.replay.results import Pace
from tests.tracebuilder import TraceBuilder

US = 1_000
STEPS = 20
#: What hosts do between two steps, and then before they launch a step's work.
PAUSE, PREPARE = 300 * US, 60 * US
WORK, WIRE, GAP, CALL = 200 * US, 20 * US, 2 * US, 5 * US
EXTRA = 500 * US


def looped(path: Path, *, extra: int = 0) -> Pace:
    """Two ranks whose hosts wait for each step; rank 0 begins each with `extra` ns of a kernel of its own."""
    builder = TraceBuilder()
    ranks = [builder.process(pid=100 + rank, device=rank) for rank in range(2)]
    for rank, process in enumerate(ranks):
        process.comm_init(comm=7, nranks=2, rank=rank, device=rank)
    done = 1_000 * US
    for step in range(STEPS):
        arrived = []
        for rank, process in enumerate(ranks):
            at = done + PAUSE
            process.nvtx(f"decode_{step}", at - 100, at + PREPARE + 4 * CALL)
            free = 0
            if extra and rank == 0:
                free = at + CALL + extra
                process.kernel("extra", at + CALL, free, launch=(at, at + CALL))
                at += CALL
            at += PREPARE
            begin = max(at + CALL, free + GAP)
            process.kernel("work", begin, begin + WORK, launch=(at, at + CALL))
            arrived.append((begin + WORK + GAP, at + CALL))
        done = max(begin for begin, _ in arrived) + WIRE
        for process, (begin, call) in zip(ranks, arrived, strict=True):
            process.kernel("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", begin, done, launch=(call, call + CALL))
            process.nccl("ncclAllReduce", call - 50, call + CALL + 50, bytes=8192, comm=7)
            waiting = process.api("cudaStreamSynchronize", call + 2 * CALL, done)
            process.synchronization(call + 2 * CALL, done, 3, correlation=waiting)
    pace = replay(nsysan.analyze(builder.write(path)))
    assert pace is not None
    assert pace.exact
    return pace


def test_a_pause_before_the_work_of_one_rank_is_that_of_all(tmp_path: Path) -> None:
    base = looped(tmp_path / "base.sqlite")
    pace = looped(tmp_path / "t.sqlite", extra=EXTRA)
    # The extra kernel is hidden for as long as its host prepares the step.
    more = EXTRA + GAP - PREPARE
    assert pace.period.median - base.period.median == more
    assert abs(pace.scenarios["no_skew"].median - base.period.median) <= CALL
    (late,) = pace.late
    assert (late.ranks, late.cause) == ((0,), "compute")
    assert abs(late.saves - more) <= CALL
    assert abs(late.costs - more) <= CALL
