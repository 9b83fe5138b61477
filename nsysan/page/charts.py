"""The plotly figures of the HTML report, made from finished data; nothing is computed here."""

from __future__ import annotations

from html import escape
from typing import Any

import polars as pl

from nsysan.diagnosis.collectives import size_series
from nsysan.metrics.causes import GAPS, GapCause
from nsysan.page.figure import Figure
from nsysan.page.palette import COLOURS, HEAT_HIGH, HEAT_LOW, NAMES, SERIES
from nsysan.report.report import Report, visible_lines
from nsysan.report.timeline import Timeline, decimated
from nsysan.text import plain

_LANE_HEIGHT = 22
#: Colours of a heat map end at this share of the step or more: steps vary by as much.
LEAST_SHARE = 0.01
_NAME_WIDTH = 90
#: More points of a chart over the steps would weigh more than the rest of the page.
MAX_POINTS = 40_000
#: More bars than this take a browser seconds; the page's own timeline draws them all.
_MAX_BARS = 8_000


def entitled(figure: Figure, title: str) -> Figure:
    """With its title; text is ours, or escaped by us, as plotly reads markup in it."""
    return figure.update_layout(title={"text": escape(title), "x": 0, "font": {"size": 15}})


def ledger_bars(report: Report) -> Figure:
    """The ledger per rank as stacked bars, us."""
    ranks = [f"rank {rank}" for rank in report.per_rank["rank"]]
    figure = Figure()
    for line in visible_lines(report):
        figure.add_bar(
            y=ranks,
            x=(report.per_rank[f"{line}_ns"] / 1e3).to_list(),
            orientation="h",
            name=NAMES[line],
            legendgroup=line,
            marker={"color": COLOURS[line]},
            hovertemplate="%{y}: %{x:,.1f} µs<extra>" + NAMES[line] + "</extra>",
        )
    figure.update_layout(barmode="stack", height=110 + 34 * len(ranks), legend={"traceorder": "normal"})
    entitled(figure, "Where a step's time goes, by rank (median step)")
    figure.update_xaxes(title="µs per step")
    figure.update_yaxes(autorange="reversed")
    return figure


def timeline(data: Timeline) -> Figure:
    """All ranks on one clock: the streams' work by ledger line and, under each rank, its launch calls."""
    data = decimated(data, _MAX_BARS)
    lanes = data.slices.select("rank", "lane").unique().sort("rank", "lane", descending=[False, True])
    order = [_lane(rank, lane) for rank, lane in lanes.iter_rows()]
    figure = Figure()
    for (line,), slices in sorted(data.slices.partition_by("line", as_dict=True).items(), key=_precedence):
        figure.add_bar(
            y=[_lane(rank, lane) for rank, lane in slices.select("rank", "lane").iter_rows()],
            base=(slices["begin"] / 1e3).to_list(),
            x=((slices["end"] - slices["begin"]) / 1e3).to_list(),
            orientation="h",
            name=NAMES[str(line)],
            marker={"color": COLOURS[str(line)], "line": {"width": 0}},
            customdata=[escape(plain(name, _NAME_WIDTH)) for name in slices["name"]],
            hovertemplate="<b>%{customdata}</b><br>%{x:,.2f} µs at %{base:,.2f} µs<extra>%{y}</extra>",
        )
    last = data.arrivals.filter(pl.col("last"))
    if not last.is_empty():
        figure.add_scatter(**_last_arrivals(last))
    span = (data.finish - data.origin) / 1e3
    figure.update_layout(barmode="overlay", bargap=0.15, height=120 + _LANE_HEIGHT * len(order))
    entitled(figure, f"Timeline of step {data.step} ({data.role})")
    figure.update_xaxes(title="µs since the first rank began the step", range=[-0.01 * span, 1.01 * span])
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1])
    return figure


def _last_arrivals(last: pl.DataFrame) -> dict[str, Any]:
    """Marks where the last rank of each collective arrived; last: rows of Timeline.arrivals."""
    return {
        "x": (last["time"] / 1e3).to_list(),
        "y": [_lane(rank, lane) for rank, lane in last.select("rank", "lane").iter_rows()],
        "mode": "markers",
        "name": NAMES["last"],
        "marker": {
            "symbol": "triangle-down",
            "size": 8,
            "color": COLOURS["last"],
            "line": {"width": 1, "color": "#fff"},
        },
        "customdata": [
            [collective, late / 1e3, escape(plain(name, _NAME_WIDTH))]
            for collective, late, name in last.select("collective", "lateness", "name").iter_rows()
        ],
        "hovertemplate": "<b>last to arrive</b>, %{customdata[1]:,.2f} µs after the first<br>collective "
        "%{customdata[0]}: %{customdata[2]}<extra>%{y}</extra>",
    }


def lateness_in_step(data: Timeline) -> Figure | None:
    """Lateness of each rank at each collective of the step, us; None where nothing matched."""
    if data.arrivals.is_empty():
        return None
    found = _heat_map(
        data.arrivals.select("rank", "lateness", at="collective"),
        "collective of the step",
        "lateness, µs",
        least=LEAST_SHARE * data.period,
    )
    entitled(found, f"Lateness at each collective of step {data.step} ({data.role})")
    return found


def caused_by_step(report: Report) -> Figure | None:
    """What each rank's late arrivals cost in each step, us; None where nothing matched."""
    caused = report.diagnosis.caused
    if caused.is_empty():
        return None
    shown, which = thinned(caused)
    steady = caused.filter(pl.col("step").is_in(report.steps.steady))
    found = _heat_map(
        shown.select("rank", at="step", lateness="ns"),
        "step",
        "cost, µs",
        least=LEAST_SHARE * (report.headline["period_ns"] or 0),
        most=int(steady["ns"].max() or 0) if len(steady) else None,  # type: ignore[arg-type]
    )
    entitled(found, f"What each rank's late arrivals cost the others, by step{which}")
    return found


def thinned(rows: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """Rows of one step in so many that they are about MAX_POINTS, and words for that; the figures count all steps."""
    every = -(-len(rows) // MAX_POINTS)
    if every <= 1:
        return rows, ""
    return rows.filter(pl.col("step") % every == 0), f" (one step in {every})"


def _heat_map(values: pl.DataFrame, axis: str, unit: str, *, least: float, most: int | None = None) -> Figure:
    """values: rank, at, lateness (ns). The colours end at `most` (by default the largest), but not below `least`: what
    is noise looks like it, and start-up does not pale the rest.
    """
    top = max(least, int(values["lateness"].max() or 0) if most is None else most, 1)  # type: ignore[arg-type]
    cells = values.group_by("rank", "at").agg(pl.max("lateness"))
    ranks, columns = (cells[name].unique().sort() for name in ("rank", "at"))
    grid: list[list[float | None]] = [[None] * len(columns) for _ in ranks]
    row, column = ranks.search_sorted(cells["rank"]), columns.search_sorted(cells["at"])
    for at, on, ns in zip(row, column, cells["lateness"], strict=True):
        grid[at][on] = None if ns is None else ns / 1e3
    figure = Figure()
    figure.add_heatmap(
        z=grid,
        x=columns.to_list(),
        y=[f"rank {rank}" for rank in ranks],
        colorscale=[[0, HEAT_LOW], [0.5, COLOURS["wait"]], [1, HEAT_HIGH]],
        zmin=0,
        zmax=top / 1e3,
        colorbar={"title": {"text": unit}},
        hovertemplate="%{y}, " + axis + " %{x}: %{z:,.2f} µs<extra></extra>",
    )
    figure.update_layout(height=130 + 26 * len(grid))
    figure.update_xaxes(title=axis)
    return figure.update_yaxes(autorange="reversed")


def gap_bars(report: Report) -> Figure | None:
    """Idle time by cause as stacked bars per rank, us; None where no GPU idles."""
    gaps = report.diagnosis.gaps
    causes = [cause for cause in GapCause if (gaps.filter(pl.col("cause") == cause)["ns"] > 0).any()]
    if not causes:
        return None
    figure = Figure()
    for cause in causes:
        own = gaps.filter(pl.col("cause") == cause)
        figure.add_bar(
            y=[f"rank {rank}" for rank in own["rank"]],
            x=(own["ns"] / 1e3).to_list(),
            orientation="h",
            name=cause.words,
            marker={"color": GAPS[cause].colour},
            hovertemplate="%{y}: %{x:,.1f} µs<extra>" + GAPS[cause].meaning + "</extra>",
        )
    ranks = [f"rank {rank.rank}" for rank in report.ranks]
    figure.update_layout(barmode="stack", height=110 + 30 * len(ranks), legend={"traceorder": "normal"})
    entitled(figure, "Idle time by cause and rank (median step)")
    figure.update_xaxes(title="idle, µs per step")
    figure.update_yaxes(categoryorder="array", categoryarray=ranks[::-1])
    return figure


def speed_by_size(report: Report) -> Figure | None:
    """Latency and busbw of the collectives against message size, with floor, NCCL's model and the link's peak.

    None where fewer than two sizes are known: the table holds what one point would show.
    """
    series = size_series(report.collectives, report.link)
    if len({size for one in series for size in one.sizes}) < 2:
        return None
    figure = Figure(2, spacing=0.08)
    for number, one in enumerate(series):
        colour = SERIES[number % len(SERIES)]
        lines = (
            (1, one.latency, "wire p50", "solid", "lines+markers"),
            (1, one.floor, "floor", "dot", "lines+markers"),
            (1, one.model, "NCCL's model", "dash", "lines"),
            (2, one.busbw, "busbw", "solid", "lines+markers"),
        )
        for row, values, what, dash, mode in lines:
            if all(value is None for value in values):
                continue
            figure.add_scatter(
                x=one.sizes,
                y=values,
                row=row,
                col=1,
                name=f"{one.name}: {what}",
                mode=mode,
                line={"color": colour, "dash": dash},
                marker={"color": colour, "symbol": "circle-open" if what == "floor" else "circle"},
                hovertemplate="%{x:,} B: %{y:,.4~g}<extra>" + escape(f"{one.name}: {what}") + "</extra>",
            )
    if report.link.peak_gbps is not None:
        known = [size for one in series for size in one.sizes]
        figure.add_scatter(
            x=[min(known), max(known)],
            y=[report.link.peak_gbps] * 2,
            row=2,
            col=1,
            name="link's peak",
            mode="lines+markers",
            line={"color": COLOURS["last"], "dash": "dash"},
            marker={"size": 3, "color": COLOURS["last"]},
        )
    figure.update_layout(height=520 + 8 * len(figure.data))
    entitled(figure, "Latency and bandwidth of the collectives against their size")
    figure.update_xaxes(type="log")
    figure.update_xaxes(title="message, bytes", row=2, col=1)
    figure.update_yaxes(title="µs after the last arrival", type="log", row=1, col=1)
    figure.update_yaxes(title="busbw, GB/s", type="log", row=2, col=1)
    return figure


def _precedence(item: tuple[tuple[object, ...], pl.DataFrame]) -> int:
    return list(COLOURS).index(str(item[0][0]))


def _lane(rank: int, lane: str) -> str:
    return f"rank {rank} {lane}"
