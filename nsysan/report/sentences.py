"""What a report says in sentences, the same in every output."""

from __future__ import annotations

import polars as pl

from nsysan.diagnosis.evidence import OK
from nsysan.diagnosis.verdict import by_host, why_late
from nsysan.metrics.gaps import BETWEEN_STEPS, SYNC
from nsysan.metrics.outliers import Outlier
from nsysan.metrics.skew import Straggler
from nsysan.report.report import Report, visible_lines
from nsysan.text import counted, ms, percent, plain, size, us

#: Ledger lines that sentences and narrow tables call by another name.
LABEL = {"comm_unsplit": "unsplit"}
#: Less than this share of the period goes without saying.
NOTABLE = 0.01
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
    return f"expected  {'; '.join(told)} (by {plain(wanted.source)})"


def late_sentence(report: Report) -> str:
    """Who is late, by how much, and why; or why nobody is named."""
    late = report.diagnosis.straggler
    if late is None:
        found = next(q for q in report.quality if q.id == "straggler")
        if found.status != OK:
            return f"cannot be told: {found.reason}"
        return f"nobody: {found.reason}{nearest_sentence(report)}"
    parts = sorted(late.parts.items(), key=lambda part: -abs(part[1]))
    shown = ", ".join(f"{name} {ns / 1e3:+,.0f} us" for name, ns in parts if abs(ns) >= 1_000) or "no part stands out"
    hotspot = report.diagnosis.hotspot
    where = f", {hotspot.where()}" if hotspot else ""
    which = f"; kernel {hotspot.which()}" if hotspot and hotspot.kernel else ""
    return (
        f"rank {late.rank} arrives last and costs the others {ms(late.caused)} a step ({late.share:.0%}){where}; "
        f"cause {late.cause or 'cannot be told'} ({why_late(late)}{_idles(late)}; against the median rank: "
        f"{shown}{which})"
    )


def _idles(late: Straggler) -> str:
    """Which idle time grew on a rank whose host is late."""
    cause = next(iter(late.idle), "") if by_host(late) else ""
    return {BETWEEN_STEPS: ", between the steps", SYNC: ", after waiting for the GPU"}.get(cause, "")


def nearest_sentence(report: Report) -> str:
    """Of a run without a late rank: the rank that comes nearest to being one, if any stands out; else ""."""
    period = report.headline["period_ns"]
    caused = report.diagnosis.caused.filter(pl.col("step").is_in(report.steps.steady))
    if not period or caused.is_empty():
        return ""
    costs = caused.group_by("rank").agg(pl.median("ns")).sort(["ns", "rank"], descending=[True, False])
    rank, ns = costs.row(0)
    second = float(costs["ns"][1]) if len(costs) > 1 else 0.0
    if ns < NOTABLE * period or ns < 2 * second:
        return ""
    return f"; rank {rank} comes nearest, with {ms(ns)} a step ({ns / period:.1%})"


def savings_sentence(report: Report) -> str:
    """What a step takes, and would take without each loss."""
    what = report.diagnosis.what_if
    if what is None:
        return "no steady decode step"
    forms = (
        ("without skew", what.no_skew),
        ("with the wire at its floor", what.floor_wire),
        ("without late hosts", what.no_host_late),
        ("with all three", what.all),
    )
    if what.no_skew is None:
        return f"{ms(what.period)} a step now; what could be saved cannot be told from this trace"
    told = [
        f"{name} {ms(ns)} ({(ns - what.period) / 1e3:+,.0f} us)"
        for name, ns in forms
        if ns is not None and what.period - ns >= NOTABLE * what.period
    ]
    bound = what.no_host_late is not None and any(q.id == "what_if" and q.status != OK for q in report.quality)
    losses = "skew, the wire's excess and late hosts" if what.all is not None else "skew and the wire's excess"
    listed = ", ".join(told) if told else f"less than {NOTABLE:.0%} to gain from {losses}"
    if what.no_host_late is None:
        listed += "; what late hosts cost cannot be told"
    return f"{ms(what.period)} a step now; {listed}" + (" (upper bounds: the profiler slows the host)" if bound else "")


def headline_sentence(report: Report) -> str:
    """What the step is made of, with the range over the ranks where they differ."""
    head = report.headline
    period = head["period_ns"]
    if not period:
        return "no steady decode step: nothing to summarise"
    shares = []
    for line in visible_lines(report):
        ns = report.per_rank[f"{line}_ns"].drop_nulls()
        if ns.is_empty() or int(ns.max()) < _VISIBLE * period:  # type: ignore[arg-type]
            continue
        low, high = int(ns.min()), int(ns.max())  # type: ignore[arg-type]
        spread = f" ({percent(low, period)} to {percent(high, period)})" if high - low > _SPREAD * period else ""
        shares.append(f"{LABEL.get(line, line)} {percent(head[f'{line}_ns'], period)}{spread}")
    ranged = " and range" if any("(" in share for share in shares) else ""
    over = f"median{ranged} over the ranks" if len(report.per_rank) > 1 else "one rank"
    return f"{ms(period)} a step: {', '.join(shares)}; {over}"


def outlier_sentence(report: Report, outlier: Outlier) -> str:
    """One slow step: by how much, and where it went."""
    label = plain(report.steps.labels[outlier.step], 40)
    at = "" if outlier.call is None else f"; most lost at its collective {outlier.call}: {us(outlier.lost_at_call)} us"
    return (
        f"step {outlier.step} ({label}): {ms(outlier.period)}, {us(outlier.excess)} us over the median; "
        f"{LABEL.get(outlier.line, outlier.line)} on rank {outlier.rank} grew by {us(outlier.growth)} us{at}"
    )
