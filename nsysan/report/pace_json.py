"""What a replay tells in the JSON document: late ranks, the critical path, what-ifs (DEFINITIONS.md, section 12)."""

from __future__ import annotations

from typing import Any

from nsysan.diagnosis.caused import caused_by
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.hotspot import Late
from nsysan.diagnosis.without_nsys import WithoutNsys
from nsysan.metrics.skew import Straggler


def pace_values(diagnosis: Diagnosis) -> dict[str, Any]:
    """The keys that rest on a replay."""
    return {
        "straggler": _straggler(diagnosis.straggler),
        "late": late_values(diagnosis),
        "caused": _caused(diagnosis),
        "critical_path": [{"class": cls, "rank": rank, "ns": ns} for (cls, rank), ns in diagnosis.path.items() if ns],
        "what_if": _what_if(diagnosis),
        "untraced": _untraced(diagnosis.untraced),
        "hosts": _hosts(diagnosis),
    }


def late_values(diagnosis: Diagnosis) -> list[dict[str, Any]] | None:
    """The late ranks, None where that cannot be told."""
    return [_late(one) for one in diagnosis.late] if diagnosis.late_told else None


def _hosts(diagnosis: Diagnosis) -> list[dict[str, Any]] | None:
    hosts = [] if diagnosis.pace is None else diagnosis.pace.hosts
    return [
        {
            "rank": host.rank,
            "cuda_ns": host.cuda,
            "works_ns": host.works,
            "waits_ns": host.waits,
            "sleeps_ns": host.sleeps,
            "waits_untold_ns": host.untold,
            "call": host.call or None,
        }
        for host in hosts
    ] or None


def _straggler(late: Straggler | None) -> dict[str, Any] | None:
    if late is None:
        return None
    return {
        "rank": late.rank,
        "cause": late.cause,
        "caused_ns": late.caused,
        "share": late.share,
        "parts_ns": late.parts,
        "idle_ns": late.idle,
    }


def _caused(diagnosis: Diagnosis) -> dict[str, Any] | None:
    found = caused_by(diagnosis)
    if found is None:
        return None
    of = "mean" if found.mean else "median"
    return {"ranks": list(found.ranks), "saves_ns": found.saves, "period_ns": found.of, "of": of}


def _late(one: Late) -> dict[str, Any]:
    where = one.where
    return {
        "ranks": list(one.ranks),
        "cause": one.cause,
        "costs_ns": one.costs,
        "saves_ns": one.saves,
        "most_ns": one.most,
        "mean_costs_ns": one.mean_costs,
        "mean_saves_ns": one.mean_saves,
        "mean_period_ns": one.mean_period,
        "parts_ns": dict(one.parts),
        "kernels": [{"name": name, "ns": ns} for name, ns in one.kernels],
        "where": where and {"call": where.call, "share": where.call_share, "calls": where.calls},
    }


def _untraced(without: WithoutNsys | None) -> dict[str, Any] | None:
    if without is None:
        return None
    return {
        "period_ns": without.period,
        "traced_ns": without.traced,
        "hosts": without.hosts,
        "gaps": without.gaps,
        "per_rank": without.per_rank.to_dicts(),
    }


def _what_if(diagnosis: Diagnosis) -> dict[str, Any] | None:
    what = diagnosis.what_if
    if what is None:
        return None
    return {
        "period_ns": what.period,
        "traced_ns": what.traced,
        "replay_ns": what.replayed,
        "replay_error": what.error,
        **{scenario.column: ns for scenario, ns in what.without.items()},
        "ranks": {str(rank): ns for rank, ns in what.ranks.items()},
        "bounds": {scenario.column: {"low": low, "high": high} for scenario, (low, high) in what.bounds.items()},
        "summed": [
            {"population": one.id, "steps": one.steps, "period_ns": one.period, "share": one.share}
            for one in diagnosis.summed
        ],
    }
