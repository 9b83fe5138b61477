"""One side of a comparison: its report, and each figure with its value in every steady step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.compare.comparison import F64, ComparedRun, Measured
from nsysan.compare.kernel_figures import kernel_figures
from nsysan.compare.modelled import modelled
from nsysan.compare.step_work import step_work
from nsysan.diagnosis.caused import caused_by
from nsysan.diagnosis.evidence import Aspect, Status
from nsysan.diagnosis.savings import REPLAYED
from nsysan.light.stated import Model
from nsysan.metrics.ledger import FIGURES
from nsysan.metrics.scenarios import Scenario
from nsysan.model.matches import Match
from nsysan.model.steps.step_kind import StepKind, StepMethod
from nsysan.report.build import build_report
from nsysan.report.report import Report
from nsysan.run.all_decode import of_one_population
from nsysan.run.batches import mean_of, sequences_of
from nsysan.run.other_steps import headed_by
from nsysan.run.run import Run
from nsysan.text import counted

_NOTHING: F64 = np.zeros(0)


#: Populations beside the headline that a side may be compared by.
_OTHERS = 4


def compared_runs(
    label: str,
    run: Run,
    version: str,
    batch: int | None = None,
    *,
    predicting: bool = False,
    model: Model | None = None,
) -> list[ComparedRun]:
    """A side from its run by its headline, and by each other kind of decode step that ranges name, for likeness.

    batch: sequences of the headline, by default as the trace has it, else 1. predicting: with what a
    prediction starts from; model: that from one side alone. NsysanError where there is no steady decode step in it.
    """
    head = compared_run(label, run, version, batch, predicting=predicting, model=model)
    own = run.replicas[head.report.replica]
    keys = {head.population_key}
    found = [head]
    for row in head.report.replicas[head.report.replica].populations[1:]:
        if row.batch is not None and row.kind == StepKind.DECODE and row.steady and (row.kind, row.batch) not in keys:
            keys.add((row.kind, row.batch))
            other = headed_by(own, row.id)
            found.append(compared_run(label, other, version, batch, predicting=predicting, model=model))
        if len(found) > _OTHERS:
            break
    return found


def compared_run(
    label: str,
    run: Run,
    version: str,
    batch: int | None = None,
    *,
    predicting: bool = False,
    model: Model | None = None,
) -> ComparedRun:
    """A side from its run by its headline; see compared_runs."""
    run = of_one_population(run)
    report = build_report(run, version, timelines=False)
    others = [own for number, own in enumerate(run.replicas) if number != report.replica]
    run = run.replicas[report.replica]
    replica = report.replicas[report.replica]
    name = ", ".join(source.name for source in report.inputs)
    why = None
    if run.steps.method == StepMethod.WINDOW:
        why = "no decode steps found in it; mark them with NVTX ranges, and name those with --steps"
    elif not report.steps.steady or not report.headline["period_ns"]:
        found = counted(report.steps.count, "step")
        why = f"none of the {found} by {report.steps.source} in it is a steady decode step"
    if why is not None:
        raise NsysanError(f"{name}: nothing to compare: {why}", ExitCode.NOTHING_TO_ANALYSE)
    steady = run.ledger.filter(pl.col("steady"))
    figures = {f"ledger.{figure.removesuffix('_ns')}": _figure(steady, figure) for figure in FIGURES}
    transfer = steady.with_columns(ns=pl.col("wire_ns") + pl.col("fused_ns"))
    figures["throughput.mean"] = _mean(run)
    figures["ledger.transfer"] = _figure(transfer, "ns")
    figures["skew.caused"] = _caused(report, steady)
    figures.update(_idle(run.gaps, steady))
    figures.update(_what_if(report))
    groups, kernels, of_ranks = kernel_figures(run, steady)
    for other in others:
        # A rank that stands out on one side may be in a replica that is not compared on another.
        of_ranks |= kernel_figures(other, other.ledger.filter(pl.col("steady")))[2]
    figures.update(groups)
    told, calls = batch or replica.populations[0].batch, _calls(run)
    work = step_work(run, report.diagnosis.pace) if predicting else None
    own = None if work is None or model is None else modelled(run, work, calls, model, told or 1, assumed=not told)
    return ComparedRun(
        label=label,
        name=name,
        report=report,
        batch=told or 1,
        ranks=_ranks(report),
        figures=figures,
        calls=calls,
        work=_work(run),
        calls_a_step=_calls_a_step(run, replica.layout.stages),
        kernels=kernels,
        kernels_of_ranks=of_ranks,
        batch_stated=batch is not None,
        of_batches=mean_of(sequences_of(run) or {}, run.whole(steady.select("step").unique())["step"]),
        work_of_step=work,
        by_model=own,
    )


def _ranks(report: Report) -> int:
    """Ranks that decode together, those that no trace shows too."""
    own = {rank.rank for rank in report.ranks}
    return max(len(own), *(group.size for group in report.groups if own & set(group.ranks)), 0)


def _mean(run: Run) -> Measured:
    """The mean period of the steady steps, each as its median over the ranks."""
    periods = run.periods()["period_ns"]
    return Measured(float(periods.mean() or 0), periods.to_numpy())  # type: ignore[arg-type]


def _work(run: Run) -> dict[str, float]:
    """How often each compute kernel runs in a step, median over the ranks."""
    usual = run.usual_compute(run.steady_steps)
    return dict(usual.group_by("name").agg(pl.median("calls")).filter(pl.col("calls") > 0).sort("name").iter_rows())


def _calls_a_step(run: Run, stages: Sequence[Sequence[int]]) -> dict[str, float]:
    """Communication of a step by kind: of a rank of each pipeline stage, median, summed over the stages."""
    calls = run.collectives.filter(pl.col("step").is_in(run.steady_steps))
    counted_ = calls.group_by("kind", "step", "rank").len().group_by("kind", "rank").agg(pl.median("len"))
    stage_of = {rank: number for number, stage in enumerate(stages) for rank in stage}
    staged = counted_.with_columns(stage=pl.col("rank").replace_strict(stage_of, default=0))
    sums = staged.group_by("kind", "stage").agg(pl.median("len")).group_by("kind").agg(pl.sum("len"))
    return dict(sums.drop_nulls("kind").sort("kind").iter_rows())


def _figure(steady: pl.DataFrame, figure: str) -> Measured:
    return Measured.over_ranks(steady.select("step", "rank", figure), figure)


def _caused(report: Report, steady: pl.DataFrame) -> Measured:
    """What the late ranks put right together save a step."""
    found, pace = caused_by(report.diagnosis), report.diagnosis.pace
    if found is None or (not found.saves and not _nobody_is_late(report)):
        return Measured(None, _NOTHING)
    if pace is None or not found.saves:
        return Measured(0.0, np.zeros(steady["step"].n_unique()))
    right = "late" if found.ranks else REPLAYED[Scenario.NO_SKEW]
    return Measured(float(found.saves), _by_step(pace.per_step, "measured") - _by_step(pace.per_step, right))


def _nobody_is_late(report: Report) -> bool:
    """Whether nobody being named says so."""
    return any(row.id == Aspect.STRAGGLER and row.status == Status.OK for row in report.quality)


def _idle(gaps: pl.DataFrame, steady: pl.DataFrame) -> dict[str, Measured]:
    summed = gaps.group_by("step", "rank", "cause").agg(pl.sum("ns")).with_columns(pl.col("cause").cast(pl.String))
    found = {}
    for cause in summed["cause"].unique().sort():
        own = summed.filter(pl.col("cause") == cause)
        filled = steady.select("step", "rank").join(own, on=["step", "rank"], how="left")
        found[f"idle.{cause}"] = Measured.over_ranks(filled.with_columns(pl.col("ns").fill_null(0)), "ns")
    return found


def _what_if(report: Report) -> dict[str, Measured]:
    what = report.diagnosis.what_if
    if what is None or not what.told:
        return {}
    found = {
        scenario: _by_step(report.diagnosis.pace.per_step, REPLAYED[scenario])
        for scenario in what.told
        if scenario in REPLAYED and report.diagnosis.pace is not None
    }
    return {f"whatif.{scenario}": Measured(what[scenario], steps) for scenario, steps in found.items()}


def _by_step(per_step: pl.DataFrame, name: str) -> F64:
    """What each step that was replayed would take, ns; where the trace allows two answers, that which saves less."""
    names = [column for column in (name, f"{name} unordered") if column in per_step.columns]
    # Stages that do not wait for each other have periods of their own.
    whole = pl.max(*names) if name == REPLAYED[Scenario.NO_BUBBLE] else pl.median(*names)
    steps = per_step.group_by("stretch", "step").agg(whole).sort("stretch", "step")
    return steps.select(pl.max_horizontal(names)).to_series().to_numpy()


def _calls(run: Run) -> pl.DataFrame:
    calls = run.collectives.filter(pl.col("step").is_in(run.steady_steps))
    matched = pl.col("verdict") == Match.MATCHED
    # That of the call, not what is left of it on this rank.
    wire = (pl.max("end") - pl.max("last")).over("family", "step", "call")
    return calls.select(
        "step",
        "rank",
        pl.coalesce("kind", "cls").alias("kind"),
        "message_bytes",
        "members",
        "name",
        wire=pl.when(matched).then(wire),
    )


def letters(count: int) -> Iterable[str]:
    """Labels of the sides: A, B, C ..."""
    return (chr(ord("A") + number) for number in range(count))
