"""What a replay tells of all the steady steps of a replica, of which it may have replayed some."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from nsysan.replay.results import Pace
from nsysan.run.all_decode import typical_periods, usual_period, weighed, weights_of
from nsysan.run.run import Run


def of_all(run: Run, pace: Pace) -> Pace:
    """A pace for all steady steps: how far those that were replayed are from these is an error, too."""
    usual = usual_period(run)
    if not run.summed:
        # Where fewer batches are in flight than stages steps are of two lengths, and a median of either.
        return pace if pace.whole and run.stage_work is None else pace.off(usual)
    replayed = run.windows.filter(pl.col("step").is_in(pace.per_step["step"].unique().to_list()))
    told = set(replayed["population"])
    each, weights = typical_periods(run), weights_of(run)
    time = {kind: period * weights[kind] for kind, period in each.items()}
    seen = {kind: period for kind, period in each.items() if kind in told}
    unseen = 1 - sum(time[kind] for kind in seen) / (sum(time.values()) or 1)
    pace = replace(pace, unseen=unseen)
    return (pace if pace.whole or not seen else pace.off(weighed(seen, weights))).of(usual)
