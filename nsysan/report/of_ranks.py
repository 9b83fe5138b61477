"""A report that shows some of its ranks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.evidence import Aspect
from nsysan.report.recorded_steps import RecordedStep
from nsysan.report.replica import Replica
from nsysan.report.report import Report
from nsysan.report.timeline import Timeline
from nsysan.text import numbered


def of_ranks(report: Report, ranks: Collection[int]) -> Report:
    """The report with the tables and timelines of these ranks alone; NsysanError if one is not there.

    What is told of all ranks (verdict, who is late, medians over ranks, collectives) stays: a rank's waiting cannot be
    told without the ranks that it waits for.
    """
    unknown = set(ranks) - {rank.rank for rank in report.ranks}
    if unknown:
        there = ", ".join(str(rank.rank) for rank in report.ranks)
        asked = ", ".join(map(str, sorted(unknown)))
        other = f" in replica {report.replica} (--replica N shows another)" if len(report.replicas) > 1 else " here"
        raise NsysanError(f"--ranks: no rank {asked}{other}; there are {there}", ExitCode.NOTHING_TO_ANALYSE)
    own = pl.col("rank").is_in(sorted(ranks))
    shown = f"{numbered('rank', sorted(ranks))} of {len(report.ranks)} shown, as asked for"
    return replace(
        report,
        steps=replace(report.steps, notes=[*report.steps.notes, shown]),
        quality=[replace(q, reason=f"{q.reason}; {shown}") if q.id == Aspect.STEPS else q for q in report.quality],
        ranks=[rank for rank in report.ranks if rank.rank in ranks],
        per_step=report.per_step.filter(own),
        per_rank=report.per_rank.filter(own),
        diagnosis=_diagnosis(report.diagnosis, ranks, own),
        timelines=[_timeline(timeline, ranks, own) for timeline in report.timelines],
        counters=[counter for counter in report.counters if counter.rank in ranks],
        counter_lanes=[lanes.filter(own) for lanes in report.counter_lanes],
        replicas=[_replica(one, ranks, own) if one.id == report.replica else one for one in report.replicas],
    )


def _replica(replica: Replica, ranks: Collection[int], own: pl.Expr) -> Replica:
    return replace(
        replica,
        ranks=[rank for rank in replica.ranks if rank.rank in ranks],
        per_step=replica.per_step.filter(own),
        per_rank=replica.per_rank.filter(own),
        diagnosis=_diagnosis(replica.diagnosis, ranks, own),
    )


def _diagnosis(diagnosis: Diagnosis, ranks: Collection[int], own: pl.Expr) -> Diagnosis:
    spreads = [spread for spread in diagnosis.spreads if spread.rank in ranks]
    without = diagnosis.untraced
    if without is not None:
        without = replace(without, per_rank=without.per_rank.filter(own))
    return replace(
        diagnosis,
        gaps=diagnosis.gaps.filter(own),
        caused=diagnosis.caused.filter(own),
        spreads=spreads,
        untraced=without,
    )


def _timeline(timeline: Timeline, ranks: Collection[int], own: pl.Expr) -> Timeline:
    arrivals = timeline.arrivals.filter(own)
    held = timeline.held
    if isinstance(held, RecordedStep):
        return replace(timeline, held=held.of_ranks(ranks), arrivals=arrivals)
    drawn = timeline.drawn
    shown = drawn.where(drawn.of_lanes(drawn.lanes.select(own)["rank"]))
    total = timeline.total - (len(drawn) - len(shown))
    cells = None if timeline.cells is None else timeline.cells.filter(own)
    return replace(timeline, held=shown, arrivals=arrivals, total=total, cells=cells)
