"""The slowest steps, and what was different in them: which ledger line grew, on which rank, at which collective.

DEFINITIONS.md, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.metrics.lines import LEDGER, Kind, Line

#: Waiting is left out: it grows on every rank but the one that causes it.
_LINES = tuple(row.id for row in LEDGER if row.kind != Kind.WAITING)


@dataclass(frozen=True)
class Outlier:
    """One step against the median step: excess of its period (ns), the line that grew most and where (ns).

    call: number in the step of the collective with most time lost at it beyond its median, and that time; None
    where none lost any.
    """

    step: int
    period: int
    excess: int
    rank: int
    line: Line
    growth: int
    call: int | None
    lost_at_call: int


def slowest_steps(ledger: pl.DataFrame, late: pl.DataFrame, most: int = 10) -> list[Outlier]:
    """The steady steps that exceed the median period, slowest first; late: as skew.late_calls gives it."""
    steady = ledger.filter(pl.col("steady"))
    if steady.is_empty():
        return []
    periods = (
        steady.group_by("step").agg(period=pl.median("period_ns")).sort(["period", "step"], descending=[True, False])
    )
    median = periods["period"].median()
    growth = _growth(steady)
    lost = _lost(late.filter(pl.col("step").is_in(steady["step"].unique().to_list())))
    rows = (
        periods.head(most).join(growth, on="step", how="left").join(lost, on="step", how="left", maintain_order="left")
    )
    return [
        Outlier(
            step=row["step"],
            period=round(row["period"]),
            excess=round(row["period"] - median),
            rank=row["rank"],
            line=Line(row["line"]),
            growth=round(row["growth"]),
            call=row["call"],
            lost_at_call=round(row["lost"] or 0),
        )
        for row in rows.sort(["period", "step"], descending=[True, False]).iter_rows(named=True)
        if row["period"] > median and row["line"] is not None
    ]


def _growth(steady: pl.DataFrame) -> pl.DataFrame:
    """step, rank, line, growth: for each step the largest growth of a line over its rank's median."""
    long = steady.select("step", "rank", *(pl.col(line.column).alias(line) for line in _LINES)).unpivot(
        index=["step", "rank"], variable_name="line", value_name="ns"
    )
    grown = long.drop_nulls("ns").with_columns(growth=pl.col("ns") - pl.median("ns").over("rank", "line"))
    return (
        grown.sort(["growth", "rank", "line"], descending=[True, False, False])
        .unique("step", keep="first", maintain_order=True)
        .select("step", "rank", "line", "growth")
    )


def _lost(late: pl.DataFrame) -> pl.DataFrame:
    """step, call, lost: for each step the collective with most time caused at it beyond its own median."""
    beyond = late.with_columns(lost=pl.col("caused") - pl.median("caused").over("family", "call"))
    return (
        beyond.filter(pl.col("lost") > 0)
        .sort(["lost", "call"], descending=[True, False])
        .unique("step", keep="first", maintain_order=True)
        .select("step", "call", "lost")
    )
