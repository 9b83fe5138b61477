"""The top of the page: what bounds the step, three numbers, what a fix would save, and how good the evidence is."""

from __future__ import annotations

import polars as pl

from nsysan.report.build import Report, visible_lines
from nsysan.report.glossary import term
from nsysan.report.page import safe, table
from nsysan.report.palette import COLOURS, NAMES
from nsysan.report.quality import ESTIMATED, NOT_MEASURABLE, OK
from nsysan.report.terminal import headline_sentence, late_sentence, savings_sentence
from nsysan.report.text import counted, ms, percent, us

_ACCENT = "var(--accent)"
_NOTABLE = 0.01
#: A single saving of this share of the period is worth naming alone.
_LARGE = 0.05
_FORMS = (
    ("without skew", "no_skew"),
    ("wire at its floor", "floor_wire"),
    ("without late hosts", "no_host_late"),
    ("all three", "all"),
)
#: The ledger line behind each kind of verdict.
_BOUND_BY = {"compute": "compute", "wire": "wire", "skew": "wait", "launch": "idle"}
_STATUS = {OK: "measured", ESTIMATED: "to be read with care", NOT_MEASURABLE: "not measurable"}

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
    lines = "".join(f"<p><b>{name}</b>: {safe(text)}</p>" for name, text in told)
    return (
        f'<section id="verdict"><div class="verdict"><p class="lead"><b>{safe(verdict.kind)}</b>: '
        f"{safe(verdict.reason)}</p>{_advice(report)}</div>"
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
    what = report.diagnosis.what_if
    if what is None or what.no_skew is None:
        return "?", "to save: cannot be told from this trace (see Evidence)", _ACCENT
    forms = [(name, ns) for name, key in _FORMS if (ns := getattr(what, key)) is not None]
    told = "skew, the wire's excess and late hosts" if what.all is not None else "skew and the wire's excess"
    together = min(ns for _, ns in forms)
    name, least = min((form for form in forms if form[0] != "all three"), key=lambda form: form[1])
    if what.period - together < _NOTABLE * what.period:
        return "< 1 %", f"to gain from {told} together", _ACCENT
    if what.period - least < _LARGE * what.period:
        name, least = f"without {told}", together
    return f"{ms(least)} ({(least - what.period) / what.period:+.0%})", f"a step {_worded(name)}", _ACCENT


def _worded(name: str) -> str:
    return f"with the {name}" if name == "wire at its floor" else name


def _advice(report: Report) -> str:
    """The first thing to do, one click from its evidence."""
    first = next((finding for finding in report.findings if finding.severity != "low"), None)
    if first is None and report.diagnosis.verdict.kind == "compute":
        return f"<p><b>do first</b>: {safe(_FASTER)}</p>"
    if first is None:
        return '<p>No finding of weight: see <a href="#findings">findings</a> and the ledger below.</p>'
    saves = "" if first.saving is None else f" (saves {ms(first.saving)} a step)"
    return (
        f'<p><b>do first</b>: <a href="#finding-{safe(first.id)}">{safe(first.title)}</a>{safe(saves)}. '
        f"{safe(first.fix[:1].upper() + first.fix[1:])}.</p>"
    )


def _strip(report: Report) -> str:
    """The median step as a bar, and that of a late rank beside it; the ledger's figures are in its table."""
    lines = visible_lines(report)
    rows = [("median rank", report.headline)]
    late = report.diagnosis.straggler
    if late is not None and late.rank in report.per_rank["rank"]:
        own = report.per_rank.row(by_predicate=pl.col("rank") == late.rank, named=True)
        rows = [("median rank", report.headline), (f"rank {late.rank}, the late one", own)]
    bars = "".join(_bar(name, [(line, own[f"{line}_ns"] or 0) for line in lines]) for name, own in rows)
    period = report.headline["period_ns"]
    words = "".join(
        f'<span><i style="background:{COLOURS[line]}"></i>{term(line, NAMES[line])} {safe(percent(ns, period))}</span>'
        for line in lines
        if (ns := report.headline[f"{line}_ns"]) is not None
    )
    return f'{bars}<p class="key">{words}</p>' if bars and period else ""


def _bar(name: str, shares: list[tuple[str, int]]) -> str:
    total = sum(ns for _, ns in shares)
    parts = "".join(
        f'<span style="flex-grow:{ns / total:.4f};background:{COLOURS[line]}" title="{safe(NAMES[line])}: '
        f'{safe(percent(ns, total))}"></span>'
        for line, ns in shares
        if ns
    )
    return f'<p class="of">{safe(name)}</p><div class="strip" aria-hidden="true">{parts}</div>' if parts else ""


def _what_if(report: Report) -> str:
    what = report.diagnosis.what_if
    if what is None or what.no_skew is None:
        return ""
    rows = [["as measured", ms(what.period), "", "", _gauge(1.0)]]
    for name, key in _FORMS:
        ns = getattr(what, key)
        if ns is None:
            rows.append([term(name), "-", "-", "-", ""])
            continue
        saved = what.period - ns
        rows.append([term(name), ms(ns), us(saved), percent(saved, what.period), _gauge(ns / what.period)])
    return table(
        ["what if", "a step", "saved, us", "saved", "of the step"],
        rows,
        text=(0, 4),
        raw=(0, 4),
        caption="What a fix saves",
    )


def _gauge(share: float) -> str:
    return f'<span class="gauge"><span style="width:{100 * max(0.0, min(share, 1.0)):.1f}%"></span></span>'


def _evidence(report: Report) -> str:
    counts = {status: [q for q in report.quality if q.status == status] for status in _STATUS}
    chips = "".join(
        f'<a class="chip {safe(q.status)}" href="#quality-{safe(q.id)}" title="{safe(q.reason)}">'
        f"{safe(q.id.replace('_', ' '))}</a>"
        for status in (NOT_MEASURABLE, ESTIMATED)
        for q in counts[status]
    )
    told = ", ".join(f"{len(rows)} {_STATUS[status]}" for status, rows in counts.items() if rows)
    return f'<p class="evidence"><b>evidence</b>: {safe(told)} {chips}</p>'
