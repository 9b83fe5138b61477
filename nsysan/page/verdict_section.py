"""The top of the page: what bounds the step, three numbers, what a fix would save, and how good the evidence is."""

from __future__ import annotations

import re

from nsysan.diagnosis.evidence import UNDER_THE_VERDICT, Aspect, Status
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.diagnosis.workload import Workload
from nsysan.page.elements import safe, said
from nsysan.page.glossary import STATUS, linked
from nsysan.page.pace_section import bars, late_table, saved
from nsysan.page.palette import colour_of, paint
from nsysan.page.still import still
from nsysan.report.basis_text import basis_of
from nsysan.report.key_numbers import KeyNumber, first_finding, key_numbers
from nsysan.report.report import Report
from nsysan.report.sentences import headline_sentence, sure_sentence
from nsysan.report.tail_sentences import tail_sentence
from nsysan.text import counted, duration, pct, percent

_ACCENT = "var(--accent)"
_NAMED = re.compile(r"\branks? \d")
#: So many findings are named beside the first.
_ALSO = 2
_FASTER = (
    "nothing about communication or the host: what they cost beyond need is little (see What a fix saves). The step is "
    "the kernels' own time: quantised weights and cache read fewer bytes a token, a larger batch shares what is read, "
    "and nsysan compare tells what more GPUs would buy."
)


def lead(report: Report) -> str:
    """HTML of the verdict and what belongs to it."""
    verdict = report.diagnosis.verdict
    cards = "".join(map(_card, key_numbers(report)))
    reason, _, more = verdict.reason.partition(". ")
    told = {
        "late": report.late_sentence(),
        "savings": report.savings_sentence(),
        "tail": tail_sentence(report),
        "period": headline_sentence(report),
    }
    # A verdict that names no rank is followed at once by who is late, be it nobody.
    late = "" if _NAMED.search(reason) else _line("late", told.pop("late"))
    lines = "".join(_line(name, text) for name, text in told.items())
    rest = f"<p>{linked(more)}</p>" if more else ""
    sure = linked(sure_sentence(report))
    of = "".join(f"<p><b>{name}</b>: {linked(sentence)}</p>" for name, sentence in basis_of(report))
    grounds = linked(_grounds(report))
    first = f'<p class="lead"><b>{safe(verdict.kind)}</b>: {linked(reason)}</p>{rest}'
    why = f"<p><b>how sure</b>: {sure}. <span>{grounds}</span></p>"
    return (
        f'<section id="verdict"><div class="first"><div class="verdict">{of}{first}{why}{late}{_advice(report)}</div>'
        f'<div><div class="cards">{cards}</div>{bars(report)}</div></div>{still(report)}'
        f'<div class="told">{lines}</div>'
        f'<div class="pair"><div>{saved(report)}</div><div>{late_table(report)}</div></div>'
        f"{_evidence(report)}</section>"
    )


def _line(name: str, text: str) -> str:
    return f"<p><b>{name}</b>: {linked(text)}</p>" if text else ""


def _grounds(report: Report) -> str:
    """What the verdict rests on, in figures: coverage, matched, the replay's error, the profiler's weight, left out."""
    told = report.diagnosis
    calls = [(family.matched, family.matched + family.unmatched) for family in report.collectives]
    matched, of = (sum(column) for column in zip(*calls, strict=True)) if calls else (0, 0)
    what = told.what_if
    parts = {
        "steady steps cover": next((row.reason for row in report.quality if row.id == Aspect.COVERAGE), ""),
        "collectives match": f"{percent(matched, of)} of the collectives match" if of else "no collective to match",
        "replay of the steps": ""
        if what is None or what.error is None
        else f"a replay of the steps misses their period by {pct(what.error)}",
        "tracing costs": _profiler(report),
        "left out": f"{counted(len(report.steps.excluded), 'step')} left out",
    }
    # What was said as the reason is not said again.
    why = sure_sentence(report)
    words = "; ".join(part for key, part in parts.items() if part and key not in why)
    return f"{words[:1].upper()}{words[1:]}."


def _profiler(report: Report) -> str:
    without, period = report.diagnosis.untraced, report.headline["period_ns"]
    if without is None or not period:
        return "what tracing costs was not measured (give --untraced a step's time without nsys)"
    return f"tracing costs {duration(period - without.period)} a step ({percent(period - without.period, period)})"


def _card(number: KeyNumber) -> str:
    colour = _ACCENT if number.shows is None else paint(colour_of(number.shows))
    return (
        f'<div class="card" style="--colour:{colour}"><b>{said(number.value)}</b><span>{said(number.of)}</span></div>'
    )


def _advice(report: Report) -> str:
    """The first thing to do, one click from its evidence."""
    first = first_finding(report)
    verdict = report.diagnosis.verdict
    if first is None and verdict.kind == VerdictKind.COMPUTE and verdict.workload is Workload.DECODE:
        return f"<p><b>do first</b>: {said(_FASTER)}</p>"
    if first is None:
        return '<p>No finding of weight: see <a href="#findings">findings</a> and the ledger below.</p>'
    others = [finding for finding in report.findings if finding is not first]
    also = "; ".join(_named(finding, finding.severity) for finding in others[:_ALSO])
    more = f'; <a href="#findings">{len(others) - _ALSO} more</a>' if len(others) > _ALSO else ""
    return f"<p><b>do first</b>: {_named(first)}. {said(first.fix[:1].upper() + first.fix[1:])}.</p>" + (
        f"<p><b>also, most severe first</b>: {also}{more}.</p>" if also else ""
    )


def _named(finding: Finding, severity: str = "") -> str:
    told = "; ".join(part for part in (severity, finding.saves) if part)
    return f'<a href="#finding-{safe(finding.id)}">{said(finding.title)}</a>{said(f" ({told})" if told else "")}'


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
