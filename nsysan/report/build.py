"""From an analysed run to its Report."""

from __future__ import annotations

import polars as pl

from nsysan import progress
from nsysan.diagnosis.collectives import find_families, find_link, with_peaks
from nsysan.diagnosis.diagnosis import diagnose
from nsysan.diagnosis.expectation import Expectation, compare_with, fill_bytes
from nsysan.diagnosis.findings import find
from nsysan.diagnosis.lookalikes import find_lookalikes
from nsysan.diagnosis.quality import assess
from nsysan.diagnosis.quality_export import assess_export
from nsysan.diagnosis.quality_wire import assess_counters, assess_wire
from nsysan.metrics.counters import OF_CALLS, Counter, summarise
from nsysan.metrics.ledger import FIGURES
from nsysan.model import classes
from nsysan.report.counter_lanes import counter_lanes, lanes_in_order
from nsysan.report.report import Input, Report, StepsSummary
from nsysan.report.slices import build_timelines
from nsysan.report.timeline import Timeline
from nsysan.run.placed import PlacedTrace
from nsysan.run.run import Run
from nsysan.run.samples import samples_of


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
