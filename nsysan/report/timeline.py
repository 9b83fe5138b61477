"""A timeline: one step on all ranks as slices, as many as can be drawn."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Protocol

import numpy as np
import polars as pl

from nsysan.columns.in_order import changes
from nsysan.report.range_cells import range_cells
from nsysan.report.step_slices import Slices

#: The lane of a rank's launch calls.
LAUNCHES = "launches"
#: Those of its launching threads' waits; of the second and further ones with a number.
WAITS = "host waits"
#: More threads of a rank than these that launch most are not shown.
MAX_WAIT_LANES = 4
_PIECES = {
    "rank": pl.Int64,
    "class": pl.UInt8,
    "name": pl.String,
    "why": pl.UInt8,
    "lane": pl.String,
    "begin": pl.Int64,
    "end": pl.Int64,
}


@dataclass(frozen=True)
class StepPath:
    """The critical path through a step.

    pieces: rank, class (position in path.CLASSES), name, why (pieces.Why), lane, begin, end (ns after the step's
    origin), each from the end of the one before. home: the rank whose window they tile. why: why there are none.
    """

    pieces: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_PIECES))
    home: int | None = None
    why: str = ""


class Unmade(Protocol):
    """What slices are made of when they are asked for."""

    @property
    def slices(self) -> Slices:
        """They themselves."""


@dataclass(frozen=True)
class Timeline:
    """One step on all ranks.

    role says why it is shown, "" for a step at the reader's choice. origin: earliest begin over the ranks; finish:
    latest end (ns of the trace's clock). slices: rank, lane (stream number, "launches", "host waits" or "NVTX <n>"),
    line (ledger line, "launch", "nvtx", "host_wait" or "host_sleep"), begin, end (ns after origin), name, launch
    (number of the launch call, null where none is
    recorded; the call's own slice has it too), call (number of the matched collective that begins with it, else null)
    and the columns of operation_facts.FACTS, by rank, lane (see lane_order) and begin. arrivals: rank, lane, collective
    (its number in the step), time (ns after origin), lateness (ns after the first rank), last (whether this rank was
    the last), name: of the matched collectives. total: slices that there are; windows: rank, begin, end of
    each rank's own step (ns after origin): ranks begin and end a step apart, and the work of other steps is not in
    `slices`. merged: of those shorter than this (ns) on a lane, `slices` holds the longest in each stretch of that
    length. path: the critical path through it. cells: where `slices` are not all, the ledger
    in cells of time (range_cells.range_cells).
    """

    step: int
    label: str
    role: str
    origin: int
    finish: int
    held: Slices | Unmade
    arrivals: pl.DataFrame
    total: int
    merged: int
    windows: tuple[tuple[int, int, int], ...] = ()
    path: StepPath = field(default_factory=StepPath)
    cells: pl.DataFrame | None = None

    @property
    def drawn(self) -> Slices:
        """What is drawn."""
        return self.held if isinstance(self.held, Slices) else self.held.slices

    @property
    def slices(self) -> pl.DataFrame:
        """What is drawn, as a frame, which is made anew each time."""
        return self.drawn.frame()

    @property
    def period(self) -> int:
        """Duration of the step: median over the ranks, ns."""
        return round(median(end - begin for _, begin, end in self.windows)) if self.windows else 0


def wait_lane(number: int) -> str:
    """The lane of the waits of a rank's n-th launching thread."""
    return f"{WAITS} {number + 1}" if number else WAITS


def lane_order(lane: str) -> tuple[pl.Expr, ...]:
    """By what the lanes of a rank are ordered: ranges over the calls inside them, and waits, over the work."""
    name = pl.col(lane)
    host = pl.when(name == LAUNCHES).then(1).when(name.str.starts_with(WAITS)).then(2)
    kind = pl.when(name.str.starts_with("NVTX")).then(0).otherwise(host.otherwise(3))
    return kind, name.str.len_chars(), name


def fair_limit(sizes: Sequence[int], room: int) -> int:
    """The most that each may have so that all together have at most `room`; who needs less leaves it to the others."""
    rest = room
    for number, size in enumerate(sorted(sizes)):
        share = rest // (len(sizes) - number)
        if size > share:
            return share
        rest -= size
    return max(sizes, default=0)


def decimated(timeline: Timeline, limit: int) -> Timeline:
    """With at most `limit` slices, but two a lane: of those shorter than some power of two ns, the longest in each
    stretch of that length.
    """
    drawn = timeline.drawn
    if len(drawn) <= limit:
        return timeline
    # The least power that suffices: a larger one never keeps more.
    power = bisect_left(range(_LEAST, _MOST), True, key=lambda n: int(_kept(drawn.rows, 1 << n).sum()) <= limit)
    merged = 1 << (_LEAST + power)
    cells = range_cells(timeline.slices, timeline.windows)
    return replace(timeline, held=drawn.where(_kept(drawn.rows, merged)), merged=merged, cells=cells)


#: Powers of two ns: from what no screen resolves to what no step lasts.
_LEAST, _MOST = 8, 61


def _kept(rows: pl.DataFrame, merged: int) -> pl.Series:
    """For each slice whether it is kept, where those shorter than `merged` ns share stretches of that length."""
    at, begin, end = (rows[name].to_numpy() for name in ("at", "begin", "end"))
    kept = end - begin >= merged
    short = np.flatnonzero(~kept)
    at, stretch, length = at[short], begin[short] // merged, (end - begin)[short]
    # The longest of each stretch, of equal ones the first.
    order = np.lexsort((-length, stretch, at))
    if len(order):
        kept[short[order[changes([at[order], stretch[order]])]]] = True
    return pl.Series(kept)
