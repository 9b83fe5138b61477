"""The summary that a person pastes into a ticket."""

from __future__ import annotations

from collections import Counter

import polars as pl

from nsysan.diagnosis.collectives import CollectiveFamily
from nsysan.diagnosis.quality import OK
from nsysan.diagnosis.verdict import by_host, why_late
from nsysan.metrics.gaps import BETWEEN_STEPS, MEANING, SYNC
from nsysan.metrics.outliers import Outlier
from nsysan.metrics.skew import Straggler
from nsysan.report.build import Report, visible_lines
from nsysan.report.counter_text import counter_lines
from nsysan.text import counted, ms, numbered, percent, plain, size, table, us, wrapped

_LABEL = {"comm_unsplit": "unsplit"}
_VISIBLE = 0.0005
_SPREAD = 0.05
NOTABLE = 0.01
_FINDINGS = 5


def to_text(report: Report) -> str:
    """The summary as plain text: the verdict, the late rank and the savings first."""
    parts = [
        answers(report),
        _findings(report),
        _capture(report),
        _ledger(report),
        _collectives(report),
        expectation_sentence(report),
        _gaps(report),
        _slowest(report),
    ]
    return "\n\n".join(part for part in (*parts, _lookalikes(report), _quality(report)) if part) + "\n"


def answers(report: Report) -> str:
    """What bounds the step, which rank and why, and what fixing it would save: three lines."""
    return "\n".join(
        (
            f"verdict   {report.diagnosis.verdict.kind}: {report.diagnosis.verdict.reason}",
            f"late      {late_sentence(report)}",
            f"savings   {savings_sentence(report)}",
        )
    )


def _findings(report: Report) -> str:
    """The findings that matter most: what, how much, and what to do."""
    if not report.findings:
        return ""
    shown = report.findings[:_FINDINGS]
    more = (
        f"; {len(report.findings) - len(shown)} more in the JSON and on the page" if report.findings[_FINDINGS:] else ""
    )
    lines = [f"findings (savings of several need not add up{more})"]
    for finding in shown:
        saves = f"  [{finding.saves}]" if finding.saves else ""
        lines += [
            f"  {finding.severity:<6}  {plain(finding.title, 200)}{saves}",
            f"          {wrapped(finding.fix, ' ' * 10, 100)}",
        ]
    return "\n".join(lines)


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
        shares.append(f"{_LABEL.get(line, line)} {percent(head[f'{line}_ns'], period)}{spread}")
    ranged = " and range" if any("(" in share for share in shares) else ""
    over = f"median{ranged} over the ranks" if len(report.per_rank) > 1 else "one rank"
    return f"{ms(period)} a step: {', '.join(shares)}; {over}"


def _capture(report: Report) -> str:
    models = Counter(rank.model or "unknown GPU" for rank in report.ranks)
    gpus = ", ".join(f"{n} x {plain(model)}" for model, n in models.items())
    graphs = {"node": "CUDA graphs by node", "graph": "CUDA graphs as blocks", "none": "no CUDA graph replays"}
    source = report.inputs[0]
    names = ", ".join(plain(i.name) for i in report.inputs[:8]) + (" ..." if len(report.inputs) > 8 else "")
    version = f"nsys {source.nsys_version or 'of unknown version'} (schema {source.schema_version or 'unknown'})"
    ranks = counted(len(report.ranks), "rank")
    of_all = f" of {report.size}" if report.size and report.size > len(report.ranks) else ""
    lines = [
        f"trace     {names}, exported by {plain(version)}, read by nsysan {report.version}",
        f"captured  {ranks}{of_all} on {gpus}; {graphs[source.graph_trace]}",
        *(f"clock     {q.reason}" for q in report.quality if q.id == "clock"),
        _steps(report),
        f"period    {headline_sentence(report)}",
        *counter_lines(report.counters),
    ]
    return "\n".join(lines)


def _steps(report: Report) -> str:
    steps = report.steps
    steady = len(steps.steady)
    over = f"medians over the {steady} steady ones" if steady > 1 else "of the only steady one"
    figures = f"figures are {over}" if steady else "none of them is steady"
    lines = [f"steps     {steps.count} by {plain(steps.source)}; {figures}"]
    lines += [f"          {plain(note, 200)}" for note in steps.notes]
    by_reason: dict[str, list[int]] = {}
    for step, reason in steps.excluded.items():
        by_reason.setdefault(reason, []).append(step)
    for reason, numbers in by_reason.items():
        lines.append(f"          left out: {numbered('step', numbers)} ({plain(reason)})")
    return "\n".join(lines)


def _ledger(report: Report) -> str:
    if report.per_rank.is_empty():
        return ""
    lines = visible_lines(report)
    columns = ["period", *lines, "comm", "overlap"]
    header = ["rank", *(_LABEL.get(c, c) for c in columns)]
    rows = [[str(row["rank"]), *(us(row[f"{c}_ns"]) for c in columns)] for row in report.per_rank.iter_rows(named=True)]
    closed = f"every step of every rank sums to its period to 0 ns ({counted(len(report.per_step), 'ledger')} checked)"
    return "\n".join(
        ["ledger, us per step (median over the steady steps; medians need not add up)", *table(header, rows), closed]
    )


def _collectives(report: Report) -> str:
    if not report.collectives:
        return ""
    lines = ["collectives in all steps but prefill and the first", *map(_family, report.collectives)]
    return "\n".join([*lines, wrapped(f"  link: {report.link.sentence}", " " * 8)])


def speed_words(family: CollectiveFamily) -> list[str]:
    """Floor, bandwidths and their share of the link's peak, as far as they are known."""
    words = [] if family.floor is None else [f"floor {us(family.floor)} us ({floor_words(family)})"]
    if family.algbw is not None and family.busbw is not None:
        share = "" if family.peak_share is None else f" ({family.peak_share:.0%} of peak)"
        words.append(f"algbw {family.algbw:.3g}  busbw {family.busbw:.3g} GB/s{share}")
    return words


def floor_words(family: CollectiveFamily) -> str:
    """How far the median call is above its floor, and why the floor may be above the wire's p50."""
    above = family.wire is not None and family.floor is not None and family.floor > family.wire["p50"]
    return f"median call {us(family.excess)} over it" + (
        "; above p50, since ranks leave one after another" if above else ""
    )


def _family(family: CollectiveFamily) -> str:
    what = f"{family.kind or family.op_class} of {size(family.message_bytes)} over {family.over}"
    verdicts = [f"{family.matched} of {counted(family.count, 'call')} matched"]
    verdicts += [f"{n} {word}" for word, n in (("unmatched", family.unmatched), ("rejected", family.rejected)) if n]
    often = counted(family.count, "call") if family.a_step is None else f"{family.a_step} a step"
    text = f"  {often}  {what}: {', '.join(verdicts)}  [{plain(family.name, 60)}]"
    if family.wire is None or family.wait is None:
        return text
    after = "fused" if family.op_class == "fused" else "wire"
    spread = [
        f"{name} us p50 {us(v['p50'])}  p99 {us(v['p99'])}  max {us(v['max'])}"
        for name, v in ((after, family.wire), ("wait", family.wait))
    ]
    return text + "\n    " + "    ".join([*spread, *speed_words(family)])


def _gaps(report: Report) -> str:
    """Idle time by cause, a column a cause."""
    gaps = report.diagnosis.gaps
    causes = [cause for cause in MEANING if (gaps.filter(pl.col("cause") == cause)["ns"] > 0).any()]
    if not causes:
        return ""
    ns = {(rank, cause): value for rank, cause, value in gaps.select("rank", "cause", "ns").iter_rows()}
    rows = [[str(rank.rank), *(us(ns.get((rank.rank, cause), 0)) for cause in causes)] for rank in report.ranks]
    return "\n".join(["idle by cause, us per step (median over the steady steps)", *table(["rank", *causes], rows)])


def _slowest(report: Report) -> str:
    """The slowest steps, and what was different in them."""
    outliers = [o for o in report.diagnosis.outliers if o.excess >= NOTABLE * (o.period - o.excess)][:5]
    if not outliers:
        return ""
    return "\n".join(["slowest steps", *(f"  {outlier_sentence(report, o)}" for o in outliers)])


def outlier_sentence(report: Report, outlier: Outlier) -> str:
    """One slow step: by how much, and where it went."""
    label = plain(report.steps.labels[outlier.step], 40)
    at = "" if outlier.call is None else f"; most lost at its collective {outlier.call}: {us(outlier.lost_at_call)} us"
    return (
        f"step {outlier.step} ({label}): {ms(outlier.period)}, {us(outlier.excess)} us over the median; "
        f"{_LABEL.get(outlier.line, outlier.line)} on rank {outlier.rank} grew by {us(outlier.growth)} us{at}"
    )


def _lookalikes(report: Report) -> str:
    if not report.lookalikes:
        return ""
    lines = ["not in the catalogue, but named like collectives (counted as compute)"]
    lines += [
        f"  {plain(k.name, 80)}: {counted(k.calls, 'call')}, {100 * k.share:.1f} % of kernel time"
        for k in report.lookalikes[:10]
    ]
    return "\n".join(lines)


def _quality(report: Report) -> str:
    rows = [q for q in report.quality if q.status != OK]
    if not rows:
        return ""
    return "\n".join(
        ["read with care", *(wrapped(f"  {q.id} ({q.status.replace('_', ' ')}): {q.reason}", " " * 6) for q in rows)]
    )
