"""One side of a comparison: its report, and each figure with its value in every steady step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.compare.significance import F64
from nsysan.diagnosis.quality import NOT_MEASURABLE
from nsysan.metrics.ledger import FIGURES
from nsysan.metrics.whatif import losses_by_step
from nsysan.report.build import Report, build_report
from nsysan.run.matching import MATCHED
from nsysan.run.run import Run
from nsysan.text import counted

#: Quality rows that tell why a figure is null, by the first word of its id; the most telling first.
_REASONS = {
    "ledger": ("graph_contents", "wait_wire", "missing_ranks"),
    "skew": ("graph_contents", "wait_wire", "straggler"),
    "idle": ("gaps", "graph_contents"),
    "whatif": ("graph_contents", "wait_wire", "what_if"),
    "collective": ("graph_contents", "wait_wire"),
}
_NOTHING: F64 = np.zeros(0)


@dataclass(frozen=True)
class Measured:
    """A figure of one side: its value as the report has it (None: not measured), and that of each steady step."""

    value: float | None
    steps: F64


@dataclass(frozen=True)
class ComparedRun:
    """One run that is compared. ranks: how many it is split over. figures: by id, such as ledger.wire.

    calls: communication of the steady steps: step, rank, kind, message_bytes, members, name, wire (ns after the
    last arrival, null where not matched).
    """

    label: str
    name: str
    report: Report
    batch: int
    ranks: int
    figures: dict[str, Measured]
    calls: pl.DataFrame

    @property
    def period(self) -> float:
        """ns a step."""
        return self.figures["ledger.period"].value or 0.0

    @property
    def tokens_per_second(self) -> float:
        """Over all sequences of the batch: a step makes one token of each."""
        return self.batch * 1e9 / self.period

    def value(self, id_: str) -> float | None:
        """A figure's value, None where it was not measured."""
        found = self.figures.get(id_)
        return None if found is None else found.value

    def why_null(self, id_: str) -> str:
        """The reason for a null figure, from the report's quality rows."""
        rows = {row.id: row for row in self.report.quality}
        named = [rows[name] for name in _REASONS[id_.partition(".")[0]] if name in rows]
        chosen = next((row for row in named if row.status == NOT_MEASURABLE), None)
        return chosen.reason if chosen else "it was not measured"


def compared_run(label: str, run: Run, version: str, batch: int = 1) -> ComparedRun:
    """A side from its run; NsysanError where there is no steady decode step in it."""
    report = build_report(run, version, timelines=False)
    name = ", ".join(source.name for source in report.inputs)
    why = None
    if run.steps.method == "window":
        why = "no decode steps found in it; mark them with NVTX ranges, and name those with --steps"
    elif not report.steps.steady or not report.headline["period_ns"]:
        found = counted(report.steps.count, "step")
        why = f"none of the {found} by {report.steps.source} in it is a steady decode step"
    if why is not None:
        raise NsysanError(f"{name}: nothing to compare: {why}", ExitCode.NOTHING_TO_ANALYSE)
    steady = run.ledger.filter(pl.col("steady"))
    figures = {f"ledger.{figure.removesuffix('_ns')}": _figure(steady, figure) for figure in FIGURES}
    transfer = steady.with_columns(ns=pl.col("wire_ns") + pl.col("fused_ns"))
    figures["ledger.transfer"] = _figure(transfer, "ns")
    figures["skew.caused"] = _caused(report, steady)
    figures.update(_idle(run.gaps, steady))
    figures.update(_what_if(run, report))
    return ComparedRun(
        label=label,
        name=name,
        report=report,
        batch=batch,
        ranks=max(len(report.ranks), report.size or 0),
        figures=figures,
        calls=_calls(run),
    )


def over_ranks(rows: pl.DataFrame, column: str) -> Measured:
    """From a row a step and rank: the median over the ranks, of each rank's median over the steps, and per step."""
    known = rows.filter(pl.col(column).is_not_null())
    if known.is_empty():
        return Measured(None, _NOTHING)
    value = known.group_by("rank").agg(pl.median(column))[column].median()
    per_step = known.group_by("step").agg(pl.median(column)).sort("step")[column]
    return Measured(float(value), per_step.to_numpy())  # type: ignore[arg-type]


def _figure(steady: pl.DataFrame, figure: str) -> Measured:
    return over_ranks(steady.select("step", "rank", figure), figure)


def _caused(report: Report, steady: pl.DataFrame) -> Measured:
    """What late last arrivals cost a step, over all ranks."""
    caused = report.diagnosis.caused
    if caused.is_empty():
        # One rank alone waits for nobody.
        silent = steady["comm_ns"].null_count() == 0 and steady["comm_ns"].sum() == 0
        return Measured(0.0, np.zeros(steady["step"].n_unique())) if silent else Measured(None, _NOTHING)
    per_step = caused.group_by("step").agg(pl.sum("ns"))
    values = steady.select("step").unique().sort("step").join(per_step, on="step", how="left").fill_null(0)["ns"]
    return Measured(float(values.median()), values.to_numpy().astype(np.float64))  # type: ignore[arg-type]


def _idle(gaps: pl.DataFrame, steady: pl.DataFrame) -> dict[str, Measured]:
    summed = gaps.group_by("step", "rank", "cause").agg(pl.sum("ns")).with_columns(pl.col("cause").cast(pl.String))
    found = {}
    for cause in summed["cause"].unique().sort():
        own = summed.filter(pl.col("cause") == cause)
        filled = steady.select("step", "rank").join(own, on=["step", "rank"], how="left")
        found[f"idle.{cause}"] = over_ranks(filled.with_columns(pl.col("ns").fill_null(0)), "ns")
    return found


def _what_if(run: Run, report: Report) -> dict[str, Measured]:
    what = report.diagnosis.what_if
    if what is None or what.no_skew is None:
        return {}
    losses = losses_by_step(run.ledger, run.collectives, run.gaps).sort("step")
    named = {
        "no_skew": (what.no_skew, pl.col("period") - pl.col("skew")),
        "floor_wire": (what.floor_wire, pl.col("period") - pl.col("wire")),
        "no_host_late": (what.no_host_late, pl.col("period") - pl.col("host")),
        "all": (what.all, pl.col("period") - pl.col("all")),
    }
    return {
        f"whatif.{name}": Measured(value, losses.select(ns=form)["ns"].drop_nulls().to_numpy().astype(np.float64))
        for name, (value, form) in named.items()
        if value is not None
    }


def _calls(run: Run) -> pl.DataFrame:
    calls = run.collectives.filter(pl.col("step").is_in(run.steady_steps))
    matched = pl.col("verdict") == MATCHED
    return calls.select(
        "step",
        "rank",
        pl.coalesce("kind", "cls").alias("kind"),
        "message_bytes",
        "members",
        "name",
        wire=pl.when(matched).then(pl.col("wire")),
    )


def letters(count: int) -> Iterable[str]:
    """Labels of the sides: A, B, C ..."""
    return (chr(ord("A") + number) for number in range(count))
