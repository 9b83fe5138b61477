"""The slowest steps, and what made them so: which rank and ledger line, at which collective.

DEFINITIONS.md, section 4.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from nsysan.metrics.lines import Line
from nsysan.metrics.tail_causes import TAILS, TailCause


class Outlier(NamedTuple):
    """One step against the median step: excess of its period (ns), and the largest of what made it longer.

    cause, line: what that was and the ledger line that it lengthened; rank: on which rank, None where it is of no
    single one; growth: ns. All None and 0 where nothing tells. call: number in the step of the collective at which the
    rank lost most, and that time; None where that is none.
    """

    step: int
    period: int
    excess: int
    rank: int | None
    cause: TailCause | None
    line: Line | None
    growth: int
    call: int | None
    lost_at_call: int


def slow_steps(ledger: pl.DataFrame, most: int = 10) -> pl.DataFrame:
    """step, period, excess: the steady steps that exceed the median period (ns, over the ranks), slowest first."""
    periods = ledger.filter(pl.col("steady")).group_by("step").agg(period=pl.median("period_ns"))
    beyond = periods.with_columns(excess=pl.col("period") - pl.median("period"))
    return beyond.sort(["period", "step"], descending=[True, False]).head(most).filter(pl.col("excess") > 0)


def slowest_steps(slow: pl.DataFrame, losses: pl.DataFrame, ledger: pl.DataFrame) -> list[Outlier]:
    """What made these steps long. slow: as slow_steps gives them; losses: step, cause, rank, ns, call, largest first.

    A step in which less than half of its excess was lost may be long on a rank that was late for the call of the next
    one; else what grew in it on the ranks alike tells the cause, if that is half of the excess, and no rank.
    """
    largest = {
        row["step"]: row for row in losses.unique("step", keep="first", maintain_order=True).iter_rows(named=True)
    }
    steady = ledger.filter(pl.col("steady"))
    own = {(step, rank): ns for step, rank, ns in _beyond(steady, "period_ns").iter_rows()}
    grown = {row["step"]: row for row in _grown_alike(steady).iter_rows(named=True)}
    found = []
    for row in slow.iter_rows(named=True):
        step, half = row["step"], row["excess"] / 2
        here, after, alike = largest.get(step), largest.get(step + 1), grown.get(step)
        if after is not None and own.get((step, after["rank"]), 0) < after["ns"] / 2:
            after = None
        told = (loss for loss in (here, after, alike) if loss is not None and loss["ns"] >= half)
        found.append(_outlier(row, next(told, here or after)))
    return found


def _beyond(steady: pl.DataFrame, column: str) -> pl.DataFrame:
    """step, rank, and what the column exceeds the rank's median by."""
    return steady.select("step", "rank", ns=pl.col(column) - pl.median(column).over("rank"))


def _grown_alike(steady: pl.DataFrame) -> pl.DataFrame:
    """step, cause, rank (null), ns, call (null): the line of each step that grew most, median over the ranks."""
    parts = [
        _beyond(steady, row.line.column).group_by("step").agg(pl.median("ns")).with_columns(cause=pl.lit(cause.value))
        for cause, row in TAILS.items()
        # Whether it is the host's is not told here.
        if row.line is not None and cause is not TailCause.HOST
    ]
    none = pl.lit(None, dtype=pl.Int64)
    rows = pl.concat(parts).filter(pl.col("ns") > 0).sort(["ns", "cause"], descending=[True, False])
    return rows.unique("step", keep="first", maintain_order=True).with_columns(rank=none, call=none)


def _outlier(row: dict[str, float], loss: dict[str, object] | None) -> Outlier:
    step, period, excess = int(row["step"]), round(row["period"]), round(row["excess"])
    if loss is None:
        return Outlier(step, period, excess, None, None, None, 0, None, 0)
    cause, rank, call, ns = TailCause(str(loss["cause"])), loss["rank"], loss["call"], round(float(str(loss["ns"])))
    return Outlier(
        step=step,
        period=period,
        excess=excess,
        rank=None if rank is None else int(str(rank)),
        cause=cause,
        line=TAILS[cause].line,
        growth=ns,
        call=None if call is None else int(str(call)),
        lost_at_call=0 if call is None else ns,
    )
