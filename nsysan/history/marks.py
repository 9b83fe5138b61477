"""Where a history changed: each run against the run from which its workload took what it takes, by compare's rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nsysan.history.cells import Row, measured
from nsysan.metrics.change_rule import Change, ChangeVerdict, judged
from nsysan.metrics.lines import LINES, Line
from nsysan.metrics.significance import mann_whitney


@dataclass(frozen=True)
class Mark:
    """A run against an earlier one of its workload. moved: ledger lines by how much more they take, ns, most first."""

    run: Row
    against: Row
    change: Change
    moved: list[tuple[Line, float]]

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
    before, after = (measured(one, "period_ns") or 0.0 for one in (against, run))
    own = [np.asarray(steps.get(int(one["id"] or 0), ()), dtype=np.float64) for one in (against, run)]
    unknown = [
        f"the steps of run {one['id']} were not kept" for one in (against, run) if not steps.get(int(one["id"] or 0))
    ]
    if unknown:
        found = Change(None, None, None, ChangeVerdict.NOT_COMPARABLE, "; ".join(unknown))
    else:
        found = judged((before, after), (own[0], own[1]), mann_whitney(own[0], own[1]), period=before or 1.0)
    moved = [
        (line, now - was)
        for line in LINES
        if (was := measured(against, line.column)) is not None and (now := measured(run, line.column)) is not None
    ]
    moved.sort(key=lambda item: -abs(item[1]))
    return Mark(run, against, found, moved)
