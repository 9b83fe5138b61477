"""Trends over the runs of a history, as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from nsysan._version import __version__
from nsysan.history.cells import Row, measured, words
from nsysan.metrics.lines import LEDGER
from nsysan.metrics.scenarios import SCENARIOS
from nsysan.page.elements import plot, render, section, table
from nsysan.text import counted, duration, plain, us

_CALLS = (("wire", "p50"), ("wire", "p99"), ("wait", "p50"), ("wait", "p99"))
#: More names than this along an axis cover each other.
_LABELS = 15
_NOTE = "One point a run, in the order in which runs were added; {what}."


def to_html(runs: list[Row], source: str, kernels: Sequence[str] = ()) -> str:
    """The page of these runs (rows of the table `runs`); everything from the database is escaped.

    kernels: columns of the rows that are figures of kernels, ns.
    """
    plots: dict[str, str] = {}
    sections = (
        ("Period", "median over the ranks of a rank's median step", _period(runs)),
        ("Ledger", "the same of every line that a run has", _lines(runs)),
        ("Kernels", "ns a step, median over the ranks", _trend(runs, {name: (name, None) for name in kernels})),
        ("The hottest collective", "p50 and p99 of its calls, after and before the last arrival", _calls(runs)),
        ("What if", "the period with a loss taken away", _what_if(runs)),
    )
    body = "\n".join(
        section(
            title,
            _NOTE.format(what=what),
            plot(plots, f"trend-{number}", figure.update_layout(title=f"{title}, by run")),
        )
        for number, (title, what, figure) in enumerate(sections)
        if figure is not None
    )
    body += section("Runs", "What is kept of each; `nsysan history show` has the rest.", _table(runs))
    return render(f"nsysan: {source}", f"{counted(len(runs), 'run')} of the history", body, plots, __version__)


def _label(run: Row) -> str:
    return f"{run['id']}: {run.get('commit') or run.get('name')}"


def _hover(run: Row) -> str:
    told = (run.get("added"), run.get("name"), run.get("host"), " ".join(words(run, "tags")), run.get("verdict"))
    return escape(plain(", ".join(str(part) for part in told if part), 200))


def _trend(runs: list[Row], series: dict[str, tuple[str, str | None]]) -> go.Figure | None:
    """Lines over the runs, µs; series: column by name and colour. Columns that no run has are left out."""
    figure = go.Figure()
    for name, (column, colour) in series.items():
        values = [measured(run, column) for run in runs]
        if not any(values):
            continue
        figure.add_scatter(
            x=[run["id"] for run in runs],
            y=[None if value is None else value / 1e3 for value in values],
            name=escape(plain(name, 80)),
            mode="lines+markers",
            line_color=colour,
            customdata=[_hover(run) for run in runs],
            hovertemplate="%{y:,.1f} µs<br>%{customdata}<extra>" + escape(plain(name, 80)) + "</extra>",
        )
    if not figure.data:
        return None
    figure.update_layout(height=340)
    named = runs[:: max(1, len(runs) // _LABELS)]
    labels = [escape(plain(_label(run), 24)) for run in named]
    figure.update_xaxes(tickvals=[run["id"] for run in named], ticktext=labels, title="run")
    figure.update_yaxes(title="µs", rangemode="tozero")
    return figure


def _period(runs: list[Row]) -> go.Figure | None:
    return _trend(runs, {"period": ("period_ns", None)})


def _lines(runs: list[Row]) -> go.Figure | None:
    return _trend(runs, {row.title: (row.id.column, row.colour) for row in LEDGER})


def _calls(runs: list[Row]) -> go.Figure | None:
    return _trend(runs, {f"{what} {q}": (f"{what}_{q}_ns", None) for what, q in _CALLS})


def _what_if(runs: list[Row]) -> go.Figure | None:
    series: dict[str, tuple[str, str | None]] = {"as measured": ("period_ns", None)}
    return _trend(runs, series | {row.title: (scenario.column, None) for scenario, row in SCENARIOS.items()})


def _table(runs: list[Row]) -> str:
    header = ["run", "added", "name", "host", "commit", "tags", "verdict", "ranks", "period", "wire, µs", "wait, µs"]
    rows = [
        [
            str(run["id"]),
            *(str(run[key] or "-") for key in ("added", "name", "host", "commit")),
            " ".join(words(run, "tags")) or "-",
            str(run.get("verdict") or "-"),
            str(run.get("ranks")),
            "-" if (period := measured(run, "period_ns")) is None else duration(period),
            us(measured(run, "wire_ns")),
            us(measured(run, "wait_ns")),
        ]
        for run in runs
    ]
    return table(header, rows, text=tuple(range(7)))
