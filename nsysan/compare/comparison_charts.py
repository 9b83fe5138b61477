"""The figures of a comparison's page, made from finished data; nothing is computed here."""

from __future__ import annotations

import math

from nsysan.compare.comparison import ComparedRun, Comparison
from nsysan.compare.widths import Width, ladder
from nsysan.metrics.change_rule import ChangeVerdict
from nsysan.metrics.lines import LINES
from nsysan.page.elements import safe
from nsysan.page.figure import Figure
from nsysan.page.palette import COLOURS, NAMES, SERIES
from nsysan.text import plain, shortened

#: Kernels and groups that a chart shows.
_MOST = 12
#: Letters of a kernel's name beside its bar; the tables have more.
_NAME = 30


def colour_of(number: int) -> str:
    """Of a side."""
    return SERIES[number % len(SERIES)]


def ledger_bars(comparison: Comparison) -> Figure:
    """The ledgers as stacked bars, one a side, µs."""
    lines = [line for line in LINES if any(side.value(f"ledger.{line}") for side in comparison.sides)]
    names = [_name(side) for side in comparison.sides]
    figure = Figure()
    for line in lines:
        figure.add_bar(
            y=names,
            x=[_us(side.value(f"ledger.{line}")) for side in comparison.sides],
            orientation="h",
            name=NAMES[line],
            marker={"color": COLOURS[line]},
            hovertemplate="%{y}: %{x:,.1f} µs<extra>" + NAMES[line] + "</extra>",
        )
    figure.update_layout(barmode="stack", height=110 + 44 * len(names), legend={"traceorder": "normal"})
    figure.update_layout(title="Where a step's time goes on each side (median step)")
    figure.update_xaxes(title="µs per step")
    figure.update_yaxes(autorange="reversed")
    return figure


def speed_up(comparison: Comparison) -> Figure | None:
    """Speed-up and efficiency by the number of ranks, measured and predicted; None where all sides have one number."""
    if comparison.scaling is None:
        return None
    widths = ladder(comparison.scaling, comparison.predictions)
    first = comparison.scaling.widths[0]
    if len(widths) == 1:
        return None
    figure = Figure(1, 2, spacing=0.1)
    ranks = [width.ranks for width in widths]
    figure.add_scatter(
        x=ranks,
        y=[width.ranks / first.ranks for width in widths],
        mode="lines",
        name="perfect",
        line={"color": COLOURS["last"], "dash": "dot"},
        hovertemplate="TP=%{x}: %{y:.2f}x<extra>perfect</extra>",
    )
    figure.add_scatter(
        x=ranks,
        y=[100] * len(ranks),
        mode="lines",
        showlegend=False,
        row=1,
        col=2,
        line={"color": COLOURS["last"], "dash": "dot"},
        hoverinfo="skip",
    )
    for column, (values, unit) in enumerate(
        (([width.speed_up for width in widths], "x"), ([100 * width.efficiency for width in widths], " %")), start=1
    ):
        figure.add_scatter(
            x=ranks,
            y=values,
            row=1,
            col=column,
            mode="lines+markers+text",
            name="measured, hollow where predicted",
            showlegend=column == 1,
            text=[f"{value:.2f}x" if unit == "x" else f"{value:.1f} %" for value in values],
            textposition="bottom center" if unit == "x" else "top center",
            cliponaxis=False,
            line={"color": SERIES[0]},
            marker={
                "size": 10,
                "color": SERIES[0],
                "symbol": ["circle" if width.label else "circle-open" for width in widths],
            },
            customdata=[_width_words(width) for width in widths],
            hovertemplate="%{customdata}: %{y:.2f}" + unit + "<extra></extra>",
        )
    figure.update_layout(height=360, title="What more GPUs make of a token: speed-up, and efficiency")
    margin = (ranks[-1] / ranks[0]) ** 0.12
    shown = [math.log10(ranks[0] / margin), math.log10(ranks[-1] * margin)]
    figure.update_xaxes(title="TP degree", tickvals=ranks, type="log", range=shown)
    figure.update_yaxes(title="speed-up of a token", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title="efficiency, %", range=[0, 112], row=1, col=2)
    return figure


def _width_words(width: Width) -> str:
    return f"TP={width.ranks}, {safe(width.label)}" if width.label else f"TP={width.ranks}, predicted"


def grown(comparison: Comparison) -> Figure | None:
    """Groups and kernels of which a side changed beyond noise: by how much against the first, µs; None of none."""
    found = [
        figure
        for name in ("compute", "kernels")
        for figure in comparison.group(name)
        if any(change.verdict == ChangeVerdict.CHANGED for change in figure.changes)
    ]
    found.sort(key=lambda one: -max(abs(change.difference or 0) for change in one.changes))
    shown = found[:_MOST]
    if not shown:
        return None
    names = [safe(f"{one.name} (group)" if one.group == "compute" else shortened(one.name, _NAME)) for one in shown]
    figure = Figure()
    for number, side in enumerate(comparison.sides[1:]):
        changes = [one.changes[number] for one in shown]
        figure.add_bar(
            y=names,
            x=[_us(change.difference) if change.verdict == ChangeVerdict.CHANGED else None for change in changes],
            orientation="h",
            name=f"{_name(side)} against {safe(comparison.sides[0].label)}",
            marker={"color": colour_of(number + 1)},
            hovertemplate="%{y}: %{x:+,.1f} µs<extra>" + _name(side) + "</extra>",
        )
    figure.update_layout(barmode="group", height=130 + (18 + 12 * len(comparison.sides)) * len(names))
    figure.update_layout(title="Kernels that grew and shrank beyond noise", legend={"traceorder": "normal"})
    figure.update_xaxes(title="µs per step more than the first side", zeroline=True)
    figure.update_yaxes(autorange="reversed")
    return figure


def periods(comparison: Comparison) -> Figure:
    """The periods of all steady steps as boxes with their points, µs."""
    figure = Figure()
    for number, side in enumerate(comparison.sides):
        figure.add_box(
            x=(side.figures["ledger.period"].steps / 1e3).tolist(),
            name=_name(side),
            boxpoints="all",
            jitter=0.4,
            pointpos=0,
            marker={"color": colour_of(number)},
            hovertemplate="%{x:,.1f} µs<extra>" + _name(side) + "</extra>",
        )
    figure.update_layout(height=120 + 60 * len(comparison.sides), showlegend=False)
    figure.update_layout(title="Period of every steady step")
    figure.update_xaxes(title="period, µs")
    figure.update_yaxes(autorange="reversed")
    return figure


def wire_bars(comparison: Comparison) -> Figure | None:
    """Wire a step by family, a bar a side, µs; None where no side communicates."""
    if not comparison.families:
        return None
    titles = [safe(family.title) for family in comparison.families]
    figure = Figure()
    for number, side in enumerate(comparison.sides):
        figure.add_bar(
            y=titles,
            x=[_us(part.per_step.value if (part := family.parts[number]) else None) for family in comparison.families],
            orientation="h",
            name=_name(side),
            marker={"color": colour_of(number)},
            hovertemplate="%{y}: %{x:,.1f} µs<extra>" + _name(side) + "</extra>",
        )
    bars = len(titles) * len(comparison.sides)
    figure.update_layout(barmode="group", height=130 + 26 * bars, legend={"traceorder": "normal"})
    figure.update_layout(title="Wire of each collective (median step)")
    figure.update_xaxes(title="wire, µs per step")
    figure.update_yaxes(autorange="reversed")
    return figure


def side_name(side: ComparedRun) -> str:
    """Its letter, name and width, as text."""
    return f"{side.label} {plain(side.name, 40)}, TP={side.ranks}"


def _name(side: ComparedRun) -> str:
    # Plotly reads markup in names.
    return safe(side_name(side))


def _us(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e3
