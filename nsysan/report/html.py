"""The report as one HTML file that opens offline."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

import plotly.graph_objects as go
import polars as pl
from plotly.offline import get_plotlyjs

from nsysan.metrics.gaps import MEANING
from nsysan.report import figures
from nsysan.report.build import Report, visible_lines
from nsysan.report.palette import COLOURS, NAMES
from nsysan.report.terminal import headline_sentence, late_sentence, savings_sentence
from nsysan.report.text import counted, ms, percent, plain, size, us


def to_html(report: Report) -> str:
    """The page: plots, their tables, how steps were found, and how far each figure can be trusted.

    Everything that comes from the trace is escaped, and only this page's own scripts may run.
    """
    plots: dict[str, str] = {}
    body = "\n".join(
        (
            _lead(report),
            _section(
                "Ledger per rank",
                _LEDGER_NOTE,
                _plot(plots, "ledger", figures.ledger_bars(report)),
                _ledger_table(report),
            ),
            *(_timeline_section(plots, number, report) for number in range(len(report.timelines))),
            _lateness(plots, report),
            _section(
                "Steps",
                _PERIOD_NOTE,
                _plot(plots, "period", figures.period_series(report)),
                _slowest_table(report),
                _steps_table(report),
            ),
            _section(
                "Idle time by cause", _GAP_NOTE, _plot(plots, "gaps", figures.gap_bars(report)), _gap_table(report)
            ),
            _collectives(report),
            _quality(report),
        )
    )
    plotly, script = get_plotlyjs(), _asset("page.js")
    source = ", ".join(i.name for i in report.inputs)
    return Template(_asset("page.html")).substitute(
        title=_safe(f"nsysan: {source}"),
        subtitle=_safe(_subtitle(report)),
        policy=_policy(plotly, script),
        style=_asset("page.css"),
        body=body,
        figures="\n".join(
            f'<script type="application/json" id="figure-{name}">{text}</script>' for name, text in plots.items()
        ),
        plotly=plotly,
        script=script,
        version=_safe(report.version),
    )


_LEDGER_NOTE = (
    "Every nanosecond of a step is in exactly one line. Communication is cut at the arrival of the last rank: "
    "before it a rank waits, after it data moves. A rank with little wait and much idle or compute is the one "
    "the others wait for."
)
_PERIOD_NOTE = (
    "From the first GPU work of a step to the first of the next, so the host's gap between tokens is in it. Hollow "
    "points are left out of the medians."
)


_LATENESS_NOTE = (
    "How long after the first rank each rank arrived. caused: by how much the last rank came after the second last, "
    "which is what the run would gain had that rank alone arrived with it. The rank that waits longest is the one "
    "that is least late."
)
_GAP_NOTE = "Every idle interval has one cause; they sum to the ledger's idle line."


def _lead(report: Report) -> str:
    verdict, what = report.diagnosis.verdict, report.diagnosis.what_if
    sentences = (late_sentence(report), savings_sentence(report), headline_sentence(report))
    head = report.headline
    period = head["period_ns"]
    cards = [(ms(period), "per decode step", "var(--accent)")] if period else []
    cards += [
        (percent(head[f"{line}_ns"], period), NAMES[line], COLOURS[line])
        for line in visible_lines(report)
        if head[f"{line}_ns"] is not None
    ]
    if what is not None and what.all is not None:
        cards.append((ms(what.all), "without skew, wire excess and late hosts", "var(--accent)"))
    shown = "".join(
        f'<div class="card" style="--colour:{colour}"><b>{_safe(value)}</b><span>{_safe(name)}</span></div>'
        for value, name, colour in cards
    )
    names = ("late", "savings", "period")
    lines = "".join(f"<p><b>{name}</b>: {_safe(text)}</p>" for name, text in zip(names, sentences, strict=True))
    return (
        f'<div class="verdict"><p class="lead"><b>{_safe(verdict.kind)}</b>: {_safe(verdict.reason)}</p>{lines}</div>'
        f'<div class="cards">{shown}</div>'
    )


def _subtitle(report: Report) -> str:
    source = report.inputs[0]
    models = ", ".join(sorted({rank.model or "unknown GPU" for rank in report.ranks}))
    steps = f"{report.steps.count} steps by {report.steps.source}"
    return (
        f"{counted(len(report.ranks), 'rank')} on {models}; {steps}; "
        f"nsys {source.nsys_version or 'of unknown version'}, graph trace: {source.graph_trace}"
    )


def _timeline_section(plots: dict[str, str], number: int, report: Report) -> str:
    data = report.timelines[number]
    note = (
        f"All ranks on one clock, from the first to begin the step to the last to end it: "
        f"{ms(data.finish - data.origin)}. Drag to zoom, double-click to reset, click the "
        f"legend to filter; triangles mark the last rank to arrive; launch calls that lie before the step are to "
        f"the left."
    )
    if data.total > len(data.slices):
        note += f" The longest {len(data.slices):,} of {data.total:,} slices are shown; the figures count them all."
    return _section(
        f"Timeline: {data.role} step, {data.step} ({plain(data.label, 60)})",
        note,
        _plot(plots, f"timeline-{number}", figures.timeline(data), zoom="x"),
        _plot(plots, f"lateness-{number}", figures.lateness_in_step(data)),
        anchor=f"step-{data.step}",
    )


def _lateness(plots: dict[str, str], report: Report) -> str:
    spreads = report.diagnosis.spreads
    if not spreads:
        return ""
    shown = {timeline.step for timeline in report.timelines}
    header = [
        "rank",
        "last to arrive",
        *(f"{what} {q}" for what in ("wait", "wire") for q in ("p50", "p95", "p99", "max")),
    ]
    rows = [
        [
            f"rank {s.rank}",
            f"{s.last_share:.0%} of the calls",
            *(us(values[q]) for values in (s.wait, s.wire) for q in ("p50", "p95", "p99", "max")),
            *(_step_link(step, shown) for step in (s.worst_wait_step, s.worst_wire_step)),
        ]
        for s in spreads
    ]
    table = _table([*header, "most wait in", "most wire in"], rows, raw=(len(header), len(header) + 1))
    return _section("Lateness", _LATENESS_NOTE, _plot(plots, "caused", figures.caused_by_step(report)), table)


def _step_link(step: int, shown: set[int]) -> str:
    """HTML: the step's number, a link where its timeline is on the page."""
    return f'<a href="#step-{step}">step {step}</a>' if step in shown else f"step {step}"


def _section(title: str, note: str, *parts: str, anchor: str = "") -> str:
    name = f' id="{_safe(anchor)}"' if anchor else ""
    return f'<section{name}><h2>{_safe(title)}</h2><p class="note">{_safe(note)}</p>{"".join(parts)}</section>'


def _plot(plots: dict[str, str], name: str, figure: go.Figure | None, zoom: str = "") -> str:
    if figure is None:
        return ""
    # "<" would end the script element that holds the figure.
    plots[name] = str(figure.to_json()).replace("<", "\\u003c")
    height = f"height:{figure.layout.height}px"
    return f'<div class="plot" id="{name}" data-figure="figure-{name}" data-zoom="{zoom}" style="{height}"></div>'


def _ledger_table(report: Report) -> str:
    lines = ["period", *visible_lines(report), "comm", "overlap"]
    rows = [
        [f"rank {row['rank']}", *(us(row[f"{line}_ns"]) for line in lines)]
        for row in report.per_rank.iter_rows(named=True)
    ]
    return _table(["us per step", *lines], rows)


def _steps_table(report: Report) -> str:
    rows = [[str(step), plain(report.steps.labels[step], 60), reason] for step, reason in report.steps.excluded.items()]
    return _table(["left out", "range", "reason"], rows, text=(1, 2)) if rows else ""


def _slowest_table(report: Report) -> str:
    outliers = report.diagnosis.outliers
    shown = {timeline.step for timeline in report.timelines}
    rows = [
        [
            _step_link(o.step, shown),
            plain(report.steps.labels[o.step], 60),
            ms(o.period),
            us(o.excess),
            o.line,
            f"rank {o.rank}",
            us(o.growth),
            "-" if o.call is None else str(o.call),
            us(o.lost_at_call),
        ]
        for o in outliers
    ]
    header = [
        "slowest",
        "range",
        "period",
        "us over median",
        "what grew",
        "on",
        "by us",
        "most lost at collective",
        "us",
    ]
    return _table(header, rows, text=(0, 1), raw=(0,)) if rows else ""


def _gap_table(report: Report) -> str:
    gaps = report.diagnosis.gaps.filter(pl.col("ns") > 0)
    ns = {(rank, cause): value for rank, cause, value in gaps.select("rank", "cause", "ns").iter_rows()}
    ranks = [rank.rank for rank in report.ranks]
    causes = [cause for cause in MEANING if cause in set(gaps["cause"])]
    rows = [
        [cause.replace("_", " "), *(us(ns.get((rank, cause), 0)) for rank in ranks), MEANING[cause]] for cause in causes
    ]
    header = ["us per step", *(f"rank {rank}" for rank in ranks), "meaning"]
    return _table(header, rows, text=(0, len(header) - 1), wrap=len(header) - 1) if rows else ""


def _collectives(report: Report) -> str:
    header = [
        "kernel",
        "kind",
        "size",
        "ranks",
        "calls",
        "matched",
        "unmatched",
        "rejected",
        "after last arrival p50",
        "p99",
        "wait p50",
        "p99",
    ]
    rows = []
    for family in report.collectives:
        spread = [us(v[q]) if v else "-" for v in (family.wire, family.wait) for q in ("p50", "p99")]
        counts = map(str, (family.ranks, family.count, family.matched, family.unmatched, family.rejected))
        rows.append(
            [plain(family.name, 80), family.kind or family.op_class, size(family.message_bytes), *counts, *spread]
        )
    rows += [
        [plain(k.name, 80), "not in the catalogue", "-", "-", str(k.calls), "-", "-", "-", "-", "-", "-", "-"]
        for k in report.lookalikes
    ]
    note = "Calls of the steady steps, one call being one on every rank; us per rank and call, where all ranks matched."
    if not rows:
        note = "No communication kernel is visible in the steady steps."
    return _section("Collectives", note, _table(header, rows, text=(0, 1)) if rows else "")


def _quality(report: Report) -> str:
    rows = [[q.id, q.status.replace("_", " "), q.reason] for q in report.quality]
    note = "How far each figure can be trusted, and what this trace cannot tell."
    return _section("Evidence", note, _table(["aspect", "status", "why"], rows, text=(0, 1, 2), wrap=2))


def _table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    text: tuple[int, ...] = (0,),
    wrap: int = -1,
    raw: tuple[int, ...] = (),
) -> str:
    """text: columns aligned left; wrap: a column that may break; raw: columns that hold HTML of our own making."""

    def kind(column: int) -> str:
        return ' class="text wrap"' if column == wrap else ' class="text"' if column in text else ""

    head = "".join(f"<th{kind(i)}>{_safe(cell)}</th>" for i, cell in enumerate(header))
    lines = (
        "".join(f"<td{kind(i)}>{cell if i in raw else _safe(cell)}</td>" for i, cell in enumerate(row)) for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _safe(text: str) -> str:
    return escape(plain(text, 2_000))


def _asset(name: str) -> str:
    return files("nsysan.report").joinpath("assets", name).read_text("utf-8")


def _policy(*scripts: str) -> str:
    """A content security policy under which only these scripts run, and nothing is fetched."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"base-uri 'none'; form-action 'none'"
    )
