"""The top of the page: what bounds the step, three numbers, what a fix would save, and how good the evidence is."""

from __future__ import annotations

import polars as pl

from nsysan.diagnosis.evidence import ESTIMATED, NOT_MEASURABLE, OK
from nsysan.diagnosis.findings.finding import AT_MOST, ESTIMATE, LOW, Finding
from nsysan.diagnosis.verdict import by_host
from nsysan.page.elements import safe, table
from nsysan.page.glossary import STATUS, linked, term
from nsysan.page.palette import COLOURS, NAMES
from nsysan.report.report import Report, visible_lines
from nsysan.report.sentences import headline_sentence, late_sentence, savings_sentence
from nsysan.text import counted, ms, percent, us

_ACCENT = "var(--accent)"
_NOTABLE = 0.01
_FORMS = (
    ("without skew", "no_skew"),
    ("wire at its floor", "floor_wire"),
    ("without late hosts", "no_host_late"),
    ("all three", "all"),
)
#: The ledger line behind each kind of verdict.
_BOUND_BY = {"compute": "compute", "wire": "wire", "skew": "wait", "launch": "idle"}

#: So many findings are named beside the first.
_ALSO = 4
#: Aspects of the evidence without which the verdict is another, or none.
_UNDER_THE_VERDICT = (
    "steps",
    "missing_ranks",
    "clock",
    "graph_contents",
    "wait_wire",
    "events",
    "host_time",
    "straggler",
    "gaps",
    "what_if",
)

_FASTER = (
    "nothing about communication or the host: what they cost beyond need is little (see What a fix saves). The step is "
    "the kernels' own time: quantised weights and cache read fewer bytes a token, a larger batch shares what is read, "
    "and nsysan compare tells what more GPUs would buy."
)

Number = tuple[str, str, str]


def lead(report: Report) -> str:
    """HTML of the verdict and what belongs to it."""
    verdict = report.diagnosis.verdict
    cards = "".join(
        f'<div class="card" style="--colour:{colour}"><b>{safe(value)}</b><span>{safe(name)}</span></div>'
        for value, name, colour in numbers(report)
    )
    told = (
        ("late", late_sentence(report)),
        ("savings", savings_sentence(report)),
        ("period", headline_sentence(report)),
    )
    lines = "".join(f"<p><b>{name}</b>: {linked(text)}</p>" for name, text in told)
    late = report.diagnosis.straggler
    also = f", and rank {late.rank} is late" if late is not None and verdict.kind != "skew" else ""
    return (
        f'<section id="verdict"><div class="verdict"><p class="lead"><b>{safe(verdict.kind)}{safe(also)}</b>: '
        f"{linked(verdict.reason)}</p>{_advice(report)}</div>"
        f'<div class="cards">{cards}</div>{_strip(report)}<div class="told">{lines}</div>{_what_if(report)}'
        f"{_evidence(report)}</section>"
    )


def numbers(report: Report) -> list[Number]:
    """The three numbers that matter: value, what it is, colour."""
    period = report.headline["period_ns"]
    if not period:
        return [(str(report.steps.count), "steps, none of them a steady decode step", _ACCENT)]
    steady = counted(len(report.steps.steady), "steady step")
    return [(ms(period), f"per decode step, median of {steady}", _ACCENT), _bound(report, period), _saving(report)]


def _bound(report: Report, period: int) -> Number:
    late = report.diagnosis.straggler
    if late is not None:
        return f"{late.share:.0%}", f"of it the others wait for rank {late.rank} ({ms(late.caused)})", COLOURS["wait"]
    shares = {line: report.headline[f"{line}_ns"] or 0 for line in visible_lines(report)}
    line = _BOUND_BY.get(report.diagnosis.verdict.kind, "")
    if line not in shares:
        line = max(shares, key=lambda name: shares[name])
    return percent(shares[line], period), f"of it is {NAMES[line]}", COLOURS[line]


def _saving(report: Report) -> Number:
    """What the finding to act on first saves; without one, what the what-if saves at most."""
    what = report.diagnosis.what_if
    first = first_finding(report)
    if first is not None and first.saving is not None and what is not None:
        how = {ESTIMATE: "about ", AT_MOST: "at most "}.get(first.saving_is, "")
        share = first.saving / what.period
        return f"{how}{ms(first.saving)} ({share:.0%})", f"a step saved: {first.title}", _ACCENT
    if what is None or what.no_skew is None:
        return "?", "to save: cannot be told from this trace (see Evidence)", _ACCENT
    forms = [ns for _, key in _FORMS if (ns := getattr(what, key)) is not None]
    told = "skew, the wire's excess and late hosts" if what.all is not None else "skew and the wire's excess"
    saved = what.period - min(forms)
    if first is not None:
        return "untold", f"what the first finding saves: {first.title}", _ACCENT
    if saved < _NOTABLE * what.period:
        return "< 1%", f"of a step to gain from {told} together", _ACCENT
    return f"{ms(saved)} ({saved / what.period:.0%})", f"a step saved at most, without {told}", _ACCENT


def first_finding(report: Report) -> Finding | None:
    """The finding to act on first; None where none is of weight."""
    return next((finding for finding in report.findings if finding.severity != LOW), None)


def _advice(report: Report) -> str:
    """The first thing to do, one click from its evidence."""
    first = first_finding(report)
    if first is None and report.diagnosis.verdict.kind == "compute":
        return f"<p><b>do first</b>: {safe(_FASTER)}</p>"
    if first is None:
        return '<p>No finding of weight: see <a href="#findings">findings</a> and the ledger below.</p>'
    others = [finding for finding in report.findings if finding is not first]
    also = "; ".join(_named(finding) for finding in others[:_ALSO])
    more = f'; <a href="#findings">{len(others) - _ALSO} more</a>' if len(others) > _ALSO else ""
    return f"<p><b>do first</b>: {_named(first)}. {safe(first.fix[:1].upper() + first.fix[1:])}.</p>" + (
        f"<p><b>also</b>: {also}{more}.</p>" if also else ""
    )


def _named(finding: Finding) -> str:
    saves = f" ({finding.saves})" if finding.saves else ""
    return f'<a href="#finding-{safe(finding.id)}">{safe(finding.title)}</a>{safe(saves)}'


def _strip(report: Report) -> str:
    """The median step as a bar, and that of a late rank beside it; the ledger's figures are in its table."""
    lines = visible_lines(report)
    rows = [("median rank", report.headline)]
    late = report.diagnosis.straggler
    if late is not None and late.rank in report.per_rank["rank"]:
        own = report.per_rank.row(by_predicate=pl.col("rank") == late.rank, named=True)
        rows = [("median rank", report.headline), (f"rank {late.rank}, the late one", own)]
    return "".join(
        _bar(name, period, [(line, own[f"{line}_ns"]) for line in lines])
        for name, own in rows
        if (period := own["period_ns"])
    )


def _bar(name: str, period: int, shares: list[tuple[str, int | None]]) -> str:
    """A bar of one rank, with its own shares of its period under it."""
    parts = "".join(
        f'<span style="flex-grow:{ns / period:.4f};background:{_paint(line)}" title="{safe(NAMES[line])}: '
        f'{safe(percent(ns, period))}"></span>'
        for line, ns in shares
        if ns
    )
    words = "".join(
        f'<span><i style="background:{_paint(line)}"></i>{term(line, NAMES[line])} {safe(percent(ns, period))}</span>'
        for line, ns in shares
        if ns is not None
    )
    if not parts:
        return ""
    return (
        f'<p class="of">{safe(name)}</p><div class="strip" aria-hidden="true">{parts}</div><p class="key">{words}</p>'
    )


def _paint(line: str) -> str:
    """A line's colour; idle is of the theme, as a light grey would be the brightest thing on a dark page."""
    return "var(--idle)" if line == "idle" else COLOURS[line]


def _what_if(report: Report) -> str:
    what = report.diagnosis.what_if
    if what is None or what.no_skew is None:
        return ""
    rows = [["as measured", ms(what.period), "", "", ""]]
    for name, key in _FORMS:
        ns = getattr(what, key)
        if ns is None:
            rows.append([term(name), "-", "-", "-", ""])
            continue
        saved = what.period - ns
        rows.append([term(name), ms(ns), us(saved), percent(saved, what.period), _gauge(saved / what.period)])
    return table(
        ["what if", "a step", "saved, us", "saved", "saved of the step"],
        rows,
        text=(0, 4),
        raw=(0, 4),
        caption="What a fix saves",
    ) + (f'<p class="note">{safe(_overlapping(report))}</p>' if report.diagnosis.straggler else "")


def _overlapping(report: Report) -> str:
    """Why what a late rank costs and what its fix saves are two figures, and which savings are the same time."""
    late, what = report.diagnosis.straggler, report.diagnosis.what_if
    if late is None or what is None or what.no_skew is None:
        return ""
    text = (
        f"Quote {ms(late.caused)} for what rank {late.rank} costs and {ms(what.period - what.no_skew)} for what a fix "
        f"saves: the first is the waiting that this rank alone causes, call by call; without skew all differences "
        f"between the ranks are gone, not only those of this rank."
    )
    if by_host(late):
        text += " Without skew and without late hosts take away the same lateness: the two do not add up."
    return text


def _gauge(share: float) -> str:
    width = f"{100 * max(0.0, min(share, 1.0)):.1f}%"
    return f'<span class="gauge" aria-hidden="true"><span style="width:{width}"></span></span>'


def _evidence(report: Report) -> str:
    counts = {status: [q for q in report.quality if q.status == status] for status in STATUS}
    chips = "".join(
        f'<a class="chip {safe(q.status)}" href="#quality-{safe(q.id)}" title="{safe(q.reason)}">'
        f"{safe(q.id.replace('_', ' '))}</a>"
        for status in (NOT_MEASURABLE, ESTIMATED)
        for q in counts[status]
    )
    told = ", ".join(f"{len(rows)} {STATUS[status]}" for status, rows in counts.items() if rows)
    weak = [q.id.replace("_", " ") for q in report.quality if q.status != OK and q.id in _UNDER_THE_VERDICT]
    rests = f"the verdict rests on {', '.join(weak)}" if weak else "none of it is what the verdict rests on"
    note = f"; {rests}: " if chips else ""
    return f'<p class="evidence"><b>evidence</b>: {safe(told)}{safe(note)} {chips}</p>'
