"""The plotly figures of the HTML report that run over the steps: periods, ledgers, GPU counters."""

from __future__ import annotations

from html import escape

import polars as pl

from nsysan.metrics.counters import Counter
from nsysan.page.charts import entitled, thinned
from nsysan.page.figure import Figure
from nsysan.page.palette import COLOURS, NAMES, SERIES
from nsysan.report.report import Report, visible_lines
from nsysan.text import plain

_NAME_WIDTH = 90
_DASHES = ("solid", "dash", "dot")
#: More points than this are slow to draw, and cover each other.
_MARKED = 6_000
#: Steps left out that are this much longer than the steady ones would flatten them.
_FLATTENS = 2.0


def period_series(report: Report) -> Figure:
    """Step period of every rank over the steps, µs; steps left out of the medians are hollow."""
    figure = Figure()
    shown, which = thinned(report.per_step)
    told = {step: escape(plain(label, _NAME_WIDTH)) for step, label in report.steps.labels.items()}
    parts = shown.partition_by("rank", as_dict=True, maintain_order=True)
    for number, ((rank,), steps) in enumerate(parts.items()):
        figure.add_scatter(
            x=steps["step"].to_list(),
            y=(steps["period_ns"] / 1e3).to_list(),
            marker={"symbol": ["circle" if steady else "circle-open" for steady in steps["steady"]]},
            customdata=[told[step] for step in steps["step"]],
            name=f"rank {rank}",
            mode="lines+markers" if len(shown) <= _MARKED else "lines",
            line=_line(number),
            hovertemplate="step %{x} (%{customdata}): %{y:,.1f} µs<extra>rank " + str(rank) + "</extra>",
        )
    figure.update_layout(height=320)
    beyond = _axis_end(report.per_step)
    entitled(figure, f"Period of each step, by rank{which}" + (" (start-up lies beyond the axis)" if beyond else ""))
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="period, µs", rangemode="tozero")
    return figure if beyond is None else figure.update_yaxes(range=[0, beyond / 1e3])


def _axis_end(per_step: pl.DataFrame) -> float | None:
    """Where an axis of periods ends (ns) so that steps left out do not flatten the others; None: where they end."""
    steady = per_step.filter("steady")["period_ns"].max()
    longest = per_step["period_ns"].max()
    if not isinstance(steady, int) or not isinstance(longest, int) or longest <= _FLATTENS * steady:
        return None
    return 1.15 * steady


def lines_by_step(report: Report) -> Figure | None:
    """The ledger of each steady step as stacked areas, us, medians over the ranks; None where no step is steady."""
    lines = visible_lines(report)
    steady = report.per_step.filter("steady")
    if steady.is_empty():
        return None
    medians, which = thinned(steady.group_by("step").agg(pl.median(f"{line}_ns") for line in lines).sort("step"))
    figure = Figure()
    steps = medians["step"].to_list()
    for line in lines:
        figure.add_scatter(
            x=steps,
            y=(medians[f"{line}_ns"].fill_null(0) / 1e3).to_list(),
            name=NAMES[line],
            mode="lines",
            stackgroup="ledger",
            line={"width": 0.5, "color": COLOURS[line], "shape": "hvh"},
            fillcolor=COLOURS[line],
            hovertemplate="step %{x}: %{y:,.1f} µs<extra>" + NAMES[line] + "</extra>",
        )
    figure.update_layout(height=300, legend={"traceorder": "normal"})
    entitled(figure, f"What the steady steps are made of (median over the ranks){which}")
    figure.update_xaxes(title="step")
    return figure.update_yaxes(title="µs per step", rangemode="tozero")


def counters_by_step(report: Report) -> Figure | None:
    """Mean of each GPU counter over the steps, a panel a counter and a line a rank; None where no step has samples."""
    by_metric: dict[tuple[str, str | None], list[Counter]] = {}
    for counter in report.counters:
        if counter.per_step["mean"].is_not_null().any():
            by_metric.setdefault((counter.metric, counter.unit), []).append(counter)
    if not by_metric:
        return None
    titles = [escape(plain(f"{metric}, {unit}" if unit else metric, _NAME_WIDTH)) for metric, unit in by_metric]
    figure = Figure(len(titles), spacing=0.28 / len(titles), titles=titles)
    ranks = [rank.rank for rank in report.ranks]
    for row, own in enumerate(by_metric.values(), start=1):
        for counter in own:
            number = ranks.index(counter.rank)
            steps, _ = thinned(counter.per_step)
            figure.add_scatter(
                x=steps["step"].to_list(),
                y=steps["mean"].to_list(),
                customdata=steps["peak"].to_list(),
                row=row,
                col=1,
                name=f"rank {counter.rank}",
                legendgroup=f"rank {counter.rank}",
                showlegend=row == 1,
                mode="lines+markers",
                line=_line(number),
                hovertemplate="step %{x}: mean %{y:,.1f}, peak %{customdata}<extra>rank "
                + str(counter.rank)
                + "</extra>",
            )
    figure.update_layout(height=90 + 110 * len(titles))
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(title="step", row=len(titles), col=1)
    return entitled(figure, "GPU counters, mean of each step, by rank")


def _line(number: int) -> dict[str, str]:
    """Colour and dashes of the line of the n-th rank."""
    return {"color": SERIES[number % len(SERIES)], "dash": _DASHES[number // len(SERIES) % len(_DASHES)]}
