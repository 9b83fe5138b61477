"""All what-ifs as a table for a terminal."""

from __future__ import annotations

from nsysan.diagnosis.answers import replay_words
from nsysan.metrics.scenarios import SCENARIOS
from nsysan.report.report import Report
from nsysan.styled import heading
from nsysan.text import duration, percent, rough, rough_us, table


def what_if_text(report: Report, width: int | None = None) -> str:
    """Each what-if, and each rank put right alone: the period, what that saves, and the bounds where there are two."""
    what = report.diagnosis.what_if
    if what is None:
        return "what if: there is no steady step"
    rows = []
    for scenario in what.listed:
        ns = what[scenario]
        low, high = what.bounds.get(scenario, (None, None))
        bounds = "" if low is None or high is None else f"{rough_us(what.period - high)} to {rough(what.period - low)}"
        rows.append(_row(SCENARIOS[scenario].name, ns, what.period, bounds))
    rows += [_row(f"with rank {rank} put right", ns, what.period, "") for rank, ns in sorted(what.ranks.items())]
    now = "without nsys" if what.traced is not None else "now"
    head = f"{heading('what if')}, {replay_words(what)} ({duration(what.period)} a step {now}; savings need not add up)"
    why = [f"cannot be told: {reason}" for reason in (what.why, what.why_host) if reason]
    return "\n".join([head, *table(["", "a step", "saves, µs", "saves", "bounds"], rows, width=width), *why])


def _row(name: str, ns: int | None, period: int, bounds: str) -> list[str]:
    if ns is None:
        return [name, "-", "-", "-", ""]
    return [name, rough(ns), rough_us(period - ns), percent(period - ns, period), bounds]
