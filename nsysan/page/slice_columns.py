"""The slices of all steps of a page as columns of whole numbers that compress well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.report.step_slices import Slices

_Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class AllSlices:
    """The slices of all steps, each step's behind those of the one before.

    rows: as those of Slices, without at and kind; lane, kind: rows of the tables. lanes: number (of the step), rank,
    lane; used: which of them have slices. kinds: name and facts by where they come first. counts: slices of each step.
    """

    rows: pl.DataFrame
    lane: _Numbers
    kind: _Numbers
    lanes: pl.DataFrame
    used: pl.Series
    kinds: pl.DataFrame
    counts: list[int]

    @property
    def lines(self) -> list[int]:
        """The numbers of the lines that there are."""
        return sorted(self.rows["line"].unique().to_list())

    def columns(self, place: _Numbers, name: _Numbers, fact: _Numbers) -> dict[str, _Numbers]:
        """lane, line, gap, length, name, on, fact, call: see lanes.timeline_data.

        place: of each lane; name, fact: of each kind. call: 0, or where a matched collective begins its number less
        that of the one before on the lane (or -1).
        """
        begin, end, launch = (self.rows[name].to_numpy() for name in ("begin", "end", "launch"))
        gap, on = begin.copy(), launch + 1
        gap[1:] -= np.where(self.lane[1:] == self.lane[:-1], end[:-1], 0)
        on[1:] -= launch[:-1] + 1
        first = (np.cumsum(self.counts) - self.counts)[np.array(self.counts) > 0]
        on[first] = launch[first] + 1
        return {
            "lane": place[self.lane],
            "line": self.rows["line"].to_numpy(),
            "gap": gap,
            "length": end - begin,
            "name": name[self.kind],
            "on": on,
            "fact": fact[self.kind],
            "call": self._calls(),
        }

    def _calls(self) -> _Numbers:
        number = self.rows["call"].to_numpy()
        begun = np.flatnonzero(number >= 0)
        own, lane = number[begun], self.lane[begun]
        on = own + 1
        on[1:] -= np.where(lane[1:] == lane[:-1], own[:-1] + 1, 0)
        found = np.zeros(len(number), dtype=np.int32)
        found[begun] = on
        return found


def in_one(steps: Sequence[Slices]) -> AllSlices:
    """The slices of these steps."""
    rows = pl.concat([step.rows for step in steps]).rechunk()
    counts = [len(step) for step in steps]
    number = np.repeat(np.arange(len(steps)), [len(step.lanes) for step in steps])
    lanes = pl.concat([step.lanes for step in steps]).with_columns(number=pl.Series(number))
    # Steps that were made together share a table.
    tables = {id(step.kinds): step.kinds for step in steps}
    starts = np.cumsum([0, *map(len, tables.values())])
    start = dict(zip(tables, starts.tolist(), strict=False))
    lane = rows["at"].to_numpy() + _repeated(np.cumsum([0, *(len(step.lanes) for step in steps[:-1])]), counts)
    kind = rows["kind"].to_numpy() + _repeated([start[id(step.kinds)] for step in steps], counts)
    # Written from behind, the first of each kind is what stays.
    first = np.full(starts[-1], len(kind))
    first[kind[::-1]] = np.arange(len(kind))[::-1]
    order = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(kind))]
    place = np.zeros(len(first), dtype=np.uint32)
    place[order] = np.arange(len(order))
    kinds = pl.concat(tables.values()).select(pl.all().gather(order))
    used = pl.Series(np.bincount(lane, minlength=len(lanes)) > 0)
    return AllSlices(rows.drop("at", "kind"), lane, place[kind], lanes, used, kinds, counts)


def _repeated(values: Sequence[int] | _Numbers, counts: Sequence[int]) -> _Numbers:
    return np.repeat(np.asarray(values, dtype=np.uint32), counts)
