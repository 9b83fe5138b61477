"""What could be saved, and who is late, in tables of the page."""

from __future__ import annotations

from nsysan.diagnosis.answers import replay_words
from nsysan.diagnosis.hotspot import Late
from nsysan.diagnosis.late_words import outermost, ranks_words, weight
from nsysan.metrics.scenarios import NOTABLE, SCENARIOS
from nsysan.page.elements import safe, table
from nsysan.page.glossary import term
from nsysan.report.report import Report
from nsysan.text import duration, pct_limit, percent, plain, rough, rough_us, us


def saved(report: Report) -> str:
    """HTML: the what-ifs that save something, and what kept others from being told."""
    what = report.diagnosis.what_if
    if what is None or not what.told:
        return ""
    rows = [["as measured" if what.traced is None else "without nsys, as given", duration(what.period), "", "", ""]]
    untold = []
    for scenario in what.listed:
        row, ns = SCENARIOS[scenario], what[scenario]
        if ns is None:
            untold.append(row.title)
        elif what.period - ns >= NOTABLE * what.period:
            gain = what.period - ns
            name = f"{term(row.title)}{safe(row.name.removeprefix(row.title))}"
            least = "at least " if scenario in what.bounds else ""
            share = gain / what.period
            rows.append([name, rough(ns), f"{least}{rough_us(gain)}", percent(gain, what.period), _gauge(share)])
    notes = [f"Savings are {replay_words(what)}. They need not add up."]
    if len(rows) == 1:
        notes.insert(0, f"Nothing saves {pct_limit(NOTABLE)} of the step or more.")
    if untold:
        notes.append(f"Cannot be told {', '.join(untold)}{f': {what.why_host}' if what.why_host else ''}.")
    return (
        table(
            ["what if", "a step", "saved, µs", "saved", "saved of the step"],
            rows,
            text=(0, 4),
            raw=(0, 4),
            caption="What a fix saves",
        )
        + f'<p class="note">{safe(" ".join(notes))}</p>'
    )


def late_table(report: Report) -> str:
    """HTML: the late ranks, those that are late together first; nothing where nobody is late."""
    late, period = report.diagnosis.late, report.paced_period or 0
    if not late or not period:
        return ""
    sets = [one for one in outermost(late) if len(one.ranks) > 1]
    rows = [_late_row(one, period) for one in (*sets, *(one for one in late if len(one.ranks) == 1))]
    header = ["late", "cause", "saves, µs", "saves", "costs, µs", "costs", "takes longer"]
    named = {"saves": term("saves"), "costs": term("costs")}
    return table(header, rows, text=(0, 1, 6), wrap=6, caption="Late ranks, µs a step", terms=named)


def _late_row(one: Late, period: int) -> list[str]:
    saves, costs, of, mean = weight(one, period)
    cause = str(one.cause or "cannot be told")
    # Of the kernel that the sentence on late ranks names, its figure.
    named = {one.where.kernel: one.where.more} if one.where is not None else {}
    kernels = ", ".join(f"{plain(name, 60)} +{us(named.get(name, ns))} µs" for name, ns in one.kernels[:2])
    return [
        f"{ranks_words(one.ranks)}{' together' if len(one.ranks) > 1 else ''}{' (mean)' if mean else ''}",
        cause,
        rough_us(saves),
        percent(saves, of),
        rough_us(costs),
        percent(costs, of),
        kernels or "-",
    ]


def _gauge(share: float) -> str:
    width = f"{100 * max(0.0, min(share, 1.0)):.1f}%"
    return f'<span class="gauge" aria-hidden="true"><span style="width:{width}"></span></span>'
