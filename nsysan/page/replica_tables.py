"""The tables of a run's replicas, of the kinds of steps in them, and of who communicates with whom."""

from __future__ import annotations

from nsysan.diagnosis.late_words import ranks_of, ranks_words
from nsysan.diagnosis.pipelines import WAITING
from nsysan.metrics.percentiles import Spread
from nsysan.page.elements import table
from nsysan.report.replica import PopulationRow, Replica
from nsysan.report.report import Report
from nsysan.text import numbered, percent, us

_SPREAD = ("median", "mean", "p90", "p99", "longest")


def is_plain(report: Report) -> bool:
    """Whether there is one replica of one group and one kind of step, of which the page tells everything already."""
    one = len(report.replicas) == 1 and len(report.replicas[0].populations) <= 1
    return one and report.replicas[0].layout.is_plain


def tables(report: Report) -> str:
    """Replicas, populations and groups."""
    return _replicas(report.replicas) + _stages(report.replicas) + _populations(report) + _groups(report)


def _replicas(replicas: list[Replica]) -> str:
    header = ["replica", "ranks", "layout", "verdict", "late", "steady steps", *_SPREAD, "of the time", "of busy time"]
    rows = [
        [
            str(one.id),
            numbered("rank", [rank.rank for rank in one.ranks], most=16),
            one.layout.name,
            one.diagnosis.verdict.kind.value,
            ranks_words(ranks_of(one.diagnosis.late)) if one.diagnosis.late else "nobody",
            f"{one.steady} of {one.steps}",
            *_spread(one.period),
            percent(one.coverage.span if one.coverage else None, 1),
            percent(one.coverage.busy if one.coverage else None, 1),
        ]
        for one in replicas
    ]
    caption = "Replicas; period in µs, and what of the ranks' time the steady steps cover"
    return table(header, rows, text=(0, 1, 2, 3, 4), caption=caption)


def _stages(replicas: list[Replica]) -> str:
    header = ["replica", "stage", "ranks", "works, µs a step", WAITING]
    told = [(one.id, one.diagnosis.bubble) for one in replicas if one.diagnosis.bubble is not None]
    rows = [
        [
            str(replica),
            str(stage.number),
            numbered("rank", list(stage.ranks), most=16),
            us(stage.work),
            percent(stage.bubble, 1),
        ]
        for replica, bubble in told
        for stage in bubble.stages
    ]
    notes = "; ".join(dict.fromkeys(bubble.sentence for _, bubble in told))
    return table(header, rows, text=(0, 1, 2), caption=f"Stages of the pipeline: {notes}") if rows else ""


def _populations(report: Report) -> str:
    header = ["replica", "steps", "kind", "batch", "count", "steady", *_SPREAD, "tokens/s", "of all steps"]
    rows = [_population(replica.id, one) for replica in report.replicas for one in replica.populations]
    return table(header, rows, text=(0, 1, 2), caption="Kinds of steps, never pooled; period in µs") if rows else ""


def _population(replica: int, one: PopulationRow) -> list[str]:
    return [
        str(replica),
        f"{one.id}{' (shown)' if one.headline else ''}",
        one.kind,
        "-" if one.batch is None else str(one.batch),
        str(one.count),
        str(one.steady),
        *_spread(one.period),
        "-" if one.tokens_per_s is None else f"{one.tokens_per_s:,.0f}",
        percent(one.share_of_time, 1),
    ]


def _groups(report: Report) -> str:
    header = ["group", "kind", "known by", "ranks of the communicator", "calls a step"]
    rows = [
        [
            numbered("rank", list(group.ranks), most=16),
            group.kind,
            group.source.replace("_", " "),
            str(group.size),
            "-" if group.calls_per_step is None else f"{group.calls_per_step:g}",
        ]
        for group in report.groups
    ]
    return table(header, rows, text=(0, 1, 2), caption="Who communicates with whom") if rows else ""


def _spread(period: Spread | None) -> list[str]:
    if period is None:
        return ["-"] * len(_SPREAD)
    return [us(ns) for ns in (period.p50, period.mean, period.p90, period.p99, period.max)]
