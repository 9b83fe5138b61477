"""What a step would take without skew, with the wire at its floor, without late hosts: closed forms."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.metrics.gaps import BETWEEN_STEPS, HOST_LATE
from nsysan.model.matching import MATCHED

#: The floor is this quantile of the shortest residency over the ranks, for one kernel, size and rank count.
FLOOR_QUANTILE = 0.05


@dataclass(frozen=True)
class WhatIf:
    """Periods in ns: as measured, and with each loss taken away. None where it cannot be told."""

    period: int
    no_skew: int | None
    floor_wire: int | None
    no_host_late: int | None
    all: int | None


def floors(collectives: pl.DataFrame, steady: list[int]) -> pl.DataFrame:
    """name, message_bytes, members, floor: the least that such a call takes in this trace (ns)."""
    key = ["name", "message_bytes", "members"]
    matched = collectives.filter((pl.col("verdict") == MATCHED) & pl.col("step").is_in(steady))
    shortest = matched.group_by(*key, "family", "step", "call").agg(ns=(pl.col("end") - pl.col("begin")).min())
    return shortest.group_by(key).agg(floor=pl.col("ns").quantile(FLOOR_QUANTILE, "higher").cast(pl.Int64))


def what_if(
    ledger: pl.DataFrame, collectives: pl.DataFrame, gaps: pl.DataFrame, straggler: int | None
) -> WhatIf | None:
    """Medians over the steady steps; None where there is no steady step.

    A rank's own time is its period less its waiting. Without skew every rank would take what the others take:
    the median own time over the ranks, the straggler left out. The wire at its floor takes its excess over the
    floors out of the exposed wire. Without late hosts, idle time that began before the launch call that ended
    it, within a step or between two, goes from each rank's own time, and the slowest of those paces the step.
    """
    steady = ledger.filter(pl.col("steady"))
    if steady.is_empty():
        return None
    period = round(steady.group_by("rank").agg(pl.median("period_ns"))["period_ns"].median() or 0)  # type: ignore[arg-type]
    if steady["period_ns"].is_null().any() or steady["graph_ns"].sum() > 0:
        return WhatIf(period, None, None, None, None)
    per_step = losses_by_step(ledger, collectives, gaps, straggler)
    splits = steady["wait_ns"].is_not_null().any()
    saving = {name: round(per_step[name].median() or 0) for name in ("skew", "wire", "host", "all")}  # type: ignore[arg-type]
    communicates = steady["comm_ns"].sum() > 0
    told = splits or not communicates
    if not told:
        return WhatIf(period, None, None, None, None)
    each = {name: period - ns for name, ns in saving.items()}
    return WhatIf(
        period=period,
        no_skew=each["skew"],
        floor_wire=each["wire"],
        no_host_late=each["host"],
        # Medians of differences need not agree: less is never lost by taking more away.
        all=min(each.values()),
    )


def losses_by_step(
    ledger: pl.DataFrame, collectives: pl.DataFrame, gaps: pl.DataFrame, straggler: int | None
) -> pl.DataFrame:
    """step, period, skew, wire, host, all: the step's period, and the ns of it that each loss and all three take.

    Of the steady steps; `what_if` says what the losses are.
    """
    steady = ledger.filter(pl.col("steady"))
    by_host = pl.col("host") & pl.col("cause").is_in([HOST_LATE, BETWEEN_STEPS])
    host_late = gaps.filter(by_host).group_by("step", "rank").agg(host_late=pl.sum("ns"))
    excess = _wire_excess(collectives, steady["step"].unique().to_list())
    rows = (
        steady.join(host_late, on=["step", "rank"], how="left")
        .join(excess, on=["step", "rank"], how="left")
        .with_columns(pl.col("host_late", "excess").fill_null(0))
        .with_columns(own=pl.col("period_ns") - pl.col("wait_ns").fill_null(0))
        .with_columns(
            eager=pl.col("own") - pl.col("host_late"),
            saved=pl.min_horizontal("excess", pl.col("wire_ns").fill_null(0) + pl.col("fused_ns").fill_null(0)),
        )
    )
    typical = pl.col("rank") != (-1 if straggler is None else straggler)
    return rows.group_by("step").agg(
        period=pl.median("period_ns"),
        skew=pl.median("period_ns") - pl.col("own").filter(typical).median(),
        wire=pl.median("saved"),
        host=pl.max("own") - pl.max("eager"),
        all=pl.median("period_ns") - (pl.col("eager") - pl.col("saved")).filter(typical).median(),
    )


def _wire_excess(collectives: pl.DataFrame, steady: list[int]) -> pl.DataFrame:
    """step, rank, excess: ns by which the calls' transfers exceed their floors."""
    key = ["name", "message_bytes", "members"]
    matched = collectives.filter((pl.col("verdict") == MATCHED) & pl.col("step").is_in(steady))
    with_floor = matched.join(floors(collectives, steady), on=key, how="left", nulls_equal=True)
    return with_floor.group_by("step", "rank").agg(
        excess=pl.max_horizontal(pl.col("wire") - pl.col("floor"), pl.lit(0)).sum()
    )
