"""A comparison as one HTML file that opens offline."""

from __future__ import annotations

import plotly.graph_objects as go

from nsysan.compare.comparison import ComparedRun, Comparison
from nsysan.compare.predicted_section import predicted_section
from nsysan.compare.wording import (
    TITLES,
    answers,
    cells,
    header,
    legend,
    part_sentence,
    percent,
    population_lines,
    reasons,
    side_sentence,
)
from nsysan.metrics.lines import LINES
from nsysan.page.elements import plot, render, safe, section, table
from nsysan.page.palette import COLOURS, NAMES, SIDE_COLOURS
from nsysan.text import duration, plain

_LEDGER_NOTE = "Where a step's time is on each side: medians over the steady steps and the ranks."
_PERIOD_NOTE = "Every steady step of each side: what overlaps here, no median sets apart."
_KERNELS_NOTE = (
    "What the compute is: groups by what kernels' names say, and the kernels that differ most. A kernel that a side "
    "does not run takes nothing there; one job may be another kernel's on another side, as GEMMs are chosen by shape."
)
_WIRE_NOTE = (
    "The same communication whatever kernel does it: by kind, size and share of the ranks; calls of unknown size "
    "meet those of their kind that have no other counterpart. Wire is the time after the last rank has arrived. algbw "
    "and busbw are those of nccl-tests (GB = 1e9) from the wire of a call, against the link's peak from 1 MB up."
)


def to_html(comparison: Comparison) -> str:
    """The page: the answer, the ledgers side by side, the spread of the periods, the wire, and every figure."""
    plots: dict[str, str] = {}
    tables = {
        name: table(header(comparison, title), [cells(figure) for figure in comparison.group(name)])
        for name, title in (TITLES | {"step": "µs a step, tokens/s"}).items()
        if comparison.group(name)
    }
    body = "\n".join(
        (
            _lead(comparison),
            predicted_section(comparison, plots),
            section("Ledger", _LEDGER_NOTE, plot(plots, "ledger", ledger_bars(comparison)), tables["ledger"]),
            section("Kernels", _KERNELS_NOTE, tables.get("compute", ""), tables.get("kernels", ""))
            if "compute" in tables
            else "",
            section("Periods", _PERIOD_NOTE, plot(plots, "periods", periods(comparison)), tables["step"]),
            section(
                "Wire by collective",
                _WIRE_NOTE if comparison.families else "No communication in the steady steps of any side.",
                plot(plots, "wire", wire_bars(comparison)),
                tables.get("collectives", ""),
                tables.get("bandwidth", ""),
                _kernels(comparison),
            ),
            section(
                "Skew, idle time, what if",
                legend(comparison),
                *(tables.get(name, "") for name in ("skew", "idle", "whatif")),
            ),
            _notes(comparison),
        )
    )
    title = " against ".join(side.name for side in comparison.sides)
    many = len(comparison.sides) > 1
    subtitle = f"{len(comparison.sides)} runs, each against A" if many else "one run, and what others would take"
    return render(f"nsysan: {title}", subtitle, body, plots, comparison.version)


def ledger_bars(comparison: Comparison) -> go.Figure:
    """The ledgers as stacked bars, one a side, us."""
    lines = [line for line in LINES if any(side.value(f"ledger.{line}") for side in comparison.sides)]
    names = [_name(side) for side in comparison.sides]
    figure = go.Figure(
        [
            go.Bar(
                y=names,
                x=[_us(side.value(f"ledger.{line}")) for side in comparison.sides],
                orientation="h",
                name=NAMES[line],
                marker_color=COLOURS[line],
                hovertemplate="%{y}: %{x:,.1f} µs<extra>" + NAMES[line] + "</extra>",
            )
            for line in lines
        ]
    )
    figure.update_layout(barmode="stack", height=110 + 44 * len(names), legend_traceorder="normal")
    figure.update_layout(title="Where a step's time goes on each side (median step)")
    figure.update_xaxes(title="µs per step")
    figure.update_yaxes(autorange="reversed")
    return figure


def periods(comparison: Comparison) -> go.Figure:
    """The periods of all steady steps as boxes with their points, µs."""
    figure = go.Figure()
    for number, side in enumerate(comparison.sides):
        figure.add_box(
            x=(side.figures["ledger.period"].steps / 1e3).tolist(),
            name=_name(side),
            boxpoints="all",
            jitter=0.4,
            pointpos=0,
            marker_color=SIDE_COLOURS[number % len(SIDE_COLOURS)],
            hovertemplate="%{x:,.1f} µs<extra>" + _name(side) + "</extra>",
        )
    figure.update_layout(height=120 + 60 * len(comparison.sides), showlegend=False)
    figure.update_layout(title="Period of every steady step")
    figure.update_xaxes(title="period, µs")
    figure.update_yaxes(autorange="reversed")
    return figure


def wire_bars(comparison: Comparison) -> go.Figure | None:
    """Wire a step by family, a bar a side, us; None where no side communicates."""
    if not comparison.families:
        return None
    titles = [safe(family.title) for family in comparison.families]
    figure = go.Figure()
    for number, side in enumerate(comparison.sides):
        figure.add_bar(
            y=titles,
            x=[_us(part.per_step.value if (part := family.parts[number]) else None) for family in comparison.families],
            orientation="h",
            name=_name(side),
            marker_color=SIDE_COLOURS[number % len(SIDE_COLOURS)],
            hovertemplate="%{y}: %{x:,.1f} µs<extra>" + _name(side) + "</extra>",
        )
    bars = len(titles) * len(comparison.sides)
    figure.update_layout(barmode="group", height=130 + 26 * bars, legend_traceorder="normal")
    figure.update_layout(title="Wire of each collective (median step)")
    figure.update_xaxes(title="wire, µs per step")
    figure.update_yaxes(autorange="reversed")
    return figure


def _lead(comparison: Comparison) -> str:
    lines = [line.split("  ", 1) for line in answers(comparison)]
    first, *others = [f"<b>{safe(name)}</b>: {safe(text.strip())}" for name, text in lines]
    told = f'<p class="lead">{first}</p>' + "".join(f"<p>{line}</p>" for line in others)
    changes = comparison.figure("ledger.period").changes
    shown = ["", *(percent(change) for change in changes)]
    cards = "".join(
        f'<div class="card" style="--colour:{SIDE_COLOURS[number % len(SIDE_COLOURS)]}"><b>'
        f"{safe(duration(side.period))} {safe(shown[number])}</b><span>{safe(_plain_name(side))}</span></div>"
        for number, side in enumerate(comparison.sides)
    )
    sides = "".join(
        f"<p>{safe(line)}</p>" for line in (*map(side_sentence, comparison.sides), *population_lines(comparison))
    )
    return f'<div class="verdict">{told}</div><div class="cards">{cards}</div>{sides}'


def _kernels(comparison: Comparison) -> str:
    rows = [
        [family.title, side.label, part_sentence(part)]
        for family in comparison.families
        for side, part in zip(comparison.sides, family.parts, strict=True)
    ]
    return table(["collective", "side", "what it is there"], rows, text=(0, 1, 2), wrap=2) if rows else ""


def _notes(comparison: Comparison) -> str:
    rows = [["not comparable", text] for text in reasons(comparison)]
    rows += [["note", text] for text in comparison.notes]
    note = "What keeps the sides from being like for like, and why a figure cannot be compared."
    return section("Evidence", note, table(["", "why"], rows, text=(0, 1), wrap=1)) if rows else ""


def _plain_name(side: ComparedRun) -> str:
    return f"{side.label} {plain(side.name, 40)}, TP={side.ranks}"


def _name(side: ComparedRun) -> str:
    # Plotly reads markup in names.
    return safe(_plain_name(side))


def _us(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e3
