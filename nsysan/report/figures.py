"""The plotly figures of the HTML report, made from finished data; nothing is computed here."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from nsysan.metrics.gaps import MEANING
from nsysan.report.build import Report, visible_lines
from nsysan.report.collectives import size_series
from nsysan.report.palette import COLOURS, COUNTER_COLOURS, GAP_COLOURS, NAMES, SERIES
from nsysan.report.text import plain
from nsysan.report.timeline import Timeline, decimated

_LANE_HEIGHT = 22
_NAME_WIDTH = 90
#: More bars than this take a browser seconds; the page's own timeline draws them all.
_MAX_BARS = 8_000
_DASHES = ("solid", "dash", "dot")
#: Steps left out that are this much longer than the steady ones would flatten them.
_FLATTENS = 2.0


def ledger_bars(report: Report) -> go.Figure:
    """The ledger per rank as stacked bars, us."""
    ranks = [f"rank {rank}" for rank in report.per_rank["rank"]]
    figure = go.Figure(
        [
            go.Bar(
                y=ranks,
                x=(report.per_rank[f"{line}_ns"] / 1e3).to_list(),
                orientation="h",
                name=NAMES[line],
                legendgroup=line,
                marker_color=COLOURS[line],
                hovertemplate="%{y}: %{x:,.1f} us<extra>" + NAMES[line] + "</extra>",
            )
            for line in visible_lines(report)
        ]
    )
    figure.update_layout(barmode="stack", height=110 + 34 * len(ranks), legend_traceorder="normal")
    _entitle(figure, "Where a step's time goes, by rank (median step)")
    figure.update_xaxes(title="us per step")
    figure.update_yaxes(autorange="reversed")
    return figure


def period_series(report: Report) -> go.Figure:
    """Step period of every rank over the steps, ms; steps left out of the medians are hollow."""
    figure = go.Figure()
    parts = report.per_step.partition_by("rank", as_dict=True, maintain_order=True)
    for number, ((rank,), steps) in enumerate(parts.items()):
        labels = [escape(plain(report.steps.labels[step], _NAME_WIDTH)) for step in steps["step"]]
        figure.add_scatter(
            x=steps["step"].to_list(),
            y=(steps["period_ns"] / 1e6).to_list(),
            name=f"rank {rank}",
            mode="lines+markers",
            line={"color": SERIES[number % len(SERIES)], "dash": _DASHES[number // len(SERIES) % len(_DASHES)]},
            marker_symbol=["circle" if steady else "circle-open" for steady in steps["steady"]],
            customdata=labels,
            hovertemplate="step %{x} (%{customdata}): %{y:.3f} ms<extra>rank " + str(rank) + "</extra>",
        )
    figure.update_layout(height=320)
    beyond = _axis_end(report.per_step)
    _entitle(figure, "Period of each step, by rank" + (" (start-up lies beyond the axis)" if beyond else ""))
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="period, ms", rangemode="tozero", range=None if beyond is None else [0, beyond / 1e6])
    return figure


def _axis_end(per_step: pl.DataFrame) -> float | None:
    """Where an axis of periods ends (ns) so that steps left out do not flatten the others; None: where they end."""
    steady = per_step.filter("steady")["period_ns"].max()
    longest = per_step["period_ns"].max()
    if not isinstance(steady, int) or not isinstance(longest, int) or longest <= _FLATTENS * steady:
        return None
    return 1.15 * steady


def lines_by_step(report: Report) -> go.Figure | None:
    """The ledger of each steady step as stacked areas, us, medians over the ranks; None where no step is steady."""
    lines = visible_lines(report)
    steady = report.per_step.filter("steady")
    if steady.is_empty():
        return None
    medians = steady.group_by("step").agg(pl.median(f"{line}_ns") for line in lines).sort("step")
    figure = go.Figure()
    for line in lines:
        figure.add_scatter(
            x=medians["step"].to_list(),
            y=(medians[f"{line}_ns"].fill_null(0) / 1e3).to_list(),
            name=NAMES[line],
            mode="lines",
            stackgroup="ledger",
            line={"width": 0.5, "color": COLOURS[line], "shape": "hvh"},
            fillcolor=COLOURS[line],
            hovertemplate="step %{x}: %{y:,.1f} us<extra>" + NAMES[line] + "</extra>",
        )
    figure.update_layout(height=300, legend_traceorder="normal")
    _entitle(figure, "What the steady steps are made of (median over the ranks)")
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="us per step", rangemode="tozero")
    return figure


def timeline(data: Timeline) -> go.Figure:
    """All ranks on one clock: the streams' work by ledger line and, under each rank, its launch calls."""
    data = decimated(data, _MAX_BARS)
    lanes = data.slices.select("rank", "lane").unique().sort("rank", "lane", descending=[False, True])
    order = [_lane(rank, lane) for rank, lane in lanes.iter_rows()]
    figure = go.Figure()
    for (line,), slices in sorted(data.slices.partition_by("line", as_dict=True).items(), key=_precedence):
        figure.add_bar(
            y=[_lane(rank, lane) for rank, lane in slices.select("rank", "lane").iter_rows()],
            base=(slices["begin"] / 1e3).to_list(),
            x=((slices["end"] - slices["begin"]) / 1e3).to_list(),
            orientation="h",
            name=NAMES[str(line)],
            marker_color=COLOURS[str(line)],
            marker_line_width=0,
            customdata=[escape(plain(name, _NAME_WIDTH)) for name in slices["name"]],
            hovertemplate="<b>%{customdata}</b><br>%{x:,.2f} us at %{base:,.2f} us<extra>%{y}</extra>",
        )
    last = data.arrivals.filter(pl.col("last"))
    if not last.is_empty():
        figure.add_trace(_last_arrivals(last))
    span = (data.finish - data.origin) / 1e3
    figure.update_layout(barmode="overlay", bargap=0.15, height=120 + _LANE_HEIGHT * len(order))
    _entitle(figure, f"Timeline of step {data.step} ({data.role})")
    figure.update_xaxes(title="us since the first rank began the step", range=[-0.01 * span, 1.01 * span])
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1])
    return figure


def counters(lanes: pl.DataFrame, data: Timeline) -> go.Figure | None:
    """A small line a rank and counter under the timeline, on its x axis; each is drawn to its own peak.

    lanes: see timeline.counter_lanes.
    """
    if lanes.is_empty():
        return None
    figure = go.Figure()
    labels, seen = [], set()
    parts = lanes.partition_by("rank", "metric", "unit", as_dict=True, maintain_order=True)
    for number, ((rank, metric, unit), points) in enumerate(parts.items()):
        peak, kind = int(points["peak"][0]), _kind(str(metric))
        named = f"rank {rank} {metric} (to {peak:,}{'' if unit is None else f' {unit}'})"
        labels.append(escape(plain(named, _NAME_WIDTH)))
        figure.add_scatter(
            x=(points["time"] / 1e3).to_list(),
            y=(0.8 * points["value"] / max(peak, 1) - number - 0.4).to_list(),
            mode="lines",
            line={"shape": "hv", "width": 1, "color": COUNTER_COLOURS[kind]},
            name=kind,
            legendgroup=kind,
            showlegend=kind not in seen,
            customdata=points["value"].to_list(),
            hovertemplate=f"{labels[-1]}: %{{customdata:,}} at %{{x:,.2f}} us<extra></extra>",
        )
        seen.add(kind)
    span = (data.finish - data.origin) / 1e3
    figure.update_layout(height=100 + _LANE_HEIGHT * len(labels))
    _entitle(figure, f"GPU counters in step {data.step}, each to its own peak")
    figure.update_xaxes(title="us since the first rank began the step", range=[-0.01 * span, 1.01 * span])
    figure.update_yaxes(
        tickmode="array",
        tickvals=[-number for number in range(len(labels))],
        ticktext=labels,
        range=[0.6 - len(labels), 0.6],
        fixedrange=True,
    )
    return figure


def _kind(metric: str) -> str:
    return next(kind for kind in COUNTER_COLOURS if kind in metric.split())


def _last_arrivals(last: pl.DataFrame) -> go.Scatter:
    """Marks where the last rank of each collective arrived; last: rows of Timeline.arrivals."""
    return go.Scatter(
        x=(last["time"] / 1e3).to_list(),
        y=[_lane(rank, lane) for rank, lane in last.select("rank", "lane").iter_rows()],
        mode="markers",
        name=NAMES["last"],
        marker={"symbol": "triangle-down", "size": 8, "color": COLOURS["last"], "line": {"width": 1, "color": "#fff"}},
        customdata=[
            [call, late / 1e3, escape(plain(name, _NAME_WIDTH))]
            for call, late, name in last.select("call", "lateness", "name").iter_rows()
        ],
        hovertemplate="<b>last to arrive</b>, %{customdata[1]:,.2f} us after the first<br>collective %{customdata[0]}: "
        "%{customdata[2]}<extra>%{y}</extra>",
    )


def lateness_in_step(data: Timeline) -> go.Figure | None:
    """Lateness of each rank at each collective of the step, us; None where nothing matched."""
    if data.arrivals.is_empty():
        return None
    figure = _heat_map(data.arrivals.select("rank", "lateness", at="call"), "collective of the step", "lateness, us")
    return _entitle(figure, f"Lateness at each collective of step {data.step} ({data.role})")


def caused_by_step(report: Report) -> go.Figure | None:
    """What each rank's late arrivals cost in each step, us; None where nothing matched."""
    caused = report.diagnosis.caused
    if caused.is_empty():
        return None
    figure = _heat_map(caused.select("rank", at="step", lateness="ns"), "step", "caused, us")
    return _entitle(figure, "What each rank's late arrivals cost the others, by step")


def _heat_map(values: pl.DataFrame, axis: str, unit: str) -> go.Figure:
    """values: rank, at, lateness (ns)."""
    grid = values.group_by("rank", "at").agg(pl.max("lateness")).sort("at").pivot(on="at", index="rank").sort("rank")
    columns = [int(name) for name in grid.columns[1:]]
    figure = go.Figure(
        go.Heatmap(
            z=[[None if ns is None else ns / 1e3 for ns in row[1:]] for row in grid.iter_rows()],
            x=columns,
            y=[f"rank {rank}" for rank in grid["rank"]],
            colorscale=[[0, "#F3EAD8"], [0.5, COLOURS["wait"]], [1, "#7A2E00"]],
            colorbar={"title": {"text": unit}},
            hovertemplate="%{y}, " + axis + " %{x}: %{z:,.2f} us<extra></extra>",
        )
    )
    figure.update_layout(height=130 + 26 * len(grid))
    figure.update_xaxes(title=axis)
    figure.update_yaxes(autorange="reversed")
    return figure


def gap_bars(report: Report) -> go.Figure | None:
    """Idle time by cause as stacked bars per rank, us; None where no GPU idles."""
    gaps = report.diagnosis.gaps
    causes = [cause for cause in MEANING if (gaps.filter(pl.col("cause") == cause)["ns"] > 0).any()]
    if not causes:
        return None
    figure = go.Figure()
    for cause in causes:
        own = gaps.filter(pl.col("cause") == cause)
        figure.add_bar(
            y=[f"rank {rank}" for rank in own["rank"]],
            x=(own["ns"] / 1e3).to_list(),
            orientation="h",
            name=cause.replace("_", " "),
            marker_color=GAP_COLOURS[cause],
            hovertemplate="%{y}: %{x:,.1f} us<extra>" + MEANING[cause] + "</extra>",
        )
    ranks = [f"rank {rank.rank}" for rank in report.ranks]
    figure.update_layout(barmode="stack", height=110 + 30 * len(ranks), legend_traceorder="normal")
    _entitle(figure, "Idle time by cause and rank (median step)")
    figure.update_xaxes(title="idle, us per step")
    figure.update_yaxes(categoryorder="array", categoryarray=ranks[::-1])
    return figure


def speed_by_size(report: Report) -> go.Figure | None:
    """Latency and busbw of the collectives against message size, with floor, NCCL's model and the link's peak.

    None where no size is known.
    """
    series = size_series(report.collectives, report.link)
    if not series:
        return None
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.1)
    for number, one in enumerate(series):
        colour = SERIES[number % len(SERIES)]
        lines = (
            (1, one.latency, "wire p50", "solid", "lines+markers"),
            (1, one.floor, "floor", "dot", "lines+markers"),
            (1, one.model, "NCCL's model", "dash", "lines"),
            (2, one.busbw, "busbw", "solid", "lines+markers"),
        )
        for column, values, what, dash, mode in lines:
            if all(value is None for value in values):
                continue
            figure.add_scatter(
                x=one.sizes,
                y=values,
                row=1,
                col=column,
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
            row=1,
            col=2,
            name="link's peak",
            mode="lines+markers",
            line={"color": COLOURS["last"], "dash": "dash"},
            marker={"size": 3, "color": COLOURS["last"]},
        )
    figure.update_layout(height=340 + 8 * len(figure.data))
    _entitle(figure, "Latency and bandwidth of the collectives against their size")
    figure.update_xaxes(title="message, bytes", type="log")
    figure.update_yaxes(title="us after the last arrival", type="log", row=1, col=1)
    figure.update_yaxes(title="busbw, GB/s", type="log", row=1, col=2)
    return figure


def _entitle(figure: go.Figure, title: str) -> go.Figure:
    """With its title; text is ours, or escaped by us, as plotly reads markup in it."""
    return figure.update_layout(title={"text": escape(title), "x": 0, "font": {"size": 15}})


def _precedence(item: tuple[tuple[object, ...], pl.DataFrame]) -> int:
    return list(COLOURS).index(str(item[0][0]))


def _lane(rank: int, lane: str) -> str:
    return f"rank {rank} {lane}"
