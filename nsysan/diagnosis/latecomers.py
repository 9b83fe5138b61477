"""Late ranks: those that a replay shows to cost time, with what holds each up (DEFINITIONS.md, section 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from nsysan.diagnosis.hotspot import Hotspot, find_hotspot
from nsysan.metrics.causes import WHY_LATE, WHY_LATE_TOGETHER, GapCause, LateCause
from nsysan.metrics.skew import TELLING_STEPS, Straggler
from nsysan.metrics.whatif import WhatIf
from nsysan.replay.late import CAUSES, LATE_SHARE, LateRanks
from nsysan.replay.pace import Pace
from nsysan.run.run import Run

#: By what a rank may be late.
LATE_CAUSES = tuple(LateCause(cause) for cause in CAUSES)
#: So many kernels of a late rank are listed, those that are longer by this share of what it costs.
_KERNELS, _NOTABLE = 5, 0.01


@dataclass(frozen=True)
class Late:
    """A late rank, or several that are late together by one cause. ns a step.

    costs: of the step where the other late ranks are right; saves: where these alone are put right; both by the
    median, and by the mean, which has the tail. cause: None where it is a host's, and nothing tells whether that is to
    blame. parts: of what it costs, by cause. kernels: those that take longer, most first, and by how much. where: at
    which calls it is waited for, and idle: what it idles more than the others, by cause; of one rank alone.
    """

    ranks: tuple[int, ...]
    cause: LateCause | None
    costs: int
    saves: int
    mean_costs: int
    mean_saves: int
    parts: Mapping[LateCause, int]
    kernels: Sequence[tuple[str, int]] = ()
    where: Hotspot | None = None
    idle: Mapping[GapCause, int] = field(default_factory=dict)


#: Causes of idle time that are the host's own.
_BY_HOST = (GapCause.HOST_LATE, GapCause.SYNC, GapCause.BETWEEN_STEPS)


def outermost(late: Sequence[Late]) -> list[Late]:
    """Those that are late together as one, and each of the others."""
    sets = [one for one in late if len(one.ranks) > 1]
    inside = {rank for one in sets for rank in one.ranks}
    return [*sets, *(one for one in late if len(one.ranks) == 1 and one.ranks[0] not in inside)]


def alone_of(late: Sequence[Late], one: Late) -> list[Late]:
    """The ranks of a set, each by itself; of one rank itself."""
    return [own for own in late if len(own.ranks) == 1 and own.ranks[0] in one.ranks]


def weight(one: Late, period: int) -> tuple[int, int, bool]:
    """What it saves and costs, ns of the median step; or of the mean one, where it is the tail that it makes."""
    if one.costs < LATE_SHARE * period <= one.mean_costs:
        return one.mean_saves, one.mean_costs, True
    return one.saves, one.costs, False


def ranks_words(ranks: Sequence[int]) -> str:
    """As in "rank 2", "ranks 2 and 3"."""
    *first, last = map(str, ranks)
    return f"ranks {', '.join(first)} and {last}" if first else f"rank {last}"


def by_host(late: Late | Straggler) -> bool:
    """Whether it is late for its host: it idles, and not for its own work on the GPU."""
    return late.cause == LateCause.HOST and next(iter(late.idle), GapCause.HOST_LATE) in _BY_HOST


def why_late(late: Late | Straggler) -> str:
    """What holds it up, as a clause."""
    several = isinstance(late, Late) and len(late.ranks) > 1
    idles = "they idle" if several else "it idles"
    if late.cause is None:
        return f"{idles} longer, and nothing tells whether {'their hosts are' if several else 'its host is'} late"
    if late.cause == LateCause.HOST and not by_host(late):
        return f"{idles} longer ({next(iter(late.idle)).words})"
    return (WHY_LATE_TOGETHER if several else WHY_LATE)[late.cause]


def late_ranks(run: Run, pace: Pace | None, what: WhatIf | None, calls: pl.DataFrame, idle: pl.DataFrame) -> list[Late]:
    """Who is late, the costliest first; nobody where that cannot be told.

    calls: as skew.late_calls gives them. idle: rank, cause, ns a step.
    """
    if pace is None or what is None or what.why or len(run.steady_steps) < TELLING_STEPS:
        return []
    known: list[pl.DataFrame] = []

    def usual_compute() -> pl.DataFrame:
        if not known:
            known.append(run.usual_compute(run.steady_steps))
        return known[0]

    alone = {one.ranks[0]: _alone(run, one, calls, idle, usual_compute) for one in pace.late if len(one.ranks) == 1}
    return [alone[one.ranks[0]] if len(one.ranks) == 1 else _together(one, alone) for one in pace.late]


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
    )


def _more_idle(gaps: pl.DataFrame, rank: int) -> dict[GapCause, int]:
    """Idle ns a step of a rank by cause, beyond the median of the others; largest first."""
    others = gaps.filter(pl.col("rank") != rank).group_by("cause").agg(usual=pl.median("ns"))
    own = gaps.filter(pl.col("rank") == rank).join(others, on="cause", how="left")
    more = own.select("cause", more=(pl.col("ns") - pl.col("usual").fill_null(0)).round().cast(pl.Int64))
    largest = more.filter(pl.col("more") > 0).sort(["more", "cause"], descending=[True, False])
    return {GapCause(cause): ns for cause, ns in largest.iter_rows()}
