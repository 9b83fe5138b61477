"""What a report says in sentences, the same in every output."""

from __future__ import annotations

from nsysan.metrics.outliers import Outlier
from nsysan.metrics.tail_causes import TAILS
from nsysan.report.report import Report, visible_lines
from nsysan.styled import label, styled
from nsysan.text import counted, duration, percent, plain, size, us

_VISIBLE = 0.0005
_SPREAD = 0.05


def expectation_sentence(report: Report) -> str:
    """What the user states of the model beside the measured; nothing where nothing is stated."""
    compared = report.expectation
    if compared is None:
        return ""
    wanted = compared.expected
    told = []
    if wanted.calls is not None:
        measured = "none visible" if compared.calls is None else str(compared.calls)
        told.append(f"{wanted.calls} all-reduces a step, measured {measured}")
    if wanted.message_bytes is not None:
        sizes = ", ".join(f"{size(n)} ({counted(calls, 'call')})" for n, calls in compared.sizes.items())
        filled = f"; taken for the {counted(compared.filled, 'kernel')} without a size" if compared.filled else ""
        told.append(f"{size(wanted.message_bytes)} each, measured {plain(sizes) or 'none'}{filled}")
    return f"{label('expected')}{'; '.join(told)} (by {plain(wanted.source)})"


def headline_sentence(report: Report) -> str:
    """What the step is made of, with the range over the ranks where they differ."""
    head = report.headline
    period = head["period_ns"]
    if not period:
        return "no steady decode step: nothing to summarise"
    shares = []
    for line in visible_lines(report):
        ns = report.per_rank[line.column].drop_nulls()
        if ns.is_empty() or int(ns.max()) < _VISIBLE * period:  # type: ignore[arg-type]
            continue
        low, high = int(ns.min()), int(ns.max())  # type: ignore[arg-type]
        spread = f" ({percent(low, period)} to {percent(high, period)})" if high - low > _SPREAD * period else ""
        shares.append(f"{styled(line, line)} {percent(head[line.column], period)}{spread}")
    ranged = " and range" if any("(" in share for share in shares) else ""
    over = f"median{ranged} over the ranks" if len(report.per_rank) > 1 else "one rank"
    return f"{duration(period)} a step: {', '.join(shares)}; {over}"


def outlier_sentence(report: Report, outlier: Outlier) -> str:
    """One slow step: by how much, and where it went."""
    label = plain(report.steps.labels[outlier.step], 40)
    at = "" if outlier.call is None else f"; most lost at its collective {outlier.call}: {us(outlier.lost_at_call)} µs"
    head = f"step {outlier.step} ({label}): {duration(outlier.period)}, {us(outlier.excess)} µs over the median; "
    if outlier.cause is None:
        return f"{head}nothing tells what grew"
    on = "" if outlier.rank is None else f" on rank {outlier.rank}"
    why = f" ({TAILS[outlier.cause].meaning})" if outlier.cause.value != outlier.line else ""
    return f"{head}{outlier.line}{on} grew by {us(outlier.growth)} µs{why}{at}"
