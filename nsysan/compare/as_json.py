"""A comparison as a JSON document: one object, keys stable within a schema number (nsysan/data/compare.schema.json)."""

from __future__ import annotations

import json
from typing import Any

from nsysan.compare.comparison import ComparedRun, Comparison, Family, FamilyOnSide, Figure
from nsysan.compare.kinds_of_steps import PopulationOnSides
from nsysan.compare.link_change import link_lines
from nsysan.compare.prediction_json import predictions_json
from nsysan.compare.widths import Scaling, Widening, Width
from nsysan.compare.wording import answers
from nsysan.metrics.change_rule import THRESHOLDS

SCHEMA = "nsysan.compare/1"


def to_document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON-ready data; durations in ns, null for what cannot be compared, with the reason."""
    return {
        "schema": SCHEMA,
        "nsysan_version": comparison.version,
        "sides": [_side(side) for side in comparison.sides],
        "refused": [{"side": label, "reason": why} for label, why in comparison.refused.items()] or None,
        "populations": [_population(pair) for pair in comparison.populations],
        "answers": [" ".join(line.split()) for line in answers(comparison)],
        "link_differs": bool(link_lines(comparison.sides)),
        "figures": [_figure(comparison, figure) for figure in comparison.figures],
        "collectives": [_family(comparison, family) for family in comparison.families],
        "scaling": _scaling(comparison.scaling) if comparison.scaling and comparison.scaling.steps else None,
        "notes": comparison.notes,
        "predictions": predictions_json(comparison),
        "thresholds": THRESHOLDS,
    }


def to_json(comparison: Comparison) -> str:
    """The document as text, in ASCII: a name may hold what the terminal or UTF-8 cannot."""
    return json.dumps(to_document(comparison), indent=1, allow_nan=False) + "\n"


def _side(side: ComparedRun) -> dict[str, Any]:
    late, report = side.report.diagnosis.straggler, side.report
    return {
        "label": side.label,
        "name": side.name,
        "ranks": side.ranks,
        "batch": side.batch,
        "batch_source": side.batch_source,
        "population": side.population.id,
        "units": side.units,
        "gpu_models": sorted({rank.model or "unknown" for rank in report.ranks}),
        "steps": {
            "source": report.steps.source,
            "method": report.steps.method,
            "count": report.steps.count,
            "steady": len(report.steps.steady),
        },
        "verdict": report.diagnosis.verdict.kind,
        "straggler": late and {"rank": late.rank, "cause": late.cause, "caused_ns": late.caused, "share": late.share},
        "link": {
            "model": report.link.model,
            "kind": report.link.kind,
            "peak_gbps": report.link.peak_gbps,
            "looks_like": report.link.looks_like,
            "evidence": list(report.link.evidence),
        },
        "quality": [{"id": q.id, "status": q.status, "reason": q.reason} for q in report.quality],
    }


def _population(pair: PopulationOnSides) -> dict[str, Any]:
    return {
        "kind": pair.kind,
        "batch": pair.batch,
        "sides": {
            label: {
                "id": row.id,
                "count": row.count,
                "steady": row.steady,
                "p50_ns": row.period and row.period.p50,
                "mean_ns": row.period and row.period.mean,
                "tokens_per_s": row.tokens_per_s,
            }
            for label, row in pair.sides.items()
        },
    }


def _figure(comparison: Comparison, figure: Figure) -> dict[str, Any]:
    labels = [side.label for side in comparison.sides]
    return {
        "id": figure.id,
        "group": figure.group,
        "name": figure.name,
        "unit": figure.unit,
        "values": dict(zip(labels, figure.values, strict=True)),
        "changes": [
            {
                "side": label,
                "against": labels[0],
                "difference": change.difference,
                "percent": change.percent,
                "p": change.p,
                "verdict": change.verdict,
                "reason": change.reason,
            }
            for label, change in zip(labels[1:], figure.changes, strict=True)
        ],
    }


def _family(comparison: Comparison, family: Family) -> dict[str, Any]:
    return {
        "kind": family.kind,
        "title": family.title,
        "same_sizes": family.same,
        "sides": {side.label: part and _part(part) for side, part in zip(comparison.sides, family.parts, strict=True)},
    }


def _part(part: FamilyOnSide) -> dict[str, Any]:
    return {
        "kernels": part.kernels,
        "bytes": part.sizes,
        "ranks": part.ranks,
        "calls_per_step": part.calls,
        "wire_per_call_ns": part.per_call.value,
        "wire_per_step_ns": part.per_step.value,
        "algbw_gbps": part.speed.algbw.value,
        "busbw_gbps": part.speed.busbw.value,
        "peak_share": None if part.speed.peak.value is None else part.speed.peak.value / 100,
        "no_bandwidth": part.speed.reason,
    }


def _scaling(found: Scaling) -> dict[str, Any]:
    return {"widths": [_width(width) for width in found.widths], "steps": [_widening(step) for step in found.steps]}


def _width(width: Width) -> dict[str, Any]:
    return {
        "side": width.label,
        "ranks": width.ranks,
        "period_ns": width.period,
        "speed_up": width.speed_up,
        "efficiency": width.efficiency,
        "tokens_per_second": width.tokens_per_second,
        "tokens_per_second_per_gpu": width.tokens_per_second_per_gpu,
    }


def _widening(step: Widening) -> dict[str, Any]:
    return {
        "from": step.narrow.label,
        "to": step.wide.label,
        "ideal_period_ns": step.ideal,
        "changed_ns": step.changed,
        "lost_ns": step.lost,
        "replicas_tokens_ratio": step.replicas,
    }
