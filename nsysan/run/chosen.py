"""Which replica of a run an answer is of."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.model.steps.extents import PAUSE
from nsysan.run.run import Run


def chosen_replica(replicas: Sequence[Run], number: int | None) -> int:
    """That number, by default the one with the longest mean period, steps before a pause set aside; the first if none
    has a steady step.

    NsysanError if there is no such replica.
    """
    if number is not None:
        if not 0 <= number < len(replicas):
            there = "only replica 0" if len(replicas) == 1 else f"replicas 0 to {len(replicas) - 1}"
            raise NsysanError(f"--replica {number}: there is no such replica here; there is {there}", ExitCode.NO_STEPS)
        return number
    if len(replicas) == 1:
        return 0
    means = [_usual_mean(own) for own in replicas]
    return means.index(max(means))


def _usual_mean(own: Run) -> float:
    """The mean period of the steps that work or a shorter pause follows, ns; -1 without any.

    Not the median, which hides a fault of few steps; nor the extents, which hide that of a host between two steps.
    """
    extents = own.windows.group_by("step").agg(pl.median("extent"))
    periods = own.periods().join(extents, on="step", how="left", maintain_order="left")
    after = pl.col("period_ns") - pl.col("extent")
    mean = periods.filter(after <= PAUSE * pl.median("period_ns"))["period_ns"].mean()
    return mean if isinstance(mean, float) else -1.0
