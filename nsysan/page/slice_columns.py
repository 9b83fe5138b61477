"""The slices of steps as columns of whole numbers that compress well, some steps at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.metrics.lines import LINES, ROW, Line
from nsysan.page.fact_columns import TOLD, Facts
from nsysan.page.shown_names import Names
from nsysan.report.step_slices import LINE_ORDER, Slices

_Numbers = npt.NDArray[Any]
#: So many slices stay in a processor's cache while their columns are made.
_AT_ONCE = 1 << 16
#: By the number of a line, whether it is one side of a call that is cut at its last arrival.
_CUT = np.array([line in LINES and bool(ROW[Line(line)].before or ROW[Line(line)].after) for line in LINE_ORDER])


class Looks:
    """What slices look like: the different lines, names and facts that there are together.

    table: of each line, name (position in the page's names) and facts (of fact_columns.Facts).
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
        new = key[known[key] < 0]
        if len(new):
            # In the order in which they come: that of kinds is another each time.
            fresh, first = np.unique(new, return_index=True)
            fresh = fresh[np.argsort(first)]
            known[fresh] = self._new(kinds, *np.divmod(fresh, len(LINE_ORDER)))
        return known[key]

    def _new(self, kinds: pl.DataFrame, kind: _Numbers, line: _Numbers) -> list[int]:
        told = kinds.select(pl.col(name).gather(pl.Series(kind)) for name in ("name", *TOLD))
        rows = told.with_columns(pl.col(pl.Categorical).cast(pl.String)).rows()
        looks = [
            (own, self._names.number(row[0]), self._facts.number(*row))
            for own, row in zip(line.tolist(), rows, strict=True)
        ]
        return [self._number.setdefault(look, len(self._number)) for look in looks]


class SliceColumns:
    """The columns of the slices of all steps, each step's behind those of the one before.

    counts: slices of each step. What `parts` finds on its way is told when it is at its end: lane_counts, how many
    slices each lane has, step by step; launches, of each lane that has slices by how much the launch of its first is
    numbered above -1; calls, of each slice that is a side of a call the number of the matched collective that begins
    with it, less that of the one before on the lane (or -1), 0 for none; sides, how many of them each step has.
    """

    def __init__(self, steps: Sequence[Slices], looks: Looks) -> None:
        self._steps, self._looks = steps, looks
        self.counts = [len(step) for step in steps]
        self.sides: list[int] = []
        self._told: dict[str, list[_Numbers]] = {name: [] for name in ("lane_counts", "launches", "calls")}

    @property
    def lane_counts(self) -> _Numbers:
        return np.concatenate(self._told["lane_counts"])

    @property
    def launches(self) -> _Numbers:
        return np.concatenate(self._told["launches"])

    @property
    def calls(self) -> _Numbers:
        return np.concatenate(self._told["calls"])

    def parts(self) -> Iterator[dict[str, _Numbers]]:
        """look, gap, length, on (see lanes.timeline_data) of the slices of a few steps after the other."""
        for begin, end in self._lots():
            steps, counts = self._steps[begin:end], self.counts[begin:end]
            rows = pl.concat([step.rows for step in steps], rechunk=True)
            lanes = [len(step.lanes) for step in steps]
            lane = rows["at"].to_numpy() + np.repeat(np.cumsum(lanes) - lanes, counts)
            of_lanes = np.bincount(lane, minlength=sum(lanes))
            first = (np.cumsum(of_lanes) - of_lanes)[of_lanes > 0]
            self._told["lane_counts"].append(of_lanes)
            self._told["launches"].append(rows["launch"].to_numpy()[first].astype(np.int64) + 1)
            self._tell_calls(rows, first, counts)
            yield self._part(rows, steps[0].kinds, first)

    def _lots(self) -> Iterator[tuple[int, int]]:
        """Numbers of steps, first and after the last: as many together as are worth it, and of one table of kinds."""
        first, held = 0, 0
        for number, (step, count) in enumerate(zip(self._steps, self.counts, strict=True)):
            if number > first and (held + count > _AT_ONCE or step.kinds is not self._steps[first].kinds):
                yield first, number
                first, held = number, 0
            held += count
        yield first, len(self._steps)

    def _part(self, rows: pl.DataFrame, kinds: pl.DataFrame, first: _Numbers) -> dict[str, _Numbers]:
        begin, end, launch = (rows[name].to_numpy() for name in ("begin", "end", "launch"))
        gap, on = begin.copy(), np.zeros_like(launch)
        gap[1:] -= end[:-1]
        gap[first] = begin[first]
        np.subtract(launch[1:], launch[:-1], out=on[1:])
        on[first] = 0
        look = self._looks.numbered(kinds, rows["kind"].to_numpy(), rows["line"].to_numpy())
        return {"look": look, "gap": gap, "length": end - begin, "on": on}

    def _tell_calls(self, rows: pl.DataFrame, first: _Numbers, counts: Sequence[int]) -> None:
        sides = np.flatnonzero(_CUT[rows["line"].to_numpy()])
        number = rows["call"].to_numpy()[sides]
        begun = np.flatnonzero(number >= 0)
        own, lane = number[begun] + 1, np.searchsorted(first, sides[begun], side="right")
        on = own.copy()
        on[1:] -= np.where(lane[1:] == lane[:-1], own[:-1], 0)
        calls = np.zeros_like(number)
        calls[begun] = on
        self._told["calls"].append(calls)
        self.sides += np.diff(np.searchsorted(sides, [0, *accumulate(counts)])).tolist()
