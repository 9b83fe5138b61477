"""The replicas of a report's JSON, read back: what each has of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nsysan.report.json_values import Fields
from nsysan.report.kernel_read_back import kernel_groups_from, kernels_from
from nsysan.report.pace_read_back import caused_from, late_from, replay_error_from, straggler_from, what_if_from
from nsysan.report.steps_read_back import steady_periods


@dataclass(frozen=True)
class Periods:
    """Middle and tail of the periods of the steady steps, ns."""

    p50: int
    mean: int
    p90: int
    p99: int
    max: int


def headline_of(fields: Fields) -> tuple[int | None, str | None]:
    """Number of the headline replica, and id of its headline population."""
    if not fields.values.keys() >= {"populations", "replicas"}:
        return None, None
    heads = [row.whole("id") for row in fields.rows("replicas") if row.values.get("headline") is True]
    found = ((replica, population) for replica, population in _populations(fields) if replica in heads)
    return next(found, (None, None))


def place_of(fields: Fields, replica: int | None) -> dict[str, Any]:
    """Number, ranks, layout and periods of a replica, as ReportDocument has them; nothing of documents of schema 1."""
    if "replicas" not in fields.values:
        return {}
    rows = [row for row in fields.rows("replicas") if replica is None or row.whole("id") == replica]
    heads = [row for row in rows if replica is not None or row.values.get("headline") is True]
    if not heads:
        return {}
    row = heads[0]
    ranks = row.values.get("ranks")
    return {
        "replica": replica,
        "ranks": tuple(rank for rank in ranks if type(rank) is int) if isinstance(ranks, list) else (),
        "layout": row.text_or_none("layout") if "layout" in row.values else None,
        "period": _periods(row.below_or_none("period_ns")),
        "late_in_others": _late_in_others(fields, row.whole("id")),
    }


def _late_in_others(fields: Fields, replica: int) -> dict[str, list[int]]:
    """The late ranks of kinds of steps besides the headline's, by population; of those of which some are told."""
    rows = fields.rows("populations") if "populations" in fields.values else []
    told = [row for row in rows if row.whole("replica") == replica and row.values.get("late") is not None]
    late = {row.text("id"): [late_from(one) for one in row.rows("late")] for row in told}
    return {kind: sorted({rank for one in found for rank in one.ranks}) for kind, found in late.items() if found}


def each_replica(fields: Fields) -> list[dict[str, Any]]:
    """What each replica has of its own, by the names of ReportDocument; nothing where there is one."""
    if not fields.values.keys() >= {"populations", "replicas"}:
        return []
    rows, heads = fields.rows("replicas"), dict(reversed(_populations(fields)))
    return [_own(fields, row, heads.get(row.whole("id"))) for row in rows] if len(rows) > 1 else []


def _own(fields: Fields, row: Fields, population: str | None) -> dict[str, Any]:
    replica, verdict, what = row.whole("id"), row.below("verdict"), row.below_or_none("what_if")
    return place_of(fields, replica) | {
        "population": population,
        "is_headline": row.values.get("headline") is True,
        "steps": row.whole("steps"),
        "steady": row.whole("steady"),
        "kernels": kernels_from(fields, replica, population),
        "kernel_groups": kernel_groups_from(fields, replica, population),
        "straggler": straggler_from(row.below_or_none("straggler")),
        "late": [late_from(one) for one in row.rows("late")] if row.values.get("late") is not None else [],
        "caused": caused_from(row),
        "replay_error": replay_error_from(what),
        "what_if": what_if_from(what),
        "verdict": verdict.text("kind"),
        "verdict_reason": verdict.text("reason"),
        "step_periods": steady_periods(fields, replica, population),
    }


def _populations(fields: Fields) -> list[tuple[int, str]]:
    """Replica and id of those that head one."""
    rows = [row for row in fields.rows("populations") if row.values.get("headline") is True]
    return [(row.whole("replica"), row.text("id")) for row in rows]


def _periods(found: Fields | None) -> Periods | None:
    return None if found is None else Periods(*(found.whole(name) for name in ("p50", "mean", "p90", "p99", "max")))
