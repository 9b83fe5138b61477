"""Percentiles that were observed, of a figure whose middle and tail both count."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True)
class Spread:
    """Middle and tail of a figure, ns: p50 interpolated, p90, p99 and max as observed (nearest rank)."""

    p50: int
    mean: int
    p90: int
    p99: int
    max: int


def spread(values: pl.Series) -> Spread | None:
    """The spread of these values, None for none."""
    known = values.drop_nulls()
    if known.is_empty():
        return None
    p90, p99 = (round(known.quantile(q, interpolation="higher") or 0) for q in (0.9, 0.99))
    return Spread(
        p50=round(known.median() or 0),  # type: ignore[arg-type]
        mean=round(known.mean() or 0),  # type: ignore[arg-type]
        p90=p90,
        p99=p99,
        max=round(known.max() or 0),  # type: ignore[arg-type]
    )


def percentiles(values: pl.Series) -> dict[str, int] | None:
    """Observed values at each percentile (nearest rank), None for no values."""
    if values.is_empty():
        return None
    found = {name: values.quantile(q, interpolation="higher") for name, q in _PERCENTILES.items()}
    return {name: int(value) for name, value in found.items() if value is not None}
