"""From a run to its diagnosis: who is late, why GPUs idle, what could be saved, the verdict.

DEFINITIONS.md, section 7.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from nsysan.diagnosis.diagnosis import MAX_REJECTED, Diagnosis, OtherKind, RankSpread
from nsysan.diagnosis.evidence import Aspect, Status
from nsysan.diagnosis.latecomers import late_as_one, late_ranks, straggler_of
from nsysan.diagnosis.losses import losses_of
from nsysan.diagnosis.os_told import os_traced
from nsysan.diagnosis.paced import Pacing, pacing
from nsysan.diagnosis.path_told import in_graphs
from nsysan.diagnosis.pipelines import find_bubble
from nsysan.diagnosis.quality import assess
from nsysan.diagnosis.savings import path_of, savings
from nsysan.diagnosis.scope import cover, part_words, rest_words, too_little
from nsysan.diagnosis.sureness import weighed
from nsysan.diagnosis.verdict import Paced, judge, named_for, of_what
from nsysan.diagnosis.workload import workload_of
from nsysan.metrics.gaps import gap_medians
from nsysan.metrics.outliers import slow_steps, slowest_steps
from nsysan.metrics.percentiles import percentiles
from nsysan.metrics.skew import arrivals, caused_by_step
from nsysan.metrics.tail import humps, tail_rows
from nsysan.model.classes import WorkClass
from nsysan.model.matches import Match
from nsysan.run.all_decode import summed_over
from nsysan.run.other_steps import other_kinds
from nsysan.run.run import Run
from nsysan.timings import stage

#: What who is late is told by, of the many columns of calls.
_OF_CALL = ("row", "rank", "family", "step", "call", "number", "cls", "begin", "end", "last", "wait", "wire")
_OF_ARRIVAL = ("position", "ranks", "lateness", "caused")
#: And what waits and transfers of a rank are.
_OF_SPREAD = ("rank", "step", "wait", "wire", "position", "ranks")


@stage("diagnose")
def diagnose(run: Run, pace_of: Pacing | None = None) -> Diagnosis:
    """The diagnosis of a run, from its steady steps.

    pace_of: what a replay tells of it, where that is begun, or of its step without nsys, of which verdict, path, late
    ranks and savings are then; OutOfRange where the step cannot take that.
    """
    every, told = pace_of or pacing(run, None)
    rejected = float((run.collectives["verdict"] == Match.REJECTED).mean() or 0.0)  # type: ignore[arg-type]
    arrived = arrivals(run.collectives)
    # Who waits for data, or for another stage, depends on who works on it: that is the pipeline, not skew.
    # Nor does anybody wait for who comes after a root has given its data away.
    met = pl.n_unique("last").over("family", "step", "call") == 1
    calls = arrived.select(*_OF_CALL, *_OF_ARRIVAL)
    meeting = calls.filter((pl.col("cls") != WorkClass.P2P) & met & _within_a_stage(run))
    medians = gap_medians(run.gaps, run.ledger)
    bubble = find_bubble(run)
    slow = slow_steps(run.ledger)
    losses, long = losses_of(run, arrived, [step + after for step in slow["step"] for after in (0, 1)])
    periods = run.periods()["period_ns"]
    spreads = _spreads(calls.select(_OF_SPREAD).filter(pl.col("step").is_in(run.steady_steps)))
    caused = caused_by_step(meeting).rename({"caused": "ns"})
    outliers, covered = slowest_steps(slow, losses, run.ledger), cover(every)
    # Of a replay that is under way all is done by now that does not need it.
    pace, without = told()
    what = savings(every, pace, without)
    late = [] if rejected > MAX_REJECTED else late_ranks(every, pace, what, meeting, medians)
    straggler = straggler_of(late, 0 if what is None else what.period)
    workload = workload_of(run.steps.method, run.steps.source, run.names, len(run.windows))
    path, turns = path_of(pace, what), 0 if pace is None or what is None or what.why else pace.rotation
    seen = Paced(path, late, turns, in_graphs(medians), os_traced(run, pace), pace is not None and pace.unlike)
    verdict = judge(every.ledger, what, seen, run.missing_peers, bubble)
    little = too_little(every, covered)
    if covered is not None and not (covered.is_half and not little):
        verdict = of_what(verdict, part_words(every, covered), rest_words(covered), too_little=little)
    found = Diagnosis(
        straggler=straggler,
        gaps=medians,
        what_if=what,
        verdict=named_for(workload, verdict),
        coverage=covered,
        outliers=outliers,
        tail=tail_rows(losses.filter(pl.col("step").is_in(long)), periods),
        humps=humps(periods),
        spreads=spreads,
        caused=caused,
        arrived=arrived,
        rejected=rejected,
        hotspot=next((one.where for one in late if straggler is not None and one.ranks == (straggler.rank,)), None),
        bubble=bubble,
        pace=pace,
        late=late,
        late_as_one=late_as_one(late, pace),
        path=path,
        rotation=turns,
        untraced=without,
        summed=summed_over(every),
        headline=next((one.id for one in run.steps.populations), ""),
    )
    quality = assess(run, found)
    untold = any(row.id == Aspect.STRAGGLER and row.status == Status.NOT_MEASURABLE for row in quality)
    others = [] if every.summed else other_kinds(run)
    found = replace(found, verdict=weighed(every, found, quality), late_told=not untold)
    return replace(found, others=[OtherKind(**vars(kind), diagnosis=diagnose(own)) for kind, own in others])


def _within_a_stage(run: Run) -> pl.Expr:
    """Whether all ranks of a call are of one stage."""
    if run.stage_work is None:
        return pl.lit(True)
    stage = pl.col("rank").replace_strict(dict(run.stage_work.stage_of), return_dtype=pl.Int64)
    return stage.n_unique().over("family", "step", "call") == 1


def _spreads(arrived: pl.DataFrame) -> list[RankSpread]:
    found = []
    for (rank,), own in arrived.partition_by("rank", as_dict=True, maintain_order=True).items():
        per_step = own.group_by("step").agg(pl.sum("wait"), pl.sum("wire"))
        wait, wire = percentiles(own["wait"]), percentiles(own["wire"])
        if wait is None or wire is None:
            continue
        found.append(
            RankSpread(
                rank=int(str(rank)),
                wait=wait,
                wire=wire,
                last_share=float(own.select((pl.col("position") == pl.col("ranks")).mean()).item()),
                worst_wait_step=int(per_step.sort(["wait", "step"], descending=[True, False])["step"][0]),
                worst_wire_step=int(per_step.sort(["wire", "step"], descending=[True, False])["step"][0]),
            )
        )
    return sorted(found, key=lambda spread: spread.rank)
