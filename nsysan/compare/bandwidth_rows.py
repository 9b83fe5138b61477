"""Bandwidth of a side's calls of one size, in every steady step."""

from __future__ import annotations

import numpy as np

from nsysan.compare.comparison import F64, Bandwidth, Measured
from nsysan.metrics.bandwidth import Speed, peak_share, speed
from nsysan.report.report import Report

_UNKNOWN = Measured(None, np.zeros(0))


def bandwidth(
    report: Report, kind: str, sizes: list[int | None], ranks: list[int], kernels: list[str], wire: Measured
) -> Bandwidth:
    """Of the calls of a kind that these kernels do; wire: ns a call."""
    reason = _why_not(report, kind, sizes, ranks, kernels)
    one_ns = None if reason else speed(kind, sizes[0], ranks[0], 1.0)
    if one_ns is None or not wire.value or not wire.steps.all():
        return Bandwidth(_UNKNOWN, _UNKNOWN, _UNKNOWN, reason or "the time after the last arrival is not known")
    algbw, busbw = _over(one_ns.algbw, wire.value, wire.steps), _over(one_ns.busbw, wire.value, wire.steps)
    unit_share = peak_share(Speed(1.0, 1.0), sizes[0], report.link.peak_gbps)
    peak = _UNKNOWN if unit_share is None else _over(100 * unit_share * one_ns.busbw, wire.value, wire.steps)
    return Bandwidth(algbw, busbw, peak, None)


def _over(amount: float, value: float, steps: F64) -> Measured:
    return Measured(amount / value, amount / steps)


def _why_not(report: Report, kind: str, sizes: list[int | None], ranks: list[int], kernels: list[str]) -> str | None:
    if None in sizes:
        return "the size of its messages is not known"
    if len(sizes) > 1 or len(ranks) != 1:
        return "its calls are of several sizes or numbers of ranks"
    if speed(kind, sizes[0], ranks[0], 1.0) is None:
        return f"there is no bandwidth of {kind} over {ranks[0]}"
    rows = [
        f
        for f in report.collectives
        if (f.kind, f.message_bytes, f.ranks) == (kind, sizes[0], ranks[0]) and f.name in kernels
    ]
    # The report gives no speed to kernels that compute, nor to calls whose ranks are not all in the trace.
    if any(f.wire is not None and f.busbw is None for f in rows):
        return "compute is in the kernel, or a rank of the call is not in the trace"
    return None
