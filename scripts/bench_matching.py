#!/usr/bin/env python
"""How long matching, skew, ledger and gaps take on a large run, and on one of half the size.

The run is made up as frames: 1000 decode steps of 160 all-reduces on 8 ranks, with compute between them.
Seconds are of processor time, over all threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from nsysan.metrics.gaps import find_gaps
from nsysan.metrics.ledger import build_ledger
from nsysan.metrics.skew import arrivals, late_calls
from nsysan.model.classes import WorkClass
from nsysan.model.matches import Match
from nsysan.run.matching import match_collectives

COMPUTE_NS, JITTER_NS, LAUNCH_NS, WIRE_NS, STEP_GAP_NS = 8_000, 2_000, 500, 7_000, 50_000


@dataclass(frozen=True)
class Size:
    """Steps of a run, collectives a step, and ranks."""

    steps: int
    calls: int
    ranks: int

    @property
    def total(self) -> int:
        """Collective kernels on all ranks."""
        return self.steps * self.calls * self.ranks


def made_up(size: Size, *, missing: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """work and windows: every rank computes with jitter, then meets the others.

    missing: rank 1 lacks one call in every tenth step, so that these steps are resynchronised.
    """
    rng = np.random.default_rng(1)
    shape = (size.ranks, size.steps, size.calls)
    compute = COMPUTE_NS + rng.integers(0, JITTER_NS, shape)
    layer = compute.max(axis=0) + LAUNCH_NS + WIRE_NS
    between = np.zeros(layer.shape, dtype=np.int64)
    between[1:, 0] = STEP_GAP_NS
    ready = np.cumsum(layer + between).reshape(layer.shape) - layer
    begin = np.broadcast_to(ready, shape)
    arrival = begin + compute + LAUNCH_NS
    done = np.broadcast_to(ready + layer, shape)
    rank, step, call = np.indices(shape)
    kernel = pl.DataFrame(
        {
            "rank": np.concatenate((rank.ravel(), rank.ravel())),
            "step": np.concatenate((step.ravel(), step.ravel())),
            "begin": np.concatenate((begin.ravel(), arrival.ravel())),
            "end": np.concatenate(((begin + compute).ravel(), done.ravel())),
            "call": np.concatenate((np.full(size.total, -1), call.ravel())),
        }
    )
    if missing:
        lost = (pl.col("rank") == 1) & (pl.col("step") % 10 == 5) & (pl.col("call") == size.calls // 2)
        kernel = kernel.filter(~lost)
    collective = pl.col("call") >= 0
    work = (
        kernel.sort("rank", "begin")
        .with_row_index("row")
        .with_columns(
            name=pl.when(collective).then(pl.lit("ncclDevKernel_AllReduce_Sum_bf16_RING_LL")).otherwise(pl.lit("gemm")),
            cls=pl.when(collective).then(pl.lit(WorkClass.COLLECTIVE)).otherwise(pl.lit(WorkClass.COMPUTE)),
            kind=pl.when(collective).then(pl.lit("all_reduce")),
            library=pl.when(collective).then(pl.lit("nccl")),
            communicator=pl.when(collective).then(pl.lit("20015998343868")),
            group=pl.when(collective).then(pl.lit(0, dtype=pl.Int64)),
            barrier=pl.when(collective).then(pl.lit(value=True)),
            partial=pl.when(collective).then(pl.lit(value=False)),
            half=pl.lit(None, dtype=pl.String),
            correlation=pl.col("row").cast(pl.Int64),
            graph_node=pl.lit(None, dtype=pl.Int64),
            trimmed=pl.lit(0, dtype=pl.Int64),
            stream=pl.lit(7, dtype=pl.Int64),
            context=pl.lit(1, dtype=pl.Int64),
            launch_start=pl.col("begin") - 3_000,
            thread=pl.col("rank"),
        )
        .drop("call")
    )
    windows = (
        work.group_by("rank", "step")
        .agg(pl.min("begin"), last=pl.max("end"))
        .sort("rank", "begin")
        .with_columns(finish=pl.coalesce(pl.col("begin").shift(-1).over("rank"), "last"))
        .with_columns(excluded=pl.lit(None, dtype=pl.String))
    )
    return work, windows


class Stopwatch:
    """Processor time of each stage, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, work: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """What `work` returns, its time kept under `stage`."""
        before = time.process_time()
        result = work()
        self.seconds[stage] = time.process_time() - before
        return result


def timed(size: Size, *, missing: bool) -> dict[str, float]:
    """Seconds of processor time by stage."""
    work, windows = made_up(size, missing=missing)
    watch = Stopwatch()
    calls = work.filter(pl.col("cls") == WorkClass.COLLECTIVE)
    matched = watch("matching", lambda: match_collectives(calls, size.ranks))
    lost = 0 if not missing else -(-(size.steps - 5) // 10) * (size.ranks - 1)
    if (matched["verdict"] != Match.MATCHED).sum() != lost:
        raise AssertionError("the run that was made up has another number of unmatched calls")
    work = work.join(matched.select("row", "last"), on="row", how="left", maintain_order="left")
    watch("ledger", lambda: build_ledger(work, windows))
    arrived = watch("arrivals", lambda: arrivals(matched))
    watch("late calls", lambda: late_calls(arrived, work))
    no_syncs = pl.DataFrame(schema={"thread": pl.Int64, "start": pl.Int64, "end": pl.Int64})
    watch("gaps", lambda: find_gaps(work, windows, no_syncs))
    return watch.seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=160)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--missing", action="store_true", help="one rank lacks a call in every tenth step")
    options = parser.parse_args()
    size = Size(options.steps, options.calls, options.ranks)
    half = Size(options.steps // 2, options.calls, options.ranks)
    timed(Size(10, options.calls, options.ranks), missing=options.missing)
    small, large = timed(half, missing=options.missing), timed(size, missing=options.missing)
    print(f"{size.total} collective kernels, {size.steps} steps of {size.calls} on {size.ranks} ranks; {half.total}")
    print(f"{'stage':<12}{'seconds':>9}{'calls/s':>12}{'half':>9}{'ratio':>7}")
    rows = {**large, "in all": sum(large.values())}
    halves = {**small, "in all": sum(small.values())}
    for stage, seconds in rows.items():
        rate = size.total / seconds if seconds else float("inf")
        ratio = seconds / halves[stage] if halves[stage] else float("inf")
        print(f"{stage:<12}{seconds:>9.2f}{rate:>12.0f}{halves[stage]:>9.2f}{ratio:>7.2f}")


if __name__ == "__main__":
    main()
