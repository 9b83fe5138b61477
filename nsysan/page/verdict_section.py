"""The top of the page: what bounds the step, three numbers, what a fix would save, and how good the evidence is."""

from __future__ import annotations

from nsysan.diagnosis.evidence import UNDER_THE_VERDICT, Status
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.findings.kinds import OfTheCapture, Severity
from nsysan.diagnosis.next_step import NextStep
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.metrics.scenarios import NOTABLE
from nsysan.page.elements import safe, said
from nsysan.page.finding_anchor import KERNELS, finding_anchor
from nsysan.page.glossary import STATUS, linked
from nsysan.page.pace_section import bars
from nsysan.page.palette import colour_of, paint
from nsysan.page.savings_tables import late_table, saved
from nsysan.page.still import still
from nsysan.report.basis_text import basis_of
from nsysan.report.key_numbers import KeyNumber, key_numbers
from nsysan.report.report import Report
from nsysan.report.sentences import headline_sentence
from nsysan.report.tail_sentences import tail_sentence
from nsysan.report.verdict_text import also_unsure, sure_in_short, surer_words, tested_words, untested_sentences
from nsysan.text import sentence

_ACCENT = "var(--accent)"
#: So many findings are named beside the first.
_ALSO = 2


def lead(report: Report) -> str:
    """HTML of the verdict and what belongs to it."""
    verdict = report.diagnosis.verdict
    cards = "".join(map(_card, key_numbers(report)))
    of = "".join(_row(name, linked(words)) for name, words in basis_of(report))
    first = f"<b>{safe(verdict.kind)}</b>: {linked(verdict.says + verdict.absent)}"
    short = sure_in_short(report)
    level, _, why = short.partition(",")
    sure = f"<b>{safe(level)}</b>{linked(f',{why}' if why else '')}. "
    sure += linked(f"{sentence(surer)} ") if (surer := surer_words(report)) else ""
    also = f"Also: {linked(more)}. " if (more := also_unsure(report)) else ""
    tested = f"Checked: {linked(checked)}. " if (checked := tested_words(report)) else ""
    sure += f"<span>{also}{tested}{linked(untested_sentences(report))}</span>"
    told = {
        "late": report.late_sentence() if report.diagnosis.late else "",
        "savings": report.savings_sentence(),
        "tail": tail_sentence(report),
        "period": headline_sentence(report),
    }
    lines = "".join(f"<p><b>{name}</b>: {linked(text)}</p>" for name, text in told.items() if text)
    return (
        f'<section id="verdict"><div class="first"><div class="verdict">{_row("verdict", first, lead=True)}{of}'
        f"{_row('late rank', linked(report.late_in_short()))}{_row('do next', _next(report))}{_saves(report)}"
        f"{_row('how sure', sure)}"
        f"{_also(report)}</div>"
        f'<div><div class="cards">{cards}</div>{bars(report)}</div></div>{still(report)}'
        f'<div class="told">{lines}</div>'
        f'<div class="pair"><div>{saved(report)}</div><div>{late_table(report)}</div></div>'
        f"{_evidence(report)}</section>"
    )


def _row(name: str, html: str, *, lead: bool = False) -> str:
    """A line of the first screen: what it is about, and that."""
    return f'<p class="row{" lead" if lead else ""}"><b>{safe(name)}</b><span>{html}</span></p>'


def _card(number: KeyNumber) -> str:
    colour = _ACCENT if number.shows is None else paint(colour_of(number.shows))
    return (
        f'<div class="card" style="--colour:{colour}"><b>{said(number.value)}</b><span>{said(number.of)}</span></div>'
    )


def _next(report: Report) -> str:
    """HTML: the one thing to do, and the finding that it is of, one click away."""
    step = report.next_step
    then = f" {linked(sentence(step.then))}" if step.then else ""
    of = "" if step.finding is None else f" {_linked(report, step.finding, 'Finding')}."
    if step.finding is None and report.diagnosis.verdict.kind == VerdictKind.COMPUTE:
        of = f' <a href="#{KERNELS}">Kernels</a>.'
    return f"<strong>{said(sentence(step.do))}</strong>{then}{of}"


def _saves(report: Report) -> str:
    """HTML: what that gains."""
    step = report.next_step
    known, of = (step.gains, "") if step.known else ("not known", f", but {said(step.gains)}")
    told = [f"<strong>{said(known)}</strong>{of}"] if step.gains else []
    told += [linked(clause) for clause in (step.basis,) if clause]
    rest = f" {linked(sentence(step.rest))}" if step.rest else ""
    name = "gives" if step.finding is not None and step.finding.in_throughput else "saves"
    return _row(name, f"{', '.join(told)}.{rest}") if told else ""


def _also(report: Report) -> str:
    """HTML: the findings after that."""
    step = report.next_step
    first = step.finding
    # What is wrong with the recording is no loss of a step's.
    others = [one for one in report.findings if one is not first and _counts(one, report.paced_period or 0)]
    if not others and not step.after:
        return ""
    told = [linked(step.after)] if step.after else []
    told += [_named(report, one, _left(step, one)) for one in others[:_ALSO]]
    named = "; ".join(told)
    more = f'; <a href="#findings">{len(others) - _ALSO} more</a>' if len(others) > _ALSO else ""
    return _row("then", f"{named}{more}.")


def _left(step: NextStep, finding: Finding) -> str:
    """What a finding after the first one saves, or that it is in what the first one saves."""
    inside = bool(step.with_it) and bool(finding.ranks) and set(finding.ranks) <= set(step.with_it)
    return f"included above; by itself it {finding.saves}" if inside else finding.saves


def _counts(finding: Finding, period: int) -> bool:
    weighs = finding.severity == Severity.HIGH or (finding.saving or 0) >= NOTABLE * period
    return weighs and not isinstance(finding.id, OfTheCapture)


def _named(report: Report, finding: Finding, told: str = "") -> str:
    return f"{_linked(report, finding, finding.title)}{said(f' ({told})' if told else '')}"


def _linked(report: Report, finding: Finding, words: str) -> str:
    return f'<a href="#{safe(finding_anchor(report.findings, finding))}">{said(words)}</a>'


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
