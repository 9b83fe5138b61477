"""From an analysed run to its Report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from nsysan import progress
from nsysan.columns.memory import give_back
from nsysan.columns.threads import Beside
from nsysan.diagnosis.algorithms import algorithms_of, told_link
from nsysan.diagnosis.collectives import find_families, find_link, with_peaks
from nsysan.diagnosis.diagnose import diagnose
from nsysan.diagnosis.expectation import Expectation, compare_with
from nsysan.diagnosis.findings import find
from nsysan.diagnosis.lookalikes import find_lookalikes
from nsysan.diagnosis.paced import pacing
from nsysan.diagnosis.quality import assess
from nsysan.diagnosis.quality_export import assess_export
from nsysan.diagnosis.quality_light import assess_light
from nsysan.diagnosis.quality_nccl import assess_nccl
from nsysan.diagnosis.quality_sizes import SizeSource, with_sources
from nsysan.diagnosis.quality_wire import assess_counters, assess_wire
from nsysan.light.speed_of_light import labels_of, speed_of_light
from nsysan.light.stated import message_sizes, tokens_by_step
from nsysan.light.told_by_grids import ToldByGrids, told_by_grids
from nsysan.metrics.counters import OF_CALLS, Counter, summarise
from nsysan.metrics.ledger import FIGURES
from nsysan.metrics.percentiles import Spread, spread
from nsysan.model.classes import COMMUNICATION
from nsysan.model.steps.step_kind import StepKind
from nsysan.report.beside_nsys import beside_nsys
from nsysan.report.counter_lanes import counter_lanes, lanes_in_order
from nsysan.report.kernel_table import find_compute
from nsysan.report.layer_table import find_layer_tables
from nsysan.report.replica import GroupRow, PopulationRow, Replica
from nsysan.report.report import Input, Report, StepsSummary
from nsysan.report.timeline import Timeline
from nsysan.run.batches import mean_of, sequences_of
from nsysan.run.chosen import chosen_replica
from nsysan.run.layout import GroupKind, kinds_of
from nsysan.run.nccl_choices import choices
from nsysan.run.placed import PlacedTrace
from nsysan.run.run import Run
from nsysan.run.samples import samples_of
from nsysan.timings import stage

if TYPE_CHECKING:
    from nsysan.trace.nccl_log import NcclLog


@stage("build the report")
def build_report(
    run: Run,
    version: str,
    expected: Expectation | None = None,
    *,
    link_gbps: float | None = None,
    timelines: bool = True,
    replica: int | None = None,
    nccl_logs: Sequence[NcclLog] = (),
    untraced: int | None = None,
) -> Report:
    """The Report of a run.

    expected: gives message sizes where the trace does not, and is held against the rest. link_gbps: peak of the
    link between the GPUs, in place of the table's. timelines: whether it is to show single steps. replica: number of
    the one that it heads with, by default the slowest; NsysanError if there is no such replica. nccl_logs: of the run,
    besides those that lie beside its traces. untraced: ns of its step without nsys, of which verdict, path, late ranks
    and savings are then; OutOfRange where it cannot take that.
    """
    progress.stage("accounting for every nanosecond")
    stated = None if expected is None else expected.message_bytes
    kinds = kinds_of(run.groups, run.collectives, len(run.ranks))
    model = None if expected is None else expected.model
    grids = [told_by_grids(own) if stated is None else ToldByGrids() for own in run.replicas]
    by_model = [
        message_sizes(own.steps.populations, model, tokens_by_step(labels_of(own)) if model else None, told.tokens)
        for own, told in zip(run.replicas, grids, strict=True)
    ]
    sizes = [{**told.sizes, **of_model} for told, of_model in zip(grids, by_model, strict=True)]
    sources = [_source(stated, of_model) for of_model in by_model]
    stating = [own.stating(stated, of_steps) for own, of_steps in zip(run.replicas, sizes, strict=True)]
    chosen = chosen_replica(stating, replica)
    given = {chosen: untraced}
    replicas = [_replica(number, own, given.get(number)) for number, own in enumerate(stating)]
    replicas = [
        replace(one, collectives=with_sources(one.collectives, traced.collectives, own.collectives, source))
        for one, traced, own, source in zip(replicas, run.replicas, stating, sources, strict=True)
    ]
    traced, own, head = run.replicas[chosen], stating[chosen], replicas[chosen]
    if expected is not None and own.layout.experts > 1:
        # Ranks that share out whole experts meet in other calls than all-reduces after them.
        expected = replace(expected, calls=None)
    compared = compare_with(traced.collectives, traced.steady_steps, expected, by_model[chosen])
    diagnosis, per_rank = head.diagnosis, head.per_rank
    nccl = choices(run, nccl_logs)
    link = told_link(find_link(own, head.collectives, link_gbps), own, nccl, head.collectives)
    if timelines:
        from nsysan.report.slices import build_timelines
    drawn = build_timelines(own, diagnosis) if timelines else []
    quality = assess(own, diagnosis, compared, grids[chosen]) + assess_export(own) + assess_wire(head.collectives, link)
    quality += assess_nccl(run, nccl)
    counters, lanes = _counters(own, drawn)
    if lanes is not None:
        quality.append(assess_counters(own, counters))
    headline = {name: _rounded(per_rank[name].median()) for name in FIGURES}
    light = speed_of_light(own, model, headline["period_ns"], counters)
    quality.append(assess_light(light))
    replicas = [replace(one, collectives=with_peaks(one.collectives, link.peak_gbps)) for one in replicas]
    return Report(
        version=version,
        inputs=[
            Input(t.name, t.nsys_version, t.schema_version, t.graph_mode, t.session_start_utc_ns) for t in run.metadata
        ],
        left_out=[failure.name for failure in run.failures],
        ranks=own.ranks,
        size=own.size,
        steps=_steps(own),
        per_step=own.ledger,
        per_rank=per_rank,
        headline=headline,
        collectives=replicas[chosen].collectives,
        link=link,
        nccl=nccl,
        algorithms=algorithms_of(nccl, head.collectives),
        lookalikes=find_lookalikes(own.tally),
        diagnosis=diagnosis,
        expectation=compared,
        findings=find(own, diagnosis, compared, link, nccl, head.collectives),
        timelines=drawn,
        nsys=beside_nsys(run) if timelines else None,
        quality=quality,
        counters=counters,
        counter_lanes=lanes or [],
        light=light,
        replica=chosen,
        replicas=replicas,
        groups=_groups(run, kinds),
    )


def _source(stated: int | None, by_model: Mapping[int, int]) -> SizeSource:
    if stated is not None:
        return SizeSource.STATED
    return SizeSource.MODEL if by_model else SizeSource.GRIDS


def _replica(number: int, own: Run, untraced: int | None) -> Replica:
    with Beside() as beside:
        pace_of = pacing(own, untraced, beside.begin)
        families, compute, layers = find_families(own), find_compute(own), find_layer_tables(own)
        diagnosis = diagnose(own, pace_of)
    give_back(own.tally.operations)
    return Replica(
        id=number,
        ranks=own.ranks,
        layout=own.layout,
        steps=own.windows["step"].n_unique(),
        steady=len(own.steady_steps),
        populations=_populations(own),
        coverage=diagnosis.coverage,
        period=spread(own.periods()["period_ns"]),
        diagnosis=diagnosis,
        per_step=own.ledger.join(_population_of(own), on="step", how="left", maintain_order="left"),
        per_rank=own.per_rank,
        collectives=families,
        compute=compute,
        layers=layers,
    )


def _population_of(own: Run) -> pl.DataFrame:
    """step, population (id of the one that each step is of) and steady_of_its_kind: one of that one's steady steps."""
    of_its_kind = pl.col("left_out").is_null().alias("steady_of_its_kind")
    return own.windows.select("step", "population", of_its_kind).unique("step", keep="first", maintain_order=True)


def _populations(own: Run) -> list[PopulationRow]:
    steps = own.windows.group_by("step").agg(
        period=(pl.col("finish") - pl.col("begin")).median(),
        population=pl.first("population"),
        why=pl.first("left_out"),
    )
    whole = float(steps["period"].sum()) or 1.0
    several = sequences_of(own)
    rows = []
    for number, one in enumerate(own.steps.populations):
        mine = steps.filter(pl.col("population") == one.id)
        period = _spread(mine.filter(pl.col("why").is_null()), own)
        decodes = one.kind is StepKind.DECODE and period is not None and period.mean > 0
        steady = own.whole(mine.filter(pl.col("why").is_null()))["step"]
        sequences = (one.batch or 1) if several is None else mean_of(several, steady)
        rows.append(
            PopulationRow(
                id=one.id,
                kind=one.kind.value,
                batch=one.batch,
                count=len(mine),
                steady=len(mine.filter(pl.col("why").is_null())),
                period=period,
                tokens_per_s=sequences * 1e9 / period.mean if decodes and period and sequences else None,
                share_of_time=float(mine["period"].sum()) / whole,
                headline=number == 0,
            )
        )
    return rows


def _spread(steps: pl.DataFrame, own: Run) -> Spread | None:
    """Of the periods of these steps, but of those that nothing follows, where there are others."""
    return spread(own.whole(steps)["period"])


def _groups(run: Run, kinds: Mapping[str, GroupKind]) -> list[GroupRow]:
    calls = (
        run.collectives.drop_nulls("group").group_by("group", "step").agg(calls=pl.struct("family", "call").n_unique())
    )
    usual = dict(calls.group_by("group").agg(pl.median("calls")).iter_rows())
    return [
        GroupRow(group.id, kinds[group.id].value, group.ranks, group.source.value, group.size, usual.get(group.id))
        for group in run.groups
    ]


def _rounded(value: object) -> int | None:
    return round(value) if isinstance(value, int | float) else None


def _counters(run: Run, timelines: list[Timeline]) -> tuple[list[Counter], list[pl.DataFrame] | None]:
    """The counters of all ranks, and their lanes in each timeline, None where none were captured."""
    spans = [(timeline.origin, timeline.finish) for timeline in timelines]
    found = [own for own in run.ask(counters_of, spans) if own is not None]
    if not found:
        return [], None
    counters = sorted((counter for own, _ in found for counter in own), key=lambda counter: counter.rank)
    return counters, [lanes_in_order(pl.concat(parts)) for parts in zip(*(own for _, own in found), strict=True)]


def counters_of(placed: PlacedTrace, spans: list[tuple[int, int]]) -> tuple[list[Counter], list[pl.DataFrame]] | None:
    """The counters of one trace's ranks, and their lanes in each span of time; None where none were captured."""
    samples = samples_of(placed)
    if samples is None:
        return None
    calls = pl.concat(placed.frame(OF_CALLS, rank, where=COMMUNICATION) for rank in placed.ranks)
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
