"""The sampled GPU counters in a few lines of the summary."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import polars as pl

from nsysan.metrics.counters import Counter, SampleStats
from nsysan.styled import label
from nsysan.text import number, plain, wrapped

#: Steps whose means differ by this share, and by more than nsys' rounding to whole numbers, are told.
_UNEVEN = 0.2
_ROUNDING = 2
_INDENT = " " * 10


def counter_lines(counters: list[Counter]) -> list[str]:
    """Mean and peak over the steady steps; inside collectives and outside, and from step to step, where that tells.

    Nothing where no counter was sampled often enough.
    """
    by_metric: dict[str, list[Counter]] = {}
    for counter in counters:
        by_metric.setdefault(counter.metric, []).append(counter)
    whole = _joined(by_metric, _whole)
    if not whole:
        return []
    lines = [wrapped(f"{label('counters')}{whole}; mean over the steady steps, median over the ranks", _INDENT)]
    for what, told in (("in collectives and outside", _split), ("means of single steps", _uneven)):
        if figures := _joined(by_metric, told):
            lines.append(_INDENT + wrapped(f"{what}: {figures}", _INDENT))
    return lines


def _joined(by_metric: dict[str, list[Counter]], tell: Callable[[list[Counter]], str | None]) -> str:
    told = ((metric, tell(own)) for metric, own in by_metric.items())
    return ", ".join(f"{metric} {figures}" for metric, figures in told if figures)


def _whole(own: list[Counter]) -> str | None:
    return _mean_and_peak(own, [counter.steps for counter in own])


def _split(own: list[Counter]) -> str | None:
    inside = _mean_and_peak(own, [counter.in_collectives for counter in own])
    outside = _mean_and_peak(own, [counter.outside for counter in own])
    return f"{inside} and {outside}" if inside and outside else None


def _mean_and_peak(own: list[Counter], parts: list[SampleStats]) -> str | None:
    """Median over the ranks of the mean, and the highest peak; None where no rank has them."""
    means = [part.mean for part in parts if part.mean is not None]
    if not means:
        return None
    return f"{number(median(means))}{_unit(own)} (peak {number(max(part.peak or 0 for part in parts))})"


def _uneven(own: list[Counter]) -> str | None:
    """Least and greatest mean of a steady step (median over the ranks), where they are far apart."""
    steps = pl.concat(counter.per_step for counter in own).filter("steady")
    means = steps.group_by("step").agg(pl.median("mean"))["mean"].drop_nulls()
    if means.is_empty():
        return None
    low, high = float(means.min()), float(means.max())  # type: ignore[arg-type]
    far = high - low > max(_ROUNDING, _UNEVEN * high)
    return f"{number(low)} to {number(high)}{_unit(own)}" if far else None


def _unit(own: list[Counter]) -> str:
    return f" {plain(own[0].unit)}" if own[0].unit else ""
