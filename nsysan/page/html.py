"""The report as one HTML file that opens offline."""

from __future__ import annotations

from nsysan.columns.threads import Beside
from nsysan.diagnosis.evidence import Status
from nsysan.page import charts, kernels_section, replica_tables, sections, step_charts
from nsysan.page.elements import plot, render, section
from nsysan.page.finding_anchor import KERNELS
from nsysan.page.glossary import definitions
from nsysan.page.hosts_section import hosts_section
from nsysan.page.lanes import timeline_data
from nsysan.page.light_section import light_section
from nsysan.page.nccl_section import nccl_section
from nsysan.page.nsys_section import beside as beside_nsys
from nsysan.page.pack import INLINE, Packing
from nsysan.page.planes import Planes
from nsysan.page.timeline_section import timeline_section
from nsysan.page.verdict_section import lead
from nsysan.report.page_subject import recorded
from nsysan.report.replica import layout_sentence
from nsysan.report.report import GRAPHS, Report
from nsysan.report.verdict_text import judged_steps
from nsysan.text import counted
from nsysan.timings import stage


@stage("page")
def to_html(report: Report, plotlyjs: str = INLINE) -> str:
    """The page: the answer, its figures with their tables, and how far each can be trusted.

    plotlyjs: pack.INLINE (opens offline) or pack.CDN (smaller, loads plotly.js from its CDN). Everything that comes
    from the trace is escaped, and only this page's own scripts may run.
    """
    # Compressing holds up no Python.
    with Beside() as beside, Packing(beside) as columns:
        data = timeline_data(report, Planes(columns.add)) if report.timelines else "null"
        plots: dict[str, str] = {}
        shown = [part for part in _parts(plots, report) if part[2]]
        source = ", ".join(i.name for i in report.inputs)
        return render(
            f"nsysan: {source}",
            _subtitle(report),
            "\n".join(body for _, _, body in shown),
            plots,
            report.version,
            of=recorded(report.inputs),
            links=[(anchor, title) for anchor, title, _ in shown],
            data=data,
            columns=columns.packed,
            plotlyjs=plotlyjs,
        )


def _parts(plots: dict[str, str], report: Report) -> list[tuple[str, str, str]]:
    """Anchor, title and HTML of each part of the page; its figures go to `plots`."""
    return [
        ("verdict", "Verdict", lead(report)),
        ("timeline", "Timeline", timeline_section(report)),
        ("findings", "Findings", section("Findings", _FINDINGS_NOTE, sections.findings(report), anchor="findings")),
        ("ledger", "Ledger", _ledger(plots, report)),
        (KERNELS, "Kernels", kernels_section.kernels(plots, report)),
        ("light", "Speed of light", light_section(plots, report)),
        ("collectives", "Collectives", _collectives(plots, report)),
        ("nccl", "NCCL", nccl_section(report)),
        ("lateness", "Lateness", _lateness(plots, report)),
        ("steps", "Steps", _steps(plots, report)),
        ("replicas", "Replicas", _replicas(report)),
        ("gaps", "Idle time", _gaps(plots, report)),
        ("hosts", "Hosts", hosts_section(plots, report)),
        ("counters", "Counters", _counters(plots, report)),
        ("evidence", "Evidence", _evidence(report)),
        ("method", "Method", _method(report)),
    ]


_LEDGER_NOTE = (
    "Every nanosecond of a step is in exactly one line. Communication is cut at the arrival of the last rank: "
    "before it a rank waits, after it data moves. A rank with little wait and much idle or compute is the one "
    "the others wait for."
)
_LATENESS_NOTE = (
    "How late each rank is at the collectives, and what that costs the others: by how much the last rank came after "
    "the second last, which is what the run would gain had that rank alone arrived with it. Look at the cost, not at "
    "how often a rank is last: in every call some rank is. The rank that waits longest is the one that is least late. "
    "Colours of the maps end at 1 % of the step or above."
)
_REPLICAS_NOTE = (
    "A replica is a set of ranks that communication joins in most decode steps; ranks of two replicas never wait for "
    "one another. The rest of this page is of one replica and one kind of its steps: --replica, --population and "
    "--batch show another."
)
_PERIOD_NOTE = (
    "From the first GPU work of a step to the first of the next, so the host's gap between tokens is in it. Hollow "
    "points are left out of the medians. The last step ends with its own last work, so it is shorter, most so on a "
    "rank that began it late. A click on a step opens it in the timeline."
)
_COLLECTIVES_NOTE = (
    "Calls of all steps but prefill and the first, one call being one on every rank; µs per rank and call, where all "
    "ranks matched. The floor is the least that such a call takes in this trace; algbw and busbw are those of "
    "nccl-tests, from the time after the last arrival. NCCL's model is what NCCL reckons with, no hard floor."
)
_GAP_NOTE = "Every idle interval has one cause; they sum to the ledger's idle line."
_COUNTER_NOTE = (
    "Sampled by the GPU over the steady steps. A sample counts as inside or outside collectives only if all the time "
    "it stands for lies there; most collectives of decode are shorter than that, and then there is a dash, not a zero "
    "(see counters under Evidence). NVLink is user data, requests and responses together, of the links' peak."
)
_FINDINGS_NOTE = (
    "What to change, most severe first. Each saving is a period without that loss alone, so several need not add up."
)
_EVIDENCE_NOTE = "How far each figure can be trusted, and what this trace cannot tell."
_METHOD_NOTE = "What was captured, and what the words of this page mean."


def _subtitle(report: Report) -> str:
    source = report.inputs[0]
    models = ", ".join(sorted({rank.model or "unknown GPU" for rank in report.ranks}))
    summed = report.diagnosis.summed
    judged = f"{judged_steps(report)}, of {len(summed)} kinds, judged together" if summed else ""
    used = judged or f"{len(report.steps.steady)} steady"
    steps = f"{report.steps.count} steps ({used}) by {report.steps.source}"
    head = report.replicas[report.replica]
    shown = f"; {layout_sentence(report.replicas)}, replica {head.id} shown" if len(report.replicas) > 1 else ""
    return (
        f"{report.seen_words} on {models}{shown}; {steps}; "
        f"nsys {source.nsys_version or 'of unknown version'}, {GRAPHS[source.graph_trace]}"
    )


def _replicas(report: Report) -> str:
    if replica_tables.is_plain(report):
        return ""
    return section(
        "Replicas and kinds of steps",
        _REPLICAS_NOTE,
        replica_tables.tables(report),
        anchor="replicas",
        folded=f"{counted(len(report.replicas), 'replica')}, and the kinds of their steps",
    )


def _ledger(plots: dict[str, str], report: Report) -> str:
    if report.per_rank.is_empty():
        return ""
    chart = plot(plots, "ledger", charts.ledger_bars(report))
    return section("Ledger per rank", _LEDGER_NOTE, chart, sections.ledger(report), anchor="ledger")


def _lateness(plots: dict[str, str], report: Report) -> str:
    if not report.diagnosis.spreads:
        return ""
    calls = [
        plot(plots, f"lateness-{number}", charts.lateness_in_step(timeline))
        for number, timeline in enumerate(report.timelines)
        # In a run without a late rank these are maps of chance.
        if report.diagnosis.straggler is not None
        and timeline.role
        and ("median" in timeline.role or "slowest" in timeline.role)
    ]
    chart = plot(plots, "caused", charts.caused_by_step(report), steps=True)
    return section(
        "Lateness",
        _LATENESS_NOTE,
        chart,
        sections.lateness(report),
        *calls,
        anchor="lateness",
        folded="What each rank costs the others, by step and by collective; waiting and wire of its calls",
    )


def _steps(plots: dict[str, str], report: Report) -> str:
    return section(
        "Steps",
        _PERIOD_NOTE,
        plot(plots, "period", step_charts.period_series(report), steps=True),
        plot(plots, "lines", step_charts.lines_by_step(report), steps=True),
        sections.slowest(report),
        sections.left_out(report),
        sections.steps(report),
        anchor="steps",
        folded=f"{counted(report.steps.count, 'step')}, {len(report.steps.steady)} of them steady: periods, ledgers, "
        "the slowest, those left out",
    )


def _collectives(plots: dict[str, str], report: Report) -> str:
    table = sections.collectives(report)
    if not table:
        return section("Collectives", "No communication kernel is visible in the decode steps.", anchor="collectives")
    return section(
        "Collectives",
        f"{_COLLECTIVES_NOTE} The link: {report.link.sentence}.",
        plot(plots, "sizes", charts.speed_by_size(report)),
        table,
        anchor="collectives",
        folded="Time after the last arrival by size, floor, algbw and busbw of each kind of call; what the link is",
    )


def _gaps(plots: dict[str, str], report: Report) -> str:
    chart = plot(plots, "gaps", charts.gap_bars(report))
    return section(
        "Idle time by cause",
        _GAP_NOTE,
        chart,
        sections.gaps(report),
        anchor="gaps",
        folded="Why each GPU idles, by rank",
    )


def _counters(plots: dict[str, str], report: Report) -> str:
    if not report.counters:
        return ""
    chart = plot(plots, "counters", step_charts.counters_by_step(report), steps=True)
    tables = sections.counters(report), sections.counters_by_step(report)
    return section(
        "GPU counters",
        _COUNTER_NOTE,
        chart,
        *tables,
        anchor="counters",
        folded="What the GPUs' counters show inside and outside of collectives, by step",
    )


def _evidence(report: Report) -> str:
    weak = sum(row.status != Status.OK for row in report.quality)
    folded = f"{counted(len(report.quality), 'figure')}, {weak} of them estimated or not measurable, and why"
    return section("Evidence", _EVIDENCE_NOTE, sections.quality(report), anchor="evidence", folded=folded)


def _method(report: Report) -> str:
    notes = "".join(f"<li>{note}</li>" for note in sections.notes(report))
    body = sections.capture(report), beside_nsys(report), f"<ul>{notes}</ul>", definitions()
    folded = "Traces, ranks, thresholds, why nsys stats says otherwise, and what each word means"
    return section("Capture and method", _METHOD_NOTE, *body, anchor="method", folded=folded)
