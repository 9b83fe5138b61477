"""From an analysed run to the Report: plain data that every renderer shares and none changes."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.metrics.ledger import FIGURES, IDLE, LINES
from nsysan.model.matching import MATCHED, REJECTED, UNMATCHED
from nsysan.model.ranks import Rank
from nsysan.model.run import Run
from nsysan.report.diagnosis import Diagnosis, diagnose, percentiles
from nsysan.report.quality import Quality, assess
from nsysan.report.timeline import Timeline, build_timelines


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
class CollectiveFamily:
    """The calls of one kernel family, size and rank count within the steady steps.

    count, matched, unmatched, rejected: calls, one call being one on every rank. wire, wait: ns per rank and
    matched call, by p50, p95, p99 and max; None where none matched.
    """

    name: str
    kind: str | None
    library: str | None
    op_class: str
    message_bytes: int | None
    ranks: int
    count: int
    matched: int
    unmatched: int
    rejected: int
    wire: dict[str, int] | None
    wait: dict[str, int] | None


@dataclass(frozen=True)
class Lookalike:
    """A kernel that is named like a collective but is not in the catalogue, with its share of kernel time."""

    name: str
    calls: int
    share: float


@dataclass(frozen=True)
class Report:
    """Everything a report shows. Frames hold ns.

    per_step: the ledger (see metrics.ledger.build_ledger). per_rank: rank and the median of each figure over the
    steady steps, null where no steady step has it. headline: the median of per_rank over the ranks.
    size: ranks of the largest communicator, None where the trace does not tell.
    """

    version: str
    inputs: list[Input]
    ranks: list[Rank]
    size: int | None
    steps: StepsSummary
    per_step: pl.DataFrame
    per_rank: pl.DataFrame
    headline: dict[str, int | None]
    collectives: list[CollectiveFamily]
    lookalikes: list[Lookalike]
    diagnosis: Diagnosis
    timelines: list[Timeline]
    quality: list[Quality]


def build_report(run: Run, version: str) -> Report:
    """The Report of a run."""
    per_rank = _medians(run.ledger)
    diagnosis = diagnose(run)
    return Report(
        version=version,
        inputs=[Input(t.name, t.nsys_version, t.schema_version, t.graph_mode) for t in run.traces],
        ranks=run.ranks,
        size=run.size,
        steps=_steps(run),
        per_step=run.ledger,
        per_rank=per_rank,
        headline={name: _rounded(per_rank[name].median()) for name in FIGURES},
        collectives=_families(run),
        lookalikes=find_lookalikes(run.kernels),
        diagnosis=diagnosis,
        timelines=build_timelines(run, diagnosis),
        quality=assess(run, diagnosis),
    )


def visible_lines(report: Report) -> list[str]:
    """The ledger lines that some rank has, in ledger order; idle always."""
    present = [line for line in LINES if (report.per_rank[f"{line}_ns"].fill_null(0) > 0).any()]
    return [*present, IDLE]


def find_lookalikes(kernels: pl.DataFrame) -> list[Lookalike]:
    """Unknown kernels named like collectives, longest first."""
    total = int((kernels["end"] - kernels["start"]).sum())
    found = (
        kernels.filter(pl.col("lookalike"))
        .group_by("name")
        .agg(calls=pl.len(), ns=(pl.col("end") - pl.col("start")).sum())
        .sort(["ns", "name"], descending=[True, False])
    )
    return [Lookalike(name, calls, ns / total) for name, calls, ns in found.iter_rows()]


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


def _families(run: Run) -> list[CollectiveFamily]:
    """One row a kernel family, size and rank count, most frequent first."""
    calls = run.collectives.filter(pl.col("step").is_in(run.steady_steps))
    key = ["name", "kind", "library", "cls", "message_bytes"]
    per_call = calls.group_by([*key, "communicator", "step", "call"]).agg(
        verdict=pl.first("verdict"), members=pl.n_unique("rank")
    )
    members = per_call.group_by(key).agg(
        ranks=pl.max("members"),
        count=pl.len(),
        **{v: (pl.col("verdict") == v).sum() for v in (MATCHED, UNMATCHED, REJECTED)},
    )
    families = []
    for row in members.sort(["count", "name"], descending=[True, False]).iter_rows(named=True):
        own = calls.filter(
            pl.all_horizontal(pl.col(k).eq_missing(row[k]) for k in key) & (pl.col("verdict") == MATCHED)
        )
        families.append(
            CollectiveFamily(
                name=row["name"],
                kind=row["kind"],
                library=row["library"],
                op_class=row["cls"],
                message_bytes=row["message_bytes"],
                ranks=row["ranks"],
                count=row["count"],
                matched=row[MATCHED],
                unmatched=row[UNMATCHED],
                rejected=row[REJECTED],
                wire=percentiles(own["wire"]),
                wait=percentiles(own["wait"]),
            )
        )
    return families
