"""Mean and tail of the period, and steps of which the median is of none, in sentences that every output shares."""

from __future__ import annotations

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.scope import humps_sentence
from nsysan.metrics.percentiles import Spread
from nsysan.metrics.scenarios import NOTABLE
from nsysan.metrics.tail import LISTED, TailRow
from nsysan.metrics.tail_causes import TAILS, TailCause
from nsysan.report.report import Report
from nsysan.text import duration, numbered, pct, pct_limit, us

_SHOWN = 4
#: Of fewer steps the 99th percentile is the longest.
_P99 = 100


def tail_sentence(report: Report) -> str:
    """Mean, p90, p99 and longest step beside the median, and what makes the mean longer; "" without a steady step."""
    head = report.replicas[report.replica]
    period = head.period
    if period is None:
        return ""
    # One median is enough where the two ways to it give alike.
    alike = abs(period.p50 - (report.headline["period_ns"] or 0)) < NOTABLE * period.p50
    median = "" if alike else f" (median {duration(period.p50)}, of steps that another follows, each that of its ranks)"
    p99 = f"p99 {duration(period.p99)}, " if len(report.steps.steady) >= _P99 else ""
    spread = f"mean {duration(period.mean)}{median}, p90 {duration(period.p90)}, {p99}longest "
    return f"{spread}{duration(period.max)}; {_made(report.diagnosis, period)}{_humps(report.diagnosis)}"


def _humps(diagnosis: Diagnosis) -> str:
    told = humps_sentence(diagnosis.humps)
    return f"; {told}" if told else ""


def _made(diagnosis: Diagnosis, period: Spread) -> str:
    if not diagnosis.tail:
        return (
            f"mean and median differ by less than {pct_limit(LISTED)}" if _same(period) else "no tail above the median"
        )
    more = period.mean - period.p50
    rows = "; ".join(map(tail_words, diagnosis.tail[:_SHOWN]))
    others = len(diagnosis.tail) - _SHOWN
    return f"{us(more)} µs a step ({pct(more / period.p50)}) above the median: {rows}" + (
        f"; {others} more" if others > 0 else ""
    )


def _same(period: Spread) -> bool:
    return abs(period.mean - period.p50) < LISTED * period.p50


def tail_words(row: TailRow) -> str:
    """One cause on one rank, by how much and in which steps."""
    if row.cause is TailCause.SPREAD:
        return f"{us(row.ns)} µs of {TAILS[row.cause].meaning}"
    who = "" if row.rank is None else f"rank {row.rank}, "
    return f"{who}{row.cause} {us(row.ns)} µs ({TAILS[row.cause].meaning}) in {numbered('step', row.steps)}"
