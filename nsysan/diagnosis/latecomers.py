"""Late ranks: those that a replay shows to cost time, with what holds each up (DEFINITIONS.md, section 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import polars as pl

from nsysan.diagnosis.hotspot import Late, find_hotspot
from nsysan.metrics.causes import GapCause, LateCause
from nsysan.metrics.skew import TELLING_STEPS, Straggler
from nsysan.metrics.whatif import WhatIf
from nsysan.replay.results import CAUSES, LateRanks, Pace
from nsysan.run.run import Run

#: By what a rank may be late.
LATE_CAUSES = tuple(LateCause(cause) for cause in CAUSES)
#: So many kernels of a late rank are listed, those that are longer by this share of what it costs.
_KERNELS, _NOTABLE = 5, 0.01


def late_ranks(
    run: Run, pace: Pace | None, what: WhatIf | None, meeting: pl.DataFrame, idle: pl.DataFrame
) -> list[Late]:
    """Who is late, the costliest first; nobody where that cannot be told.

    meeting: calls at which ranks wait for one another, as skew.arrivals gives them. idle: rank, cause, ns a step.
    """
    if pace is None or not pace.late or what is None or what.why or len(run.steady_steps) < TELLING_STEPS:
        return []
    # Every trace has to go through its operations for that.
    calls = run.late(meeting)
    known: list[pl.DataFrame] = []

    def usual_compute() -> pl.DataFrame:
        if not known:
            known.append(run.usual_compute(run.steady_steps))
        return known[0]

    alone = {one.ranks[0]: _alone(run, one, calls, idle, usual_compute) for one in pace.late if len(one.ranks) == 1}
    found = [alone[one.ranks[0]] if len(one.ranks) == 1 else _together(one, alone) for one in pace.late]
    found = [replace(one, mean_period=pace.period.mean) for one in found]
    if not what.scheduled:
        return found
    # Savings are upper bounds then.
    return [replace(one, most=told.most) for one, told in zip(found, pace.late, strict=True)]


def late_as_one(late: Sequence[Late], pace: Pace | None) -> Late | None:
    """All of the late ranks as one, None where nobody is late."""
    one = None if pace is None else pace.late_as_one
    if not late or one is None:
        return None
    most = None if late[0].most is None else one.most
    return replace(_together(one, {}), most=most, mean_period=late[0].mean_period)


def straggler_of(late: Sequence[Late], period: int) -> Straggler | None:
    """The late rank that saves most by itself."""
    alone = [one for one in late if len(one.ranks) == 1]
    if not alone:
        return None
    first = max(alone, key=lambda one: (one.saves, one.mean_saves, one.costs, one.mean_costs, -one.ranks[0]))
    return Straggler(
        rank=first.ranks[0],
        cause=first.cause,
        caused=first.saves,
        share=first.saves / period if period else 0.0,
        parts=dict(first.parts),
        idle=dict(first.idle),
    )


def _alone(
    run: Run, one: LateRanks, calls: pl.DataFrame, idle: pl.DataFrame, usual_compute: Callable[[], pl.DataFrame]
) -> Late:
    (rank,), cause = one.ranks, LateCause(one.cause)
    parts = {part: one.parts.get(part.value, 0) for part in LATE_CAUSES}
    more = _more_idle(idle, rank)
    untold = next(iter(more), None) == GapCause.UNKNOWN or not run.host_clocks[rank].agrees
    least = _NOTABLE * max(one.costs, one.mean_costs)
    return Late(
        one.ranks,
        None if cause == LateCause.HOST and untold else cause,
        costs=max(0, one.costs),
        saves=max(0, one.saves),
        mean_costs=max(0, one.mean_costs),
        mean_saves=max(0, one.mean_saves),
        parts=parts,
        kernels=[(name, ns) for name, ns in one.kernels if ns >= least][:_KERNELS],
        apart=one.apart,
        between=one.between,
        where=find_hotspot(
            rank,
            calls,
            run.steady_steps,
            parts[LateCause.COMPUTE],
            usual_compute if cause == LateCause.COMPUTE else None,
        ),
        idle=more,
    )


def _together(one: LateRanks, alone: Mapping[int, Late]) -> Late:
    """Several ranks: by what its ranks are late by, if that is told of each."""
    untold = any(alone[rank].cause is None for rank in one.ranks if rank in alone)
    cause = LateCause(one.cause)
    return Late(
        one.ranks,
        None if untold else cause,
        costs=max(0, one.costs),
        saves=max(0, one.saves),
        mean_costs=max(0, one.mean_costs),
        mean_saves=max(0, one.mean_saves),
        parts=dict.fromkeys(LATE_CAUSES, 0) | {cause: max(0, one.costs, one.mean_costs)},
        between=all(alone[rank].between for rank in one.ranks if rank in alone),
    )


def _more_idle(gaps: pl.DataFrame, rank: int) -> dict[GapCause, int]:
    """Idle ns a step of a rank by cause, beyond the median of the others; largest first."""
    others = gaps.filter(pl.col("rank") != rank).group_by("cause").agg(usual=pl.median("ns"))
    own = gaps.filter(pl.col("rank") == rank).join(others, on="cause", how="left")
    more = own.select("cause", more=(pl.col("ns") - pl.col("usual").fill_null(0)).round().cast(pl.Int64))
    largest = more.filter(pl.col("more") > 0).sort(["more", "cause"], descending=[True, False])
    return {GapCause(cause): ns for cause, ns in largest.iter_rows()}
