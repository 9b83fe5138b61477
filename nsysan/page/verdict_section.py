"""The top of the page: what bounds the step, three numbers, what a fix would save, and how good the evidence is."""

from __future__ import annotations

import polars as pl

from nsysan.diagnosis.evidence import UNDER_THE_VERDICT, Aspect, Status
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.latecomers import by_host
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.diagnosis.workload import Workload
from nsysan.metrics.lines import Line
from nsysan.metrics.scenarios import SCENARIOS, Scenario
from nsysan.page.elements import safe, table
from nsysan.page.glossary import STATUS, linked, term
from nsysan.page.palette import COLOURS, NAMES, paint
from nsysan.report.key_numbers import KeyNumber, first_finding, key_numbers
from nsysan.report.report import Report, visible_lines
from nsysan.report.sentences import headline_sentence
from nsysan.report.tail_sentences import tail_sentence
from nsysan.text import ms, percent, us

_ACCENT = "var(--accent)"
#: So many findings are named beside the first.
_ALSO = 4
_FASTER = (
    "nothing about communication or the host: what they cost beyond need is little (see What a fix saves). The step is "
    "the kernels' own time: quantised weights and cache read fewer bytes a token, a larger batch shares what is read, "
    "and nsysan compare tells what more GPUs would buy."
)


def lead(report: Report) -> str:
    """HTML of the verdict and what belongs to it."""
    verdict = report.diagnosis.verdict
    cards = "".join(map(_card, key_numbers(report)))
    told = (
        ("late", report.late_sentence()),
        ("savings", report.savings_sentence()),
        ("tail", tail_sentence(report)),
        ("coverage", next((q.reason for q in report.quality if q.id == Aspect.COVERAGE), "")),
        ("period", headline_sentence(report)),
    )
    lines = "".join(f"<p><b>{name}</b>: {linked(text)}</p>" for name, text in told if text)
    late = report.diagnosis.straggler
    also = f", and rank {late.rank} is late" if late is not None and verdict.kind != VerdictKind.SKEW else ""
    return (
        f'<section id="verdict"><div class="verdict"><p class="lead"><b>{safe(verdict.kind)}{safe(also)}</b>: '
        f"{linked(verdict.reason)}</p>{_advice(report)}</div>"
        f'<div class="cards">{cards}</div>{_strip(report)}<div class="told">{lines}</div>{_what_if(report)}'
        f"{_evidence(report)}</section>"
    )


def _card(number: KeyNumber) -> str:
    colour = _ACCENT if number.line is None else COLOURS[number.line]
    return (
        f'<div class="card" style="--colour:{colour}"><b>{safe(number.value)}</b><span>{safe(number.of)}</span></div>'
    )


def _advice(report: Report) -> str:
    """The first thing to do, one click from its evidence."""
    first = first_finding(report)
    verdict = report.diagnosis.verdict
    if first is None and verdict.kind == VerdictKind.COMPUTE and verdict.workload is Workload.DECODE:
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
        _bar(name, period, [(line, own[line.column]) for line in lines])
        for name, own in rows
        if (period := own["period_ns"])
    )


def _bar(name: str, period: int, shares: list[tuple[Line, int | None]]) -> str:
    """A bar of one rank, with its own shares of its period under it."""
    parts = "".join(
        f'<span style="flex-grow:{ns / period:.4f};background:{paint(line)}" title="{safe(NAMES[line])}: '
        f'{safe(percent(ns, period))}"></span>'
        for line, ns in shares
        if ns
    )
    words = "".join(
        f'<span><i style="background:{paint(line)}"></i>{term(line, NAMES[line])} {safe(percent(ns, period))}</span>'
        for line, ns in shares
        if ns is not None
    )
    if not parts:
        return ""
    return (
        f'<p class="of">{safe(name)}</p><div class="strip" aria-hidden="true">{parts}</div><p class="key">{words}</p>'
    )


def _what_if(report: Report) -> str:
    what = report.diagnosis.what_if
    if what is None or not what.told:
        return ""
    rows = [["as measured", ms(what.period), "", "", ""]]
    for scenario in what.listed:
        row, ns = SCENARIOS[scenario], what[scenario]
        name = f"{term(row.title)}{row.name.removeprefix(row.title)}"
        if ns is None:
            rows.append([name, "-", "-", "-", ""])
            continue
        saved = what.period - ns
        rows.append([name, ms(ns), us(saved), percent(saved, what.period), _gauge(saved / what.period)])
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
    saved = what.saves(Scenario.NO_SKEW) if what is not None else None
    if late is None or saved is None:
        return ""
    text = (
        f"Quote {ms(late.caused)} for what rank {late.rank} costs and {ms(saved)} for what a fix "
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
        f'<a class="chip {safe(q.status)}" href="#quality-{safe(q.id)}" title="{safe(q.reason)}">{safe(q.id.words)}</a>'
        for status in (Status.NOT_MEASURABLE, Status.ESTIMATED)
        for q in counts[status]
    )
    told = ", ".join(f"{len(rows)} {STATUS[status]}" for status, rows in counts.items() if rows)
    weak = [q.id.words for q in report.quality if q.status != Status.OK and q.id in UNDER_THE_VERDICT]
    rests = f"the verdict rests on {', '.join(weak)}" if weak else "none of it is what the verdict rests on"
    note = f"; {rests}: " if chips else ""
    return f'<p class="evidence"><b>evidence</b>: {safe(told)}{safe(note)} {chips}</p>'
