"""Runs as frames, for tests that need thousands of them: ranks that compute with jitter and then meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.metrics.skew import Straggler, arrivals, find_straggler, late_calls
from nsysan.model.matching import MATCHED

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Frames:
    """work and collectives as late_calls reads them, and a ledger of period_ns and steady only."""

    work: pl.DataFrame
    collectives: pl.DataFrame
    ledger: pl.DataFrame

    def straggler(self) -> Straggler | None:
        return find_straggler(late_calls(arrivals(self.collectives), self.work), self.ledger)


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
        verdict=pl.lit(MATCHED),
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
