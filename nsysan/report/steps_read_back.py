"""The steady steps of a report's JSON, read back: how long each took."""

from __future__ import annotations

from statistics import median

from nsysan.report.json_values import Fields

#: More steps than this tell no more of how steps vary.
_MOST_STEPS = 5_000


def steady_periods(fields: Fields, replica: int | None, population: str | None) -> dict[int, int]:
    """ns of each steady step, by its number: the median over the ranks of the headline replica; {} where none is told.

    replica, population: those of the headline, None in documents that know of none.
    """
    by_step: dict[int, list[int]] = {}
    for row in fields.rows("per_step") if "per_step" in fields.values else []:
        if row.values.get("steady") is not True or (replica is not None and row.whole("replica") != replica):
            continue
        if population is not None and row.values.get("population") != population:
            continue
        step = row.whole("step")
        if step in by_step or len(by_step) < _MOST_STEPS:
            by_step.setdefault(step, []).append(row.whole("period_ns"))
    return {step: round(median(periods)) for step, periods in sorted(by_step.items())}
