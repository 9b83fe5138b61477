"""Percentiles that were observed, of a figure whose middle and tail both count."""

from __future__ import annotations

import polars as pl

_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def percentiles(values: pl.Series) -> dict[str, int] | None:
    """Observed values at each percentile (nearest rank), None for no values."""
    if values.is_empty():
        return None
    found = {name: values.quantile(q, interpolation="higher") for name, q in _PERCENTILES.items()}
    return {name: int(value) for name, value in found.items() if value is not None}
