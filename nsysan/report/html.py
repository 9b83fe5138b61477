"""The report as one HTML file that opens offline."""

from __future__ import annotations

import polars as pl

from nsysan.metrics.gaps import MEANING
from nsysan.report import figures
from nsysan.report.build import Report, visible_lines
from nsysan.report.page import plot as _plot
from nsysan.report.page import render
from nsysan.report.page import safe as _safe
from nsysan.report.page import section as _section
from nsysan.report.page import table as _table
from nsysan.report.palette import COLOURS, NAMES
from nsysan.report.terminal import expectation_sentence, headline_sentence, late_sentence, savings_sentence
from nsysan.report.text import counted, ms, number, percent, plain, size, us


def to_html(report: Report) -> str:
    """The page: plots, their tables, how steps were found, and how far each figure can be trusted.

    Everything that comes from the trace is escaped, and only this page's own scripts may run.
    """
    plots: dict[str, str] = {}
    body = "\n".join(
        (
            _lead(report),
            _findings(report),
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
            _collectives(plots, report),
            _counters(report),
            _quality(report),
        )
    )
    source = ", ".join(i.name for i in report.inputs)
    return render(f"nsysan: {source}", _subtitle(report), body, plots, report.version)


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
_FINDINGS_NOTE = (
    "What to change, most severe first. Each saving is a period without that loss alone, so several need not add up."
)
_COLLECTIVES_NOTE = (
    "Calls of all steps but prefill and the first, one call being one on every rank; us per rank and call, where all "
    "ranks matched. The floor is the least that such a call takes in this trace; algbw and busbw are those of "
    "nccl-tests, from the time after the last arrival. NCCL's model is what NCCL reckons with, no hard floor."
)
_GAP_NOTE = "Every idle interval has one cause; they sum to the ledger's idle line."


_COUNTER_NOTE = (
    "Sampled by the GPU over the steady steps. A sample counts as inside or outside collectives only if all the time "
    "it stands for lies there; most collectives of decode are shorter than that, and then there is a dash, not a zero "
    "(see counters under Evidence). NVLink is user data, requests and responses together, of the links' peak."
)


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


def _findings(report: Report) -> str:
    """What to change, most severe first."""
    expected = expectation_sentence(report)
    if not report.findings and not expected:
        return ""
    entries = [f"<p>{_safe(expected)}.</p>"] if expected else []
    for finding in report.findings:
        saves = "" if finding.saving is None else f" <span>saves {_safe(ms(finding.saving))} a step</span>"
        entries.append(
            f'<div class="finding {_safe(finding.severity)}"><p><b>{_safe(finding.severity)}</b> '
            f"{_safe(finding.title)}{saves}</p><p>{_safe(finding.evidence)}.</p>"
            f"<p><b>Fix</b>: {_safe(finding.fix)}.</p></div>"
        )
    return _section("Findings", _FINDINGS_NOTE, *entries)


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
        _counter_lanes(plots, number, report),
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


def _collectives(plots: dict[str, str], report: Report) -> str:
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
        "floor",
        "p50 over it",
        "algbw GB/s",
        "busbw GB/s",
        "of peak",
    ]
    rows = []
    for family in report.collectives:
        spread = [us(v[q]) if v else "-" for v in (family.wire, family.wait) for q in ("p50", "p99")]
        counts = map(str, (family.ranks, family.count, family.matched, family.unmatched, family.rejected))
        speeds = ["-" if gbps is None else f"{gbps:.3g}" for gbps in (family.algbw, family.busbw)]
        share = "-" if family.peak_share is None else f"{family.peak_share:.0%}"
        told = [plain(family.name, 80), family.kind or family.op_class, size(family.message_bytes), *counts]
        rows.append([*told, *spread, us(family.floor), us(family.excess), *speeds, share])
    rows += [
        [plain(k.name, 80), "not in the catalogue", "-", "-", str(k.calls), *["-"] * (len(header) - 5)]
        for k in report.lookalikes
    ]
    if not rows:
        return _section("Collectives", "No communication kernel is visible in the decode steps.")
    return _section(
        "Collectives",
        f"{_COLLECTIVES_NOTE} The link: {report.link.sentence}.",
        _plot(plots, "sizes", figures.speed_by_size(report)),
        _table(header, rows, text=(0, 1)),
    )


def _counter_lanes(plots: dict[str, str], number: int, report: Report) -> str:
    if not report.counter_lanes or report.counter_lanes[number].is_empty():
        return ""
    figure = figures.counters(report.counter_lanes[number], report.timelines[number])
    note = "GPU counters in this step; a value holds until the next sample, and each line is drawn to its own peak."
    return f'<p class="note">{_safe(note)}</p>' + _plot(plots, f"counters-{number}", figure, zoom="x")


def _counters(report: Report) -> str:
    if not report.counters:
        return ""
    parts = ("steps", "in collectives", "after last arrival", "outside")
    header = ["rank", "counter", "unit", *(f"{part}: {what}" for part in parts for what in ("mean", "peak", "samples"))]
    rows = []
    for counter in report.counters:
        figures_of = (counter.steps, counter.in_collectives, counter.in_transfer, counter.outside)
        cells = [cell for part in figures_of for cell in (number(part.mean), number(part.peak), f"{part.samples:,}")]
        rows.append([f"rank {counter.rank}", counter.metric, counter.unit or "", *cells])
    return _section("GPU counters", _COUNTER_NOTE, _table(header, rows, text=(0, 1, 2)))


def _quality(report: Report) -> str:
    rows = [[q.id, q.status.replace("_", " "), q.reason] for q in report.quality]
    note = "How far each figure can be trusted, and what this trace cannot tell."
    return _section("Evidence", note, _table(["aspect", "status", "why"], rows, text=(0, 1, 2), wrap=2))
