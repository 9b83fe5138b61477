"""From an analysed run to the Report: plain data that every renderer shares and none changes."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan import progress
from nsysan.diagnosis.collectives import CollectiveFamily, find_families, find_link, with_peaks
from nsysan.diagnosis.diagnosis import Diagnosis, diagnose
from nsysan.diagnosis.expectation import Compared, Expectation, compare_with, fill_bytes
from nsysan.diagnosis.findings import Finding, find
from nsysan.diagnosis.lookalikes import Lookalike, find_lookalikes
from nsysan.diagnosis.quality import Quality, assess
from nsysan.diagnosis.quality_export import assess_export
from nsysan.diagnosis.quality_wire import assess_counters, assess_wire
from nsysan.metrics.counters import OF_CALLS, Counter, summarise
from nsysan.metrics.ledger import FIGURES, IDLE, LINES
from nsysan.metrics.link import Link
from nsysan.model import classes
from nsysan.model.ranks import Rank
from nsysan.report.timeline import Timeline, build_timelines, counter_lanes, lanes_in_order
from nsysan.run.placed import PlacedTrace
from nsysan.run.run import Run
from nsysan.run.samples import samples_of


@dataclass(frozen=True)
class Input:
    """One export that was read."""

    name: str
    nsys_version: str | None
    schema_version: str | None
    graph_trace: str


@dataclass(frozen=True)
class StepsSummary:
    """How steps were found and which of them count; excluded maps a step to its reason."""

    method: str
    source: str
    count: int
    steady: list[int]
    excluded: dict[int, str]
    labels: dict[int, str]
    notes: list[str]


@dataclass(frozen=True)
class Report:
    """Everything a report shows. Frames hold ns.

    per_step: the ledger (see metrics.ledger.build_ledger). per_rank: rank and the median of each figure over the
    steady steps, null where no steady step has it. headline: the median of per_rank over the ranks.
    left_out: names of reports that could not be read (the quality row `reports` says why).
    size: ranks of the largest communicator, None where the trace does not tell. expectation: what the user states
    of the model, beside the measured. findings: most severe first.
    counters: empty where no GPU metrics were captured. counter_lanes: one frame a timeline (see
    timeline.counter_lanes), none without GPU metrics.
    """

    version: str
    inputs: list[Input]
    left_out: list[str]
    ranks: list[Rank]
    size: int | None
    steps: StepsSummary
    per_step: pl.DataFrame
    per_rank: pl.DataFrame
    headline: dict[str, int | None]
    collectives: list[CollectiveFamily]
    link: Link
    lookalikes: list[Lookalike]
    diagnosis: Diagnosis
    expectation: Compared | None
    findings: list[Finding]
    timelines: list[Timeline]
    quality: list[Quality]
    counters: list[Counter]
    counter_lanes: list[pl.DataFrame]


def build_report(
    run: Run,
    version: str,
    expected: Expectation | None = None,
    *,
    link_gbps: float | None = None,
    timelines: bool = True,
) -> Report:
    """The Report of a run.

    expected: gives message sizes where the trace does not, and is held against the rest. link_gbps: peak of the
    link between the GPUs, in place of the table's. timelines: whether it is to show single steps.
    """
    progress.stage("accounting for every nanosecond")
    compared = compare_with(run, expected)
    run = fill_bytes(run, expected)
    per_rank = _medians(run.ledger)
    diagnosis = diagnose(run)
    families = find_families(run)
    link = find_link(run, families, link_gbps)
    drawn = build_timelines(run, diagnosis) if timelines else []
    quality = assess(run, diagnosis, compared) + assess_export(run) + assess_wire(families, link)
    counters, lanes = _counters(run, drawn)
    if lanes is not None:
        quality.append(assess_counters(run, counters))
    return Report(
        version=version,
        inputs=[Input(t.name, t.nsys_version, t.schema_version, t.graph_mode) for t in run.metadata],
        left_out=[failure.name for failure in run.failures],
        ranks=run.ranks,
        size=run.size,
        steps=_steps(run),
        per_step=run.ledger,
        per_rank=per_rank,
        headline={name: _rounded(per_rank[name].median()) for name in FIGURES},
        collectives=with_peaks(families, link.peak_gbps),
        link=link,
        lookalikes=find_lookalikes(run),
        diagnosis=diagnosis,
        expectation=compared,
        findings=find(run, diagnosis, compared, link),
        timelines=drawn,
        quality=quality,
        counters=counters,
        counter_lanes=lanes or [],
    )


def visible_lines(report: Report) -> list[str]:
    """The ledger lines that some rank has, in ledger order; idle always."""
    present = [line for line in LINES if (report.per_rank[f"{line}_ns"].fill_null(0) > 0).any()]
    return [*present, IDLE]


def _rounded(value: object) -> int | None:
    return round(value) if isinstance(value, int | float) else None


def _medians(ledger: pl.DataFrame) -> pl.DataFrame:
    figures = [*FIGURES, "collectives"]
    steady = ledger.filter(pl.col("steady"))
    return (
        steady.group_by("rank")
        .agg(pl.col(figures).median().round().cast(pl.Int64))
        .sort("rank")
        .select("rank", *figures)
    )


def _counters(run: Run, timelines: list[Timeline]) -> tuple[list[Counter], list[pl.DataFrame] | None]:
    """The counters of all ranks, and their lanes in each timeline, None where none were captured."""
    spans = [(timeline.origin, timeline.finish) for timeline in timelines]
    found = [own for own in run.ask(counters_of, spans) if own is not None]
    if not found:
        return [], None
    counters = sorted((counter for own, _ in found for counter in own), key=lambda counter: counter.rank)
    return counters, [lanes_in_order(pl.concat(parts)) for parts in zip(*(own for _, own in found), strict=True)]


def counters_of(placed: PlacedTrace, spans: list[tuple[int, int]]) -> tuple[list[Counter], list[pl.DataFrame]] | None:
    """The counters of one report's ranks, and their lanes in each span of time; None where none were captured."""
    samples = samples_of(placed)
    if samples is None:
        return None
    calls = pl.concat(placed.frame(OF_CALLS, rank, where=classes.COMMUNICATION) for rank in placed.ranks)
    calls = calls.filter(pl.col("step").is_not_null())
    windows = placed.windows.with_columns(steady=pl.col("excluded").is_null())
    return summarise(samples, windows, calls), [counter_lanes(samples, *span) for span in spans]


def _steps(run: Run) -> StepsSummary:
    windows = run.windows
    excluded = windows.filter(pl.col("excluded").is_not_null()).unique("step").sort("step")
    labels = windows.unique("step", keep="first").sort("step")
    return StepsSummary(
        method=run.steps.method,
        source=run.steps.source,
        count=windows["step"].n_unique(),
        steady=run.steady_steps,
        excluded=dict(excluded.select("step", "excluded").iter_rows()),
        labels=dict(labels.select("step", "label").iter_rows()),
        notes=run.steps.notes,
    )
