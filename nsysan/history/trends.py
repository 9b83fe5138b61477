"""The figures of a history's page, made from finished rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from nsysan.history.cells import Row, measured, words
from nsysan.history.marks import Mark
from nsysan.metrics.lines import LEDGER, Line
from nsysan.metrics.scenarios import SCENARIOS
from nsysan.page.figure import Figure
from nsysan.page.palette import COLOURS, SERIES
from nsysan.text import plain

_CALLS = {
    "wire p50": ("wire_p50_ns", COLOURS[Line.WIRE], "solid"),
    "wire p99": ("wire_p99_ns", COLOURS[Line.WIRE], "dot"),
    "wait p50": ("wait_p50_ns", COLOURS[Line.WAIT], "solid"),
    "wait p99": ("wait_p99_ns", COLOURS[Line.WAIT], "dot"),
}
#: More names than this along an axis cover each other.
_LABELS = 15
#: Lines of workloads whose periods are further apart than this need an axis by powers of ten.
_FAR = 8.0


def label(run: Row) -> str:
    """A run by its number and commit or name."""
    return plain(f"{run['id']}: {run.get('commit') or run.get('name')}", 24)


def periods(groups: Mapping[str, Sequence[Row]], marks: Mapping[str, Sequence[Mark]]) -> Figure | None:
    """A line a workload, µs, and a diamond where it changed."""
    figure = Figure()
    for number, (name, runs) in enumerate(groups.items()):
        colour = SERIES[number % len(SERIES)]
        _line(figure, runs, name, "period_ns", colour, "solid")
        changed = [mark for mark in marks[name] if mark.changed]
        if changed:
            figure.add_scatter(
                x=[mark.run["id"] for mark in changed],
                y=[(measured(mark.run, "period_ns") or 0) / 1e3 for mark in changed],
                mode="markers+text",
                name=f"{escape(name)}: changed",
                showlegend=False,
                text=[f"{mark.change.percent:+.1f} %" for mark in changed if mark.change.percent is not None],
                textposition="top center",
                cliponaxis=False,
                marker={
                    "symbol": "diamond",
                    "size": 13,
                    "color": colour,
                    "line": {"width": 2, "color": COLOURS["last"]},
                },
                customdata=[escape(f"against run {label(mark.against)}") for mark in changed],
                hovertemplate="%{y:,.1f} µs, %{text} %{customdata}<extra>changed</extra>",
            )
    every = [ns for runs in groups.values() for run in runs if (ns := measured(run, "period_ns"))]
    found = _finished(figure, [run for runs in groups.values() for run in runs])
    if found is not None and max(every) > _FAR * min(every) > 0:
        found.update_yaxes(type="log", title="µs (powers of ten)", rangemode="normal", dtick="D2", tickformat=",")
    return found


def ledgers(runs: Sequence[Row]) -> Figure | None:
    """The ledger of each run as a stacked bar, µs."""
    figure = Figure()
    for row in LEDGER:
        values = [measured(run, row.id.column) for run in runs]
        if any(values):
            figure.add_bar(
                x=[run["id"] for run in runs],
                y=[None if value is None else value / 1e3 for value in values],
                name=row.title,
                marker={"color": row.colour},
                customdata=[_hover(run) for run in runs],
                hovertemplate="%{y:,.1f} µs<br>%{customdata}<extra>" + row.title + "</extra>",
            )
    figure.update_layout(barmode="stack", legend={"traceorder": "normal"})
    return _finished(figure, runs)


def calls(runs: Sequence[Row]) -> Figure | None:
    """The hottest collective's calls, µs."""
    figure = Figure()
    for name, (column, colour, dash) in _CALLS.items():
        _line(figure, runs, name, column, colour, dash)
    return _finished(figure, runs)


def kernel_times(runs: Sequence[Row], names: Sequence[str]) -> Figure | None:
    """Figures of kernels, by the columns that have them, µs."""
    figure = Figure()
    for number, name in enumerate(names):
        _line(figure, runs, name, name, SERIES[number % len(SERIES)], "dash" if number >= len(SERIES) else "solid")
    return _finished(figure, runs)


def what_if(runs: Sequence[Row]) -> Figure | None:
    """The period with each loss taken away, µs."""
    figure = Figure()
    _line(figure, runs, "as measured", "period_ns", COLOURS["last"], "solid")
    for number, (scenario, row) in enumerate(SCENARIOS.items()):
        _line(figure, runs, row.title, scenario.column, SERIES[number % len(SERIES)], "dash" if number > 5 else "solid")
    return _finished(figure, runs)


def _line(figure: Figure, runs: Sequence[Row], name: str, column: str, colour: str, dash: str) -> None:
    """Left out where no run has the column."""
    values = [measured(run, column) for run in runs]
    if not any(values):
        return
    figure.add_scatter(
        x=[run["id"] for run in runs],
        y=[None if value is None else value / 1e3 for value in values],
        name=escape(name),
        mode="lines+markers",
        line={"color": colour, "dash": dash},
        marker={"size": 8},
        customdata=[_hover(run) for run in runs],
        hovertemplate="%{y:,.1f} µs<br>%{customdata}<extra>" + escape(plain(name, 60)) + "</extra>",
    )


def _finished(figure: Figure, runs: Sequence[Row]) -> Figure | None:
    if not figure.data:
        return None
    figure.update_layout(height=360, showlegend=True)
    ordered = sorted(runs, key=lambda run: int(run["id"] or 0))
    named = ordered[:: max(1, -(-len(ordered) // _LABELS))]
    labels = [escape(label(run)) for run in named]
    figure.update_xaxes(tickvals=[run["id"] for run in named], ticktext=labels, title="run")
    return figure.update_yaxes(title="µs", rangemode="tozero")


def _hover(run: Row) -> str:
    told = (run.get("added"), run.get("name"), run.get("host"), " ".join(words(run, "tags")), run.get("verdict"))
    return escape(plain(", ".join(str(part) for part in told if part), 200))
