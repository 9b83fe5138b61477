"""Predictions as JSON-ready data."""

from __future__ import annotations

from math import ceil, floor
from typing import Any

from nsysan.compare.comparison import Comparison
from nsysan.compare.prediction import Prediction
from nsysan.compare.prediction_sentences import instead
from nsysan.compare.widths import Width, of_prediction


def predictions_json(comparison: Comparison) -> list[dict[str, Any]] | None:
    """A row a number of ranks that was asked for, fewest first; None where none was."""
    if not comparison.predictions:
        return None
    return [_prediction(one, comparison) for one in comparison.predictions]


def _prediction(one: Prediction, comparison: Comparison) -> dict[str, Any]:
    found = comparison.scaling
    width = None if found is None or one.period is None else of_prediction(one, found)
    narrow = None if width is None else instead(one, comparison)
    return {
        "tp": one.ranks,
        "batch": one.batch,
        "period_ns": one.period,
        "low_ns": one.low,
        "high_ns": one.high,
        "ledger": {line.column: ns for line, ns in one.ledger.items()} or None,
        "mean_ns": None if one.mean is None else round(one.mean),
        "tokens_per_second": one.tokens_per_second,
        "tokens_per_second_per_gpu": width and width.tokens_per_second_per_gpu,
        "speed_up": width and width.speed_up,
        "efficiency": width and width.efficiency,
        "replicas": narrow and _replicas(one, narrow),
        "side": one.base,
        "hosts_pace": None if one.period is None and one.alone is None else one.hosts,
        "no_host_late_ns": one.alone and round(one.alone.ns),
        "no_host_late_low_ns": one.alone and max(0, floor(one.alone.low)),
        "no_host_late_high_ns": one.alone and ceil(one.alone.high),
        "hosts_as_now_ns": None if one.as_now is None else round(one.as_now),
        "compute_fixed_ns": None if one.fixed is None else round(one.fixed),
        "measured_ns": one.measured,
        "left_out": {str(ranks): share for ranks, share in sorted(one.missed.items())} or None,
        "model": one.model,
        "basis": list(one.basis),
        "reason": one.reason,
    }


def _replicas(one: Prediction, narrow: Width) -> dict[str, Any]:
    return {
        "tp": narrow.ranks,
        "count": one.ranks / narrow.ranks,
        "tokens_per_second": narrow.tokens_per_second_per_gpu * one.ranks,
        "predicted": narrow.label is None,
    }
