"""The slices of steps as columns of whole numbers that compress well, some steps at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.metrics.lines import LINES, ROW, Line
from nsysan.page.fact_columns import Facts
from nsysan.page.names import Names
from nsysan.report.step_slices import LINE_ORDER, Slices

_Numbers = npt.NDArray[Any]
#: So many slices stay in a processor's cache while their columns are made.
_AT_ONCE = 1 << 16
#: The columns whose numbers may be below 0.
SIGNED = ("gap", "on")
#: By the number of a line, whether it is one side of a call that is cut at its last arrival.
_CUT = np.array([line in LINES and bool(ROW[Line(line)].before or ROW[Line(line)].after) for line in LINE_ORDER])


class Looks:
    """What slices look like: the different lines, names and facts that there are together.

    table: of each line, name (position in the page's names) and facts (Facts.numbered).
    """

    def __init__(self, names: Names, facts: Facts) -> None:
        self._names, self._facts = names, facts
        self._number: dict[tuple[int, int, int], int] = {}
        #: By the table of kinds, which is kept so that no other takes its place: the looks of a kind on each line.
        self._of: dict[int, tuple[pl.DataFrame, _Numbers]] = {}

    @property
    def table(self) -> list[tuple[int, int, int]]:
        """The looks by their numbers."""
        return list(self._number)

    def numbered(self, kinds: pl.DataFrame, kind: _Numbers, line: _Numbers) -> _Numbers:
        """The look of each slice; kinds: as in Slices."""
        blank = np.full(len(kinds) * len(LINE_ORDER), -1, dtype=np.int32)
        _, known = self._of.setdefault(id(kinds), (kinds, blank))
        key = kind.astype(np.int64) * len(LINE_ORDER) + line
        there = np.zeros(len(known), dtype=np.bool_)
        there[key] = True
        fresh = np.flatnonzero(there & (known < 0))
        if len(fresh):
            known[fresh] = self._new(kinds, *np.divmod(fresh, len(LINE_ORDER)))
        return known[key]

    def _new(self, kinds: pl.DataFrame, kind: _Numbers, line: _Numbers) -> list[int]:
        told = kinds.select(pl.all().gather(pl.Series(kind)))
        looks = np.stack([line, self._names.numbered(told["name"]), self._facts.numbered(told)], axis=1)
        return [self._number.setdefault(tuple(look), len(self._number)) for look in looks.tolist()]


class SliceColumns:
    """The columns of the slices of all steps, each step's behind those of the one before.

    lane_counts: how many slices each lane has, step by step. What `parts` finds of lanes and calls on its way is told
    when it is at its end: launches, of each lane that has slices by how much the launch of its first is numbered above
    -1; calls, of each slice that is a side of a call the number of the matched collective that begins with it, less
    that of the one before on the lane (or -1), 0 for none; sides, how many of them each step has.
    """

    def __init__(self, steps: Sequence[Slices], looks: Looks) -> None:
        self._steps, self._looks = steps, looks
        self._counts = [_lane_counts(step) for step in steps]
        self.lane_counts = np.concatenate(self._counts)
        self._launches: list[_Numbers] = []
        self._calls: list[_Numbers] = []
        self.sides: list[int] = []

    @property
    def launches(self) -> _Numbers:
        return np.concatenate(self._launches)

    @property
    def calls(self) -> _Numbers:
        return np.concatenate(self._calls)

    def parts(self) -> Iterator[dict[str, _Numbers]]:
        """look, gap, length, on (see lanes.timeline_data) of the slices of a few steps after the other."""
        at = 0
        for steps in _lots(self._steps):
            of_lanes = np.concatenate(self._counts[at : at + len(steps)])
            at += len(steps)
            rows = pl.concat([step.rows for step in steps], rechunk=True)
            first = (np.cumsum(of_lanes) - of_lanes)[of_lanes > 0]
            self._tell(rows, first, [len(step) for step in steps])
            yield self._part(rows, steps[0].kinds, first)

    def _part(self, rows: pl.DataFrame, kinds: pl.DataFrame, first: _Numbers) -> dict[str, _Numbers]:
        begin, end, launch = (rows[name].to_numpy() for name in ("begin", "end", "launch"))
        gap, on = begin.copy(), np.zeros_like(launch)
        gap[1:] -= end[:-1]
        gap[first] = begin[first]
        np.subtract(launch[1:], launch[:-1], out=on[1:])
        on[first] = 0
        look = self._looks.numbered(kinds, rows["kind"].to_numpy(), rows["line"].to_numpy())
        return {"look": look, "gap": gap, "length": end - begin, "on": on}

    def _tell(self, rows: pl.DataFrame, first: _Numbers, counts: Sequence[int]) -> None:
        self._launches.append(rows["launch"].to_numpy()[first].astype(np.int64) + 1)
        sides = np.flatnonzero(_CUT[rows["line"].to_numpy()])
        number = rows["call"].to_numpy()[sides]
        begun = np.flatnonzero(number >= 0)
        own, lane = number[begun] + 1, np.searchsorted(first, sides[begun], side="right")
        on = own.copy()
        on[1:] -= np.where(lane[1:] == lane[:-1], own[:-1], 0)
        calls = np.zeros_like(number)
        calls[begun] = on
        self._calls.append(calls)
        self.sides += np.diff(np.searchsorted(sides, [0, *accumulate(counts)])).tolist()


def _lane_counts(step: Slices) -> _Numbers:
    return np.diff(np.searchsorted(step.rows["at"].to_numpy(), np.arange(len(step.lanes) + 1)))


def _lots(steps: Sequence[Slices]) -> Iterator[Sequence[Slices]]:
    """The steps, as many together as are worth it, and of one table of kinds."""
    first, held = 0, 0
    for number, step in enumerate(steps):
        if number > first and (held + len(step) > _AT_ONCE or step.kinds is not steps[first].kinds):
            yield steps[first:number]
            first, held = number, 0
        held += len(step)
    yield steps[first:]
