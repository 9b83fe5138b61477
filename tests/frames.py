"""Ranks that compute and then meet, time by time: as frames, for tests that need thousands of runs, or as a trace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

import nsysan
from nsysan.model.matches import Match
from nsysan.run.run import Run
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Frames:
    """work and collectives as late_calls reads them, and a ledger of period_ns and steady only."""

    work: pl.DataFrame
    collectives: pl.DataFrame
    ledger: pl.DataFrame


def lockstep(compute: I64, *, wire: int = 8_000, gap: int = 2_000, idle: I64 | None = None) -> Frames:
    """Every rank computes for compute[rank, step, call] after idle[...], and then all meet in a collective.

    The first step is start-up, as in every run. All ranks leave a collective together, `wire` after the last arrival,
    and the steps are `gap` apart.
    """
    ranks, steps, calls = compute.shape
    idle = np.zeros_like(compute) if idle is None else idle
    layer = (idle + compute).max(axis=0) + wire
    between = np.zeros((steps, calls), dtype=np.int64)
    between[1:, 0] = gap
    ready = np.cumsum(layer + between).reshape(layer.shape) - layer
    first = ready + idle
    arrival = first + compute
    done = np.broadcast_to(ready + layer, compute.shape)
    rank, step, call = np.indices(compute.shape)
    row = np.arange(compute.size)
    names = {"rank": rank, "step": step, "call": call}
    collectives = pl.DataFrame({name: values.ravel() for name, values in names.items()}).with_columns(
        row=pl.Series(row),
        family=pl.lit(1, dtype=pl.Int64),
        verdict=pl.lit(Match.MATCHED),
        cls=pl.lit("collective"),
        begin=pl.Series(arrival.ravel()),
        end=pl.Series(done.ravel()),
    )
    kernels = pl.DataFrame(
        {
            "rank": rank.ravel(),
            "row": row + compute.size,
            "cls": ["compute"] * compute.size,
            "begin": first.ravel(),
            "end": arrival.ravel(),
        }
    )
    starts = ready[:, 0]
    periods = np.diff(starts, append=ready[-1, -1] + layer[-1, -1])
    ledger = pl.DataFrame(
        {
            "step": np.tile(np.arange(steps), ranks),
            "rank": np.repeat(np.arange(ranks), steps),
            "steady": np.tile(np.arange(steps) > 0, ranks),
            "period_ns": np.tile(periods, ranks),
        }
    )
    columns = ["rank", "row", "cls", "begin", "end"]
    return Frames(pl.concat([kernels.select(columns), collectives.select(columns)]), collectives, ledger)


def lockstep_run(
    path: Path, compute: I64, *, wire: I64 | int = 8_000, gap: int = 2_000, idle: I64 | None = None
) -> Run:
    """The same through the whole pipeline; wire[step, call] may differ from call to call.

    Idle before a kernel is its host's fault: its launch call begins halfway through. All other calls are early.
    """
    ranks, steps, calls = compute.shape
    idle = np.zeros_like(compute) if idle is None else idle
    wires = np.broadcast_to(np.asarray(wire), (steps, calls))
    builder = TraceBuilder()
    processes = [builder.process(100 + rank, device=rank) for rank in range(ranks)]
    ready = 1_000_000
    for step in range(steps):
        begin = ready
        latest = [begin - 500] * ranks
        for call in range(calls):
            last = ready + int((idle + compute)[:, step, call].max())
            done = last + int(wires[step, call])
            for rank, process in enumerate(processes):
                early = begin - 7_000 + 100 * call
                pause = int(idle[rank, step, call])
                launch = ready + pause // 2 if pause else early
                latest[rank] = max(latest[rank], launch + 50)
                arrival = ready + pause + int(compute[rank, step, call])
                process.kernel(COMPUTE_KERNEL, ready + pause, arrival, launch=(launch, launch + 40))
                process.kernel(ALLREDUCE_KERNEL, arrival, done, launch=(early + 50, early + 90))
            ready = done
        for rank, process in enumerate(processes):
            process.nvtx(f"decode_step_{step}", begin - 7_100, latest[rank])
        ready += gap
    return nsysan.analyze(nsysan.open_trace(builder.write(path)))
