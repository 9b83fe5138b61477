"""What a step would take without skew, with the wire at its floor, without late hosts: closed forms.

DEFINITIONS.md, section 10.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.metrics.arrival import MATCHED
from nsysan.metrics.gaps import BETWEEN_STEPS, HOST_LATE, UNKNOWN
from nsysan.model import classes

#: What calls have in common that share a floor.
KEY = ["name", "message_bytes", "members"]
#: The floor is this quantile of the shortest residency over the ranks, for one kernel, size and rank count.
FLOOR_QUANTILE = 0.05
#: With a larger share of the period idle for an unknown cause, what late hosts cost is not known either.
MAX_UNKNOWN = 0.01


@dataclass(frozen=True)
class WhatIf:
    """Periods in ns: as measured, and with each loss taken away. None where it cannot be told."""

    period: int
    no_skew: int | None
    floor_wire: int | None
    no_host_late: int | None
    all: int | None


def shortest_calls(collectives: pl.DataFrame, steps: list[int]) -> pl.DataFrame:
    """name, message_bytes, members, family, step, call, shortest: the least residency over the ranks (ns).

    Of matched calls. It needs no common clock, and no rank's waiting for the last one is in it.
    """
    matched = collectives.filter((pl.col("verdict") == MATCHED) & pl.col("step").is_in(steps))
    return matched.group_by(*KEY, "family", "step", "call").agg(shortest=(pl.col("end") - pl.col("begin")).min())


def floors(collectives: pl.DataFrame, steps: list[int]) -> pl.DataFrame:
    """name, message_bytes, members, floor: the least that such a call takes in this trace (ns).

    And typical: what its median call takes, by the same measure. The wire of a rank that leaves a call before the
    others may be less than either, since the call is not over then.
    """
    length = pl.col("shortest")
    return (
        shortest_calls(collectives, steps)
        .group_by(KEY)
        .agg(
            floor=length.quantile(FLOOR_QUANTILE, "higher").cast(pl.Int64),
            typical=length.quantile(0.5, "higher").cast(pl.Int64),
        )
    )


def what_if(ledger: pl.DataFrame, collectives: pl.DataFrame, gaps: pl.DataFrame) -> WhatIf | None:
    """Medians over the steady steps; None where there is no steady step.

    A rank's own time is its period less its waiting, but for that of sends and receives: what waits for data is a
    pipeline, not skew. Without skew every rank would take what the others take: the median own time over all ranks
    but the slowest of the step. The wire at its floor takes each call's excess over its floor out of the exposed
    wire. Without late hosts, idle time that began before the launch call that ended it, within a step or between
    two, goes from each rank's own time, and the slowest of those paces the step.
    """
    steady = ledger.filter(pl.col("steady"))
    if steady.is_empty():
        return None
    period = round(steady.group_by("rank").agg(pl.median("period_ns"))["period_ns"].median() or 0)  # type: ignore[arg-type]
    if steady["period_ns"].is_null().any() or steady["graph_ns"].sum() > 0:
        return WhatIf(period, None, None, None, None)
    per_step = losses_by_step(ledger, collectives, gaps)
    splits = steady["wait_ns"].is_not_null().any()
    saving = {name: round(per_step[name].median() or 0) for name in ("skew", "wire", "host", "all")}  # type: ignore[arg-type]
    communicates = steady["comm_ns"].sum() > 0
    told = splits or not communicates
    if not told:
        return WhatIf(period, None, None, None, None)
    each = {name: period - ns for name, ns in saving.items()}
    host_told = (per_step["unknown"].median() or 0) <= MAX_UNKNOWN * period  # type: ignore[operator]
    return WhatIf(
        period=period,
        no_skew=each["skew"],
        floor_wire=each["wire"],
        no_host_late=each["host"] if host_told else None,
        # Medians of differences need not agree: less is never lost by taking more away.
        all=min(each.values()) if host_told else None,
    )


def losses_by_step(ledger: pl.DataFrame, collectives: pl.DataFrame, gaps: pl.DataFrame) -> pl.DataFrame:
    """step, period, skew, wire, host, all: the step's period, and the ns of it that each loss and all three take.

    And unknown: the most that a rank idles for want of something launched, with no launch call to tell whether the
    host was late. Of the steady steps; `what_if` says what the losses are.
    """
    steady = ledger.filter(pl.col("steady"))
    steps = steady["step"].unique().to_list()
    by_host = pl.col("host") & pl.col("cause").is_in([HOST_LATE, BETWEEN_STEPS])
    host_late = gaps.filter(by_host).group_by("step", "rank").agg(host_late=pl.sum("ns"))
    may_be_host = pl.col("host").is_null() & pl.col("cause").is_in([UNKNOWN, BETWEEN_STEPS])
    unknown = gaps.filter(may_be_host).group_by("step", "rank").agg(unknown=pl.sum("ns"))
    rows = steady
    for found in (host_late, unknown, _wire_excess(collectives, steps), _pipeline_wait(collectives, steps)):
        rows = rows.join(found, on=["step", "rank"], how="left")
    # Where a send or receive waits beside compute or a collective its wait counts in full: skew is rather less.
    skewed = (pl.col("wait_ns").fill_null(0) - pl.col("pipeline")).clip(lower_bound=0)
    rows = (
        rows.with_columns(pl.col("host_late", "unknown", "excess", "pipeline").fill_null(0))
        .with_columns(own=pl.col("period_ns") - skewed)
        .with_columns(
            eager=pl.col("own") - pl.col("host_late"),
            saved=pl.min_horizontal("excess", pl.col("wire_ns").fill_null(0) + pl.col("fused_ns").fill_null(0)),
        )
    )
    return rows.group_by("step").agg(
        period=pl.median("period_ns"),
        skew=pl.median("period_ns") - _of_the_others(pl.col("own")),
        wire=pl.median("saved"),
        host=pl.max("own") - pl.max("eager"),
        unknown=pl.max("unknown"),
        all=pl.median("period_ns") - _of_the_others(pl.col("eager") - pl.col("saved")),
    )


def _of_the_others(ns: pl.Expr) -> pl.Expr:
    """The median over the ranks of a step but the slowest."""
    return ns.sort().head(pl.max_horizontal(pl.len() - 1, 1)).median()


def _pipeline_wait(collectives: pl.DataFrame, steps: list[int]) -> pl.DataFrame:
    """step, rank, pipeline: ns that sends and receives wait for their other side."""
    matched = collectives.filter((pl.col("verdict") == MATCHED) & pl.col("step").is_in(steps))
    return matched.filter(pl.col("cls") == classes.P2P).group_by("step", "rank").agg(pipeline=pl.sum("wait"))


def _wire_excess(collectives: pl.DataFrame, steps: list[int]) -> pl.DataFrame:
    """step, rank, excess: ns by which the rank's calls exceed their floors; one that beats its floor has none."""
    lengths = shortest_calls(collectives, steps).join(floors(collectives, steps), on=KEY, nulls_equal=True)
    over = lengths.select("family", "step", "call", over=(pl.col("shortest") - pl.col("floor")).clip(lower_bound=0))
    calls = collectives.filter(pl.col("verdict") == MATCHED).join(over, on=["family", "step", "call"])
    return calls.group_by("step", "rank").agg(excess=pl.sum("over"))
