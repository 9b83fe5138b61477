"""Trends over the runs of a history, as one HTML page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from nsysan._version import __version__
from nsysan.history.cells import Row, measured, words
from nsysan.history.marks import Mark, marks_of
from nsysan.history.trends import calls, kernel_times, label, ledgers, periods, what_if
from nsysan.history.workloads import by_workload, workload_of
from nsysan.metrics.change_rule import WORDS
from nsysan.output import subject
from nsysan.page.elements import plot, render, safe, section, table
from nsysan.page.figure import Figure
from nsysan.page.palette import SERIES
from nsysan.text import counted, duration, encodable, signed, signed_pct, us

_NOTE = "One point a run, in the order in which runs were added; {what}."
_MARKS_NOTE = (
    "Each run against the first run of its level, that from which its workload took what it took, by the rule of "
    "nsysan compare: p < 0.01 by the spread over the steady steps, and 1 % of the period. A run that changed begins a "
    "new level."
)
#: Workloads of which the page heads with a sentence and a card; rows of the table of changes.
_HEADED, _MARKS = 4, 60


def to_html(
    runs: list[Row], source: Path, steps: Mapping[int, Sequence[int]], folder: Path, kernels: Sequence[str] = ()
) -> str:
    """The page of these runs (rows of the table `runs`); everything from the database, source, is escaped.

    steps: ns of the steady steps of a run, by its number. folder: where the page will lie, for its links to others.
    kernels: columns of the rows that are figures of kernels, ns.
    """
    plots: dict[str, str] = {}
    groups = by_workload(runs)
    marks = {name: marks_of(own, steps) for name, own in groups.items()}
    last = next(iter(groups), "")
    own = groups.get(last, [])
    of_last = f"of {last}" if len(groups) > 1 else ""
    parts = [
        ("verdict", "Verdict", _lead(groups, marks)),
        ("period", "Period", _trend(plots, "Period", "a line a workload; median over the ranks of each one's median. "
         "A diamond marks a change beyond noise", periods(groups, marks))),
        ("changes", "Changes", _changes(marks)),
        ("ledger", "Ledger", _trend(plots, "Ledger", f"the same of every ledger line {of_last}".strip(), ledgers(own))),
        ("kernels", "Kernels", _trend(plots, "Kernels", f"what groups of kernels take {of_last}".strip(),
         kernel_times(own, kernels), fold="What groups of kernels take a step, by run")),
        ("calls", "Collectives", _trend(plots, "The hottest collective", f"p50 and p99 of its calls, after and before "
         f"the last arrival {of_last}".strip(), calls(own), fold="Wire and waiting of the hottest collective, by run")),
        ("what-if", "What if", _trend(plots, "What if", f"the period with a loss taken away {of_last}".strip(),
         what_if(own), fold="The period with each loss taken away, by run")),
        ("runs", "Runs", _runs(runs, marks, folder)),
    ]  # fmt: skip
    shown = [part for part in parts if part[2]]
    return render(
        f"nsysan: {encodable(source.name)}",
        f"{counted(len(runs), 'run')} of {counted(len(groups), 'workload')}",
        "\n".join(body for _, _, body in shown),
        plots,
        __version__,
        of=subject(["history", source.absolute()]),
        links=[(anchor, name) for anchor, name, _ in shown],
    )


def sentence(name: str, own: Sequence[Row], marks: Sequence[Mark]) -> str:
    """What became of one workload: its last run against the level before, and where it last changed."""
    last = own[-1]
    period = measured(last, "period_ns")
    if period is None:
        return f"run {label(last)} of {name} has no steady decode step"
    takes = f"run {label(last)} takes {duration(period)} a step"
    if not marks or marks[-1].run["id"] != last["id"]:
        return f"{takes}: the first of {name}"
    mark = marks[-1]
    if mark.changed:
        return f"{takes}, {_changed_words(mark)}"
    since = next((one for one in reversed(marks) if one.changed), None)
    before = "" if since is None else f"; that one {_changed_words(since)}"
    return f"{takes}, {_same_words(mark)} run {label(mark.against)}{before}"


def _same_words(mark: Mark) -> str:
    words_ = {
        "noise": "the same within noise as",
        "small": "no more apart than two captures of one workload may be from",
    }
    return words_.get(mark.change.verdict.value, f"{WORDS[mark.change.verdict]} ({mark.change.reason}) against")


def _changed_words(mark: Mark) -> str:
    change = mark.change
    word = "slower" if (change.difference or 0) > 0 else "faster"
    share = "" if change.percent is None else f" ({signed_pct(change.percent / 100)})"
    grew = "" if mark.of_mean else _moved(mark, 2)
    mean = " in the mean" if mark.of_mean else ""
    return f"{word} by {duration(abs(change.difference or 0))}{share}{mean} than run {label(mark.against)}" + (
        f": {grew}" if grew else ""
    )


def _moved(mark: Mark, most: int) -> str:
    """Ledger lines that moved as the period did, the largest first."""
    way = 1 if (mark.change.difference or 0) > 0 else -1
    return ", ".join(f"{line} {signed(ns)}" for line, ns in mark.moved[:most] if ns * way > 0)


def _lead(groups: Mapping[str, Sequence[Row]], marks: Mapping[str, Sequence[Mark]]) -> str:
    if not groups:
        return '<section id="verdict"><div class="verdict"><p class="lead">no runs</p></div></section>'
    told = [(name, sentence(name, own, marks[name])) for name, own in groups.items()]
    first, *others = [
        f"{'' if len(told) == 1 else f'<b>{safe(name)}</b>: '}{safe(words_)}." for name, words_ in told[:_HEADED]
    ]
    more = f"<p>{counted(len(told) - _HEADED, 'more workload')}: see Changes.</p>" if len(told) > _HEADED else ""
    cards = "".join(
        f'<div class="card" style="--colour:{SERIES[number % len(SERIES)]}"><b>{safe(_card(own, marks[name]))}</b>'
        f"<span>{safe(name)}, {counted(len(own), 'run')}</span></div>"
        for number, (name, own) in enumerate(list(groups.items())[:_HEADED])
    )
    return (
        f'<section id="verdict"><div class="verdict"><p class="lead">{first}</p>'
        f'{"".join(f"<p>{one}</p>" for one in others)}{more}</div><div class="cards">{cards}</div></section>'
    )


def _card(own: Sequence[Row], marks: Sequence[Mark]) -> str:
    period = measured(own[-1], "period_ns")
    told = "-" if period is None else duration(period)
    percent = marks[-1].change.percent if marks and marks[-1].run["id"] == own[-1]["id"] else None
    return told if percent is None else f"{told} {signed_pct(percent / 100)}"


def _trend(plots: dict[str, str], title: str, what: str, figure: Figure | None, fold: str = "") -> str:
    if figure is None:
        return ""
    name = f"trend-{len(plots)}"
    figure.update_layout(title=f"{title}, by run")
    anchor = {"Period": "period", "Ledger": "ledger", "Kernels": "kernels", "What if": "what-if"}.get(title, "calls")
    return section(title, _NOTE.format(what=what), plot(plots, name, figure), anchor=anchor, folded=fold)


def _changes(marks: Mapping[str, Sequence[Mark]]) -> str:
    every = sorted((mark for own in marks.values() for mark in own), key=lambda mark: -int(mark.run["id"] or 0))
    if not every:
        return ""
    rows = [
        [
            _to_row(mark.run),
            _to_row(mark.against),
            "-" if mark.change.difference is None else signed(mark.change.difference),
            "-" if mark.change.percent is None else signed_pct(mark.change.percent / 100),
            WORDS[mark.change.verdict] + (f": {mark.change.reason}" if mark.change.reason else ""),
            "the mean: long steps" if mark.of_mean else _moved(mark, 3) if mark.changed else "",
            workload_of(mark.run),
        ]
        for mark in every[:_MARKS]
    ]
    heads = ["run", "against", "period", "%", "", "of which", "workload"]
    return section(
        "Changes", _MARKS_NOTE, table(heads, rows, text=(0, 1, 4, 5, 6), wrap=6, raw=(0, 1)),
        anchor="changes",
    )  # fmt: skip


def _to_row(run: Row) -> str:
    """HTML: a run's label, which leads to its row."""
    return f'<a href="#run-{int(run["id"] or 0)}">{safe(label(run))}</a>'


def _runs(runs: list[Row], marks: Mapping[str, Sequence[Mark]], folder: Path) -> str:
    header = ["run", "added", "name", "host", "commit", "tags", "verdict", "report", "ranks", "period", "wire, µs"]
    changed = {int(mark.run["id"] or 0) for own in marks.values() for mark in own if mark.changed}
    rows = [
        [
            f"{run['id']}{' ◆' if int(run['id'] or 0) in changed else ''}",
            str(run.get("added") or "-")[:16].replace("T", " "),
            *(str(run[key] or "-") for key in ("name", "host", "commit")),
            " ".join(words(run, "tags")) or "-",
            str(run.get("verdict") or "-"),
            _link(run, folder),
            str(run.get("ranks")),
            "-" if (period := measured(run, "period_ns")) is None else duration(period),
            us(measured(run, "wire_ns")),
            us(measured(run, "wait_ns")),
            workload_of(run),
        ]
        for run in runs
    ]
    note = "What is kept of each, ◆ where it changed; `nsysan history show` has the rest."
    targets = [f'id="run-{int(run["id"] or 0)}"' for run in runs]
    heads = [*header, "wait, µs", "workload"]
    return section(
        "Runs", note, table(heads, rows, text=(*range(8), 12), wrap=12, raw=(7,), marks=targets), anchor="runs"
    )


def _link(run: Row, folder: Path) -> str:
    """HTML: a link to the report's page, if it is still there."""
    page = run.get("page")
    try:
        if not isinstance(page, str) or not Path(page).is_file():
            return "-"
        return f'<a href="{safe(quote(os.path.relpath(page, folder).replace(os.sep, "/")))}">report</a>'
    except (OSError, ValueError):
        return "-"
