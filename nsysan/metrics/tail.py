"""The tail of the periods: what lies between mean and median, and whether the median stands for any step.

DEFINITIONS.md, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.metrics.tail_causes import TailCause

#: A step is near the median if it differs from it by no more than this share of it; longer ones make the tail.
NEAR = 0.05
#: A tail, or a cause of it, below this share of the median is not listed.
LISTED = 0.01
#: Two humps: so many steps at least ...
HUMP_STEPS = 8
#: ... the largest gap between two periods is this share of the median ...
HUMP_GAP = 0.10
#: ... and on each side of it lies this share of the steps.
HUMP_SHARE = 0.25


@dataclass(frozen=True)
class TailRow:
    """What a cause on a rank adds to the mean step, ns, and in which steps; rank: None for what is of no single one."""

    cause: TailCause
    rank: int | None
    ns: int
    steps: list[int]


@dataclass(frozen=True)
class Hump:
    """Steps whose periods lie together: how many, and their median, ns."""

    count: int
    p50: int


def tail_rows(losses: pl.DataFrame, periods: pl.Series) -> list[TailRow]:
    """Largest first, and `spread` last: they sum to mean less median. None where that is no tail.

    losses: step, cause, rank, ns of the steps that make the tail. periods: of all steady steps, ns.
    """
    known = periods.drop_nulls()
    if known.is_empty():
        return []
    median = float(known.median() or 0)  # type: ignore[arg-type]
    whole = round(float(known.mean() or 0)) - round(median)  # type: ignore[arg-type]
    if whole < LISTED * median or whole <= 0:
        return []
    sums = losses.filter(pl.col("ns") > 0).group_by("cause", "rank").agg(pl.sum("ns"), pl.col("step").unique().sort())
    rows = [
        TailRow(TailCause(cause), rank, round(ns / len(known)), steps)
        for cause, rank, ns, steps in sums.sort(["ns", "cause", "rank"], descending=[True, False, False]).iter_rows()
    ]
    listed = [row for row in rows if row.ns >= LISTED * median]
    rest = whole - sum(row.ns for row in listed)
    return [*listed, TailRow(TailCause.SPREAD, None, rest, [])] if rest else listed


def humps(periods: pl.Series) -> tuple[Hump, Hump] | None:
    """The steps below and above the largest gap between two periods, where the median stands for neither.

    That is so where no step is near the median; or where, of 8 steps or more, the gap is a tenth of the median, each
    side has a quarter of the steps, and the middle half of each side is closer together than the sides.
    """
    known = periods.drop_nulls().sort()
    if len(known) < 2:
        return None
    gaps = known.diff().drop_nulls()
    at = int(gaps.arg_max() or 0) + 1
    gap, median = float(gaps[at - 1]), float(known.median() or 0)  # type: ignore[arg-type]
    low, high = known.head(at), known.tail(len(known) - at)
    apart = (
        len(known) >= HUMP_STEPS
        and gap >= HUMP_GAP * median
        and min(len(low), len(high)) >= HUMP_SHARE * len(known)
        and gap >= max(_middle_half(low), _middle_half(high))
    )
    none_near = len(known) >= HUMP_STEPS // 2 and ((known - median).abs() > NEAR * median).all()
    if not (apart or none_near):
        return None
    if none_near:
        low, high = known.filter(known < median), known.filter(known > median)
    return _hump(low), _hump(high)


def _middle_half(values: pl.Series) -> float:
    quarters = [float(values.quantile(q, "nearest") or 0) for q in (0.25, 0.75)]
    return quarters[1] - quarters[0]


def _hump(values: pl.Series) -> Hump:
    return Hump(len(values), round(float(values.median() or 0)))  # type: ignore[arg-type]
