"""What a step would take without skew, with the wire at its floor, without late hosts: closed forms.

DEFINITIONS.md, section 10.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.metrics.causes import GapCause
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.stages import StageWork, bubbles, waited
from nsysan.model.classes import WorkClass
from nsysan.model.matches import Match

#: What calls have in common that share a floor; place: number in the step, where sizes are not known.
KEY = ["name", "message_bytes", "group", "place"]
#: The floor is this quantile of the wire of such calls.
FLOOR_QUANTILE = 0.05
#: With a larger share of the period idle for an unknown cause, what late hosts cost is not known either.
MAX_UNKNOWN = 0.01
#: Causes of idle time that a late host has, and that one may have of which no launch call tells.
_BY_HOST = [GapCause.HOST_LATE.value, GapCause.BETWEEN_STEPS.value]
_MAYBE_BY_HOST = [GapCause.UNKNOWN.value, GapCause.BETWEEN_STEPS.value]


@dataclass(frozen=True)
class WhatIf:
    """Periods in ns: as measured, and of each scenario. None where it cannot be told.

    no_bubble: of a pipeline whose stages are busy all the time, a bound that takes more batches in flight; None where
    there is no pipeline.
    """

    period: int
    without: dict[Scenario, int | None]
    no_bubble: int | None = None

    def __getitem__(self, scenario: Scenario) -> int | None:
        return self.without[scenario]

    @property
    def told(self) -> list[Scenario]:
        """The scenarios whose period is known."""
        return [scenario for scenario, ns in self.without.items() if ns is not None]

    def saves(self, scenario: Scenario) -> int | None:
        """What a step would save, ns; None where it cannot be told."""
        ns = self[scenario]
        return None if ns is None else self.period - ns


def call_wires(collectives: pl.DataFrame, steps: list[int]) -> pl.DataFrame:
    """KEY, family, step, call, wire: ns from the last arrival at a matched call until it has ended everywhere.

    Of a message the longer of what its send and its receive take once they need not wait.
    """
    matched = collectives.filter((pl.col("verdict") == Match.MATCHED) & pl.col("step").is_in(steps))
    place = pl.when(pl.col("message_bytes").is_null()).then("call").alias("place")
    matched = matched.with_columns(place)
    message = pl.first("cls") == WorkClass.P2P
    wire = pl.when(message).then(pl.max("wire")).otherwise(pl.max("end") - pl.max("last"))
    return matched.group_by(*KEY, "family", "step", "call").agg(wire=wire)


def floors(wires: pl.DataFrame) -> pl.DataFrame:
    """KEY, floor: the least that such a call takes in this trace (ns). wires: as call_wires gives them."""
    return wires.group_by(KEY).agg(floor=pl.col("wire").quantile(FLOOR_QUANTILE, "higher").cast(pl.Int64))


def least(wires: pl.Series) -> int:
    """The floor of these calls, whatever their place."""
    return int(wires.quantile(FLOOR_QUANTILE, "higher") or 0)


def over_floors(wires: pl.DataFrame) -> pl.DataFrame:
    """The calls with `floor` and `over`: ns beyond it, 0 for one that beats it."""
    return wires.join(floors(wires), on=KEY, nulls_equal=True).with_columns(
        over=(pl.col("wire") - pl.col("floor")).clip(lower_bound=0)
    )


def what_if(
    ledger: pl.DataFrame, collectives: pl.DataFrame, gaps: pl.DataFrame, stages: StageWork | None = None
) -> WhatIf | None:
    """Medians over the steady steps; None where there is no steady step.

    A rank's own time is its period less its waiting, but for that of sends and receives: what waits for data is a
    pipeline, not skew. Without skew every rank would take what the others take: the median own time over all ranks
    but the slowest of the step. The wire at its floor takes each call's excess over its floor out of the exposed
    wire. Without late hosts, idle time that began before the launch call that ended it, within a step or between
    two, goes from each rank's own time, and the slowest of those paces the step.

    stages: of a pipeline. What waits for a stage is no skew; each stage is compared with itself.
    """
    steady = ledger.filter(pl.col("steady"))
    if steady.is_empty():
        return None
    period = round(steady.group_by("rank").agg(pl.median("period_ns"))["period_ns"].median() or 0)  # type: ignore[arg-type]
    if steady["period_ns"].is_null().any() or steady["graph_ns"].sum() > 0:
        return WhatIf(period, dict.fromkeys(Scenario))
    per_step = losses_by_step(ledger, collectives, gaps, stages)
    splits = steady["wait_ns"].is_not_null().any()
    communicates = steady["comm_ns"].sum() > 0
    if communicates and not splits:
        return WhatIf(period, dict.fromkeys(Scenario))
    without: dict[Scenario, int | None] = {
        scenario: period - round(per_step[scenario].median() or 0)  # type: ignore[arg-type]
        for scenario in Scenario
    }
    # Medians of differences need not agree: less is never lost by taking more away.
    without[Scenario.ALL] = min(ns for ns in without.values() if ns is not None)
    if (per_step["unknown"].median() or 0) > MAX_UNKNOWN * period:  # type: ignore[operator]
        without |= dict.fromkeys((Scenario.NO_HOST_LATE, Scenario.ALL))
    bubble = None if stages is None else per_step["bubble"].median()
    return WhatIf(period, without, None if bubble is None else period - round(bubble))  # type: ignore[arg-type]


def losses_by_step(
    ledger: pl.DataFrame, collectives: pl.DataFrame, gaps: pl.DataFrame, stages: StageWork | None = None
) -> pl.DataFrame:
    """step, period, and a column a scenario: the step's period, and the ns of it that the scenario takes away.

    And unknown: the most that a rank idles for want of something launched, with no launch call to tell whether the
    host was late. Of the steady steps; `what_if` says what the losses are.
    """
    steady = ledger.filter(pl.col("steady"))
    steps = steady["step"].unique().to_list()
    by_host = pl.col("host") & pl.col("cause").is_in(_BY_HOST)
    host_late = gaps.filter(by_host).group_by("step", "rank").agg(host_late=pl.sum("ns"))
    may_be_host = pl.col("host").is_null() & pl.col("cause").is_in(_MAYBE_BY_HOST)
    unknown = gaps.filter(may_be_host).group_by("step", "rank").agg(unknown=pl.sum("ns"))
    rows = steady
    waiting = _sent_wait(collectives, steps) if stages is None else _stage_wait(steady, stages)
    for found in (host_late, unknown, _wire_excess(collectives, steps), waiting):
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
    lost = rows.group_by("step").agg(
        pl.median("period_ns").alias("period"),
        pl.max("unknown"),
        (pl.median("period_ns") - _of_the_others(pl.col("own"))).alias(Scenario.NO_SKEW),
        pl.median("saved").alias(Scenario.FLOOR_WIRE),
        (pl.max("own") - pl.max("eager")).alias(Scenario.NO_HOST_LATE),
        (pl.median("period_ns") - _of_the_others(pl.col("eager") - pl.col("saved"))).alias(Scenario.ALL),
    )
    if stages is None:
        return lost
    own = bubbles(ledger, stages, gaps).select("step", "rank", "bubble")
    return _of_stages(lost, rows.join(own, on=["step", "rank"]), stages)


def _of_stages(lost: pl.DataFrame, rows: pl.DataFrame, work: StageWork) -> pl.DataFrame:
    """The losses of a pipeline: what its stages lose by skew one after the other, and `bubble`, what that costs.

    Of one batch in flight each stage's loss is the step's. Where several are, the busiest stage paces the step. All at
    once is as much as the largest of them: what is lost in one stage may be hidden behind another.
    """
    stage = pl.col("rank").replace_strict(dict(work.stage_of), return_dtype=pl.Int64).alias("stage")
    per_stage = rows.with_columns(stage, busy=pl.col("period_ns") - pl.col("bubble")).group_by("step", "stage")
    stages = per_stage.agg(
        slack=pl.median("period_ns") - _of_the_others(pl.col("own")),
        busy=pl.max("busy"),
        lean=_of_the_others(pl.col("own") - pl.col("bubble")),
    )
    in_turn = pl.col("slack").clip(lower_bound=0).sum()
    skew = in_turn if work.at_once(rows) == 1 else (pl.max("busy") - pl.max("lean")).clip(lower_bound=0)
    per_step = stages.group_by("step").agg(skew.cast(pl.Float64).alias(Scenario.NO_SKEW), pl.max("busy"))
    lost = lost.drop(Scenario.NO_SKEW).join(per_step, on="step")
    parts = (Scenario.NO_SKEW, Scenario.FLOOR_WIRE, Scenario.NO_HOST_LATE)
    together = pl.max_horizontal(*parts).alias(Scenario.ALL)
    return lost.with_columns(together, bubble=pl.col("period") - pl.col("busy")).drop("busy")


def _of_the_others(ns: pl.Expr) -> pl.Expr:
    """The median over the ranks of a step but the slowest."""
    return ns.sort().head(pl.max_horizontal(pl.len() - 1, 1)).median()


def _stage_wait(steady: pl.DataFrame, stages: StageWork) -> pl.DataFrame:
    """step, rank, pipeline: ns of the line wait at calls between stages, for the other stage to come and to send."""
    moved = waited(steady, stages.transfers, "moved")
    both = waited(steady, stages.waits).join(moved, on=["step", "rank"])
    return both.select("step", "rank", pipeline=pl.col("pipeline") + pl.col("moved"))


def _sent_wait(collectives: pl.DataFrame, steps: list[int]) -> pl.DataFrame:
    """step, rank, pipeline: ns that sends and receives wait for their other side."""
    matched = collectives.filter((pl.col("verdict") == Match.MATCHED) & pl.col("step").is_in(steps))
    return matched.filter(pl.col("cls") == WorkClass.P2P).group_by("step", "rank").agg(pipeline=pl.sum("wait"))


def _wire_excess(collectives: pl.DataFrame, steps: list[int]) -> pl.DataFrame:
    """step, rank, excess: ns by which the rank's calls exceed their floors; one that beats its floor has none."""
    over = over_floors(call_wires(collectives, steps)).select("family", "step", "call", "over")
    calls = collectives.filter(pl.col("verdict") == Match.MATCHED).join(over, on=["family", "step", "call"])
    return calls.group_by("step", "rank").agg(excess=pl.sum("over"))
