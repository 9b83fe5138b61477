"""What a diagnosis is in the JSON document: of the headline replica, and of each."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.verdict import THRESHOLDS, Verdict
from nsysan.report.pace_json import pace_values


def verdict_values(verdict: Verdict) -> dict[str, Any]:
    """The verdict."""
    return {
        "kind": verdict.kind,
        "reason": verdict.reason,
        "shares": dict(verdict.shares),
        "workload": verdict.workload,
        "sure": verdict.sure,
        "because": verdict.because,
        "surer": verdict.surer,
        "thresholds": THRESHOLDS,
    }


def tail_values(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """What lies between mean and median."""
    return [asdict(row) for row in diagnosis.tail]


def humps_values(diagnosis: Diagnosis) -> list[dict[str, Any]] | None:
    """The two humps."""
    return None if diagnosis.humps is None else [{"count": h.count, "p50_ns": h.p50} for h in diagnosis.humps]


def diagnosis_values(diagnosis: Diagnosis) -> dict[str, Any]:
    """The keys that are of the headline replica."""
    return {
        **pace_values(diagnosis),
        "gaps": diagnosis.gaps.to_dicts(),
        "verdict": verdict_values(diagnosis.verdict),
        "tail": tail_values(diagnosis),
        "humps": humps_values(diagnosis),
        "slowest_steps": [
            {
                "step": o.step,
                "period_ns": o.period,
                "excess_ns": o.excess,
                "rank": o.rank,
                "cause": o.cause,
                "line": o.line,
                "growth_ns": o.growth,
                "call": o.call,
                "lost_at_call_ns": o.lost_at_call,
            }
            for o in diagnosis.outliers
        ],
        "arrivals": [
            {
                "rank": s.rank,
                "last_share": s.last_share,
                "wait_ns": s.wait,
                "wire_ns": s.wire,
                "worst_wait_step": s.worst_wait_step,
                "worst_wire_step": s.worst_wire_step,
            }
            for s in diagnosis.spreads
        ],
    }
