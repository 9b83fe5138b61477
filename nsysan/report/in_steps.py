"""Steps and ranks that are asked for, and the operations in the windows of steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from nsysan.columns.intervals import I64


@dataclass(frozen=True)
class Axes:
    """The steps and ranks that are asked for, ascending: each step of each rank is a group, numbered step by step."""

    steps: list[int]
    ranks: list[int]

    def group(self, steps: I64, rank: int) -> I64:
        """The groups of a rank's steps."""
        return np.searchsorted(self.steps, steps) * len(self.ranks) + self.ranks.index(rank)

    def groups(self, frame: pl.DataFrame) -> I64:
        """The groups of rows with step and rank."""
        step, rank = (frame[name].to_numpy() for name in ("step", "rank"))
        return np.searchsorted(self.steps, step) * len(self.ranks) + np.searchsorted(self.ranks, rank)

    def of(self, groups: I64) -> pl.DataFrame:
        """step and rank of groups."""
        steps, ranks = (np.asarray(numbers, dtype=np.int64) for numbers in (self.steps, self.ranks))
        return pl.DataFrame({"step": steps[groups // len(ranks)], "rank": ranks[groups % len(ranks)]})


@dataclass(frozen=True)
class WorkInSteps:
    """Operations in the windows of steps; one that reaches over the end of a window is in the next one as well.

    rows: group (see Axes), begin, end, last (last arrival at a matched collective, else null), launch_start,
    launch_end, and the rows of tables: kind, queue, caller. kinds: cls, name and FACTS; queues: context, stream;
    callers: launch, the name of the API call.
    """

    rows: pl.DataFrame
    kinds: pl.DataFrame
    queues: pl.DataFrame
    callers: pl.DataFrame


def spread(first: I64, count: I64) -> tuple[I64, I64]:
    """first, first + 1 ... of each row, `count` of them, and the rows before: number of the row, and the number."""
    rows = np.repeat(np.arange(len(count)), count)
    return rows, first[rows] + np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
