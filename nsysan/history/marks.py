"""Where a history changed: each run against the run from which its workload took what it takes, by compare's rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsysan.history.cells import Row, measured
from nsysan.metrics.change_rule import Change, ChangeVerdict, judged
from nsysan.metrics.lines import LINES, Line
from nsysan.metrics.significance import mann_whitney


@dataclass(frozen=True)
class Mark:
    """A run against an earlier one of its workload. moved: ledger lines by how much more they take, ns, most first.
    of_mean: the change is one of the mean step, which the tail is in; the median one has not changed.
    """

    run: Row
    against: Row
    change: Change
    moved: list[tuple[Line, float]]
    of_mean: bool = False

    @property
    def changed(self) -> bool:
        """Beyond noise."""
        return self.change.verdict == ChangeVerdict.CHANGED


def marks_of(runs: Sequence[Row], steps: Mapping[int, Sequence[int]]) -> list[Mark]:
    """A mark for each run of one workload but the first. steps: ns of the steady steps of a run, by its number.

    A run is held against the first of the level that it is on: a slow drift adds up to a change, too.
    """
    marks: list[Mark] = []
    level: Row | None = None
    for run in runs:
        if measured(run, "period_ns") is None:
            continue
        if level is None:
            level = run
            continue
        found = _mark(run, level, steps)
        marks.append(found)
        level = run if found.changed else level
    return marks


def _mark(run: Row, against: Row, steps: Mapping[int, Sequence[int]]) -> Mark:
    of_mean = False
    own = [np.asarray(steps.get(int(one["id"] or 0), ()), dtype=np.float64) for one in (against, run)]
    unknown = [
        f"the steps of run {one['id']} were not kept" for one in (against, run) if not steps.get(int(one["id"] or 0))
    ]
    if unknown:
        found = Change(None, None, None, ChangeVerdict.NOT_COMPARABLE, "; ".join(unknown))
    else:
        found = _judged(run, against, own, "period_ns")
        if found.verdict != ChangeVerdict.CHANGED and all(measured(one, "mean_ns") for one in (against, run)):
            mean = _judged(run, against, own, "mean_ns")
            found, of_mean = (mean, True) if mean.verdict == ChangeVerdict.CHANGED else (found, False)
    moved = [
        (line, now - was)
        for line in LINES
        if (was := measured(against, line.column)) is not None and (now := measured(run, line.column)) is not None
    ]
    moved.sort(key=lambda item: -abs(item[1]))
    return Mark(run, against, found, moved, of_mean)


def _judged(run: Row, against: Row, steps: Sequence[npt.NDArray[np.float64]], figure: str) -> Change:
    before, after = (measured(one, figure) or 0.0 for one in (against, run))
    chance = mann_whitney(steps[0], steps[1])
    return judged((before, after), (steps[0], steps[1]), chance, period=before or 1.0, of_mean=figure == "mean_ns")
