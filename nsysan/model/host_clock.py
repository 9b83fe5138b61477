"""Whether a rank's CPU and GPU tell one time, which is what a launch call can be held against its kernel by.

DEFINITIONS.md, section 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import NamedTuple

import numpy as np
import polars as pl

from nsysan.columns.rows import filled, taken
from nsysan.columns.times import by_begin
from nsysan.model.health import LAUNCH_LATENCY_NS

#: Columns of the operations that tell of clocks.
CLOCKED = ("row", "start", "begin", "end", "correlation", "launch_start", "launch_end")

#: A GPU that idles starts what it is given within 5 to 25 us; in 53 public recordings nothing took this long.
MAX_LATENCY_NS = 300_000
#: Ranks of one program start what they are given within this of each other: in real recordings within 6 us.
APART_NS = 10_000
#: Idle for this long, a GPU has nothing else that the operation could wait for.
_IDLE_NS = 20_000
#: Fewer operations than this after idle time, or in a part of the recording, may all have waited for something.
_FEW = 4
_PARTS = 8
#: So many times in turn it is no chance that the next part's is longer.
_DRIFTING = 3
#: One call in a thousand may be that of another operation.
_STRAY = 0.001


class HostClock(NamedTuple):
    """shortest: from launch call to start, ns, over all operations of a rank but strays; None without calls.

    late: the shortest after idle time, from the call's end, of the whole recording; or, where that of each of its parts
    is longer, or shorter, than of the one before, of the worst. None where the GPU hardly idles, so that nothing tells
    how much a GPU's clock is ahead.

    apart: by how much both are longer than the medians of the other ranks' (the less of the two), ns; 0 where that is
    not known. drift: by how much the shortest of the last of eight parts differs from that of the first, where each is
    longer than the one before, or each shorter, ns; 0 where they are not.
    """

    shortest: int | None
    late: int | None
    apart: int = 0
    drift: int = 0

    def earlier(self, ns: int) -> HostClock:
        """What it were if the GPU's times were so much earlier."""
        shortest, late = (None if delay is None else delay - ns for delay in (self.shortest, self.late))
        return HostClock(shortest, late, drift=self.drift)

    @property
    def agrees(self) -> bool:
        """False where launch calls and GPU work cannot be held against each other."""
        starts_before_launch = self.shortest is not None and self.shortest < LAUNCH_LATENCY_NS[0]
        in_time = self.late is None or self.late <= MAX_LATENCY_NS
        return not starts_before_launch and in_time and self.drift <= APART_NS

    @property
    def behind(self) -> int:
        """ns by which its host's clock is behind the others', which are taken to be right; 0 where they agree."""
        return self.apart if self.apart > APART_NS else 0

    @property
    def amount(self) -> int:
        """How far the GPU's times are off, as far as can be told: ns after the CPU's, negative if before."""
        return self.shortest if self.shortest is not None and self.shortest < 0 else self.late or 0


def host_clock(work: pl.DataFrame) -> HostClock:
    """The clock of one rank, from all its operations: the columns CLOCKED.

    A shift shows in the shortest launch latency, or, where a queue of launches would hide it, in how late work
    starts on an idle GPU. Work that waits for that of others on a shared GPU starts late now and then: that is no clock
    at fault. A drift shows from each part of the recording to the next.
    """
    late, drift = _after_idle(work)
    return HostClock(_least_delay(work), late, drift=drift)


def side_by_side(clocks: Mapping[int, HostClock], taken_out: Mapping[int, int]) -> dict[int, HostClock]:
    """The clocks of a run's ranks, each held against the others'. taken_out: ns by which a GPU is earlier, by rank."""
    own = {rank: clock.earlier(taken_out.get(rank, 0)) for rank, clock in sorted(clocks.items())}
    known = {rank: (c.shortest, c.late) for rank, c in own.items() if c.shortest is not None and c.late is not None}
    for rank, mine in known.items():
        others = [clock for other, clock in known.items() if other != rank]
        if others:
            usual = (median(each) for each in zip(*others, strict=True))
            apart = min(ns - other for ns, other in zip(mine, usual, strict=True))
            own[rank] = own[rank]._replace(apart=max(0, round(apart)))
    return own


def _least_delay(work: pl.DataFrame) -> int | None:
    """From launch call to start, ns, the least of all but strays; None without calls. work: start, launch_start."""
    latency = work["start"] - work["launch_start"]
    latency = latency.drop_nulls() if latency.null_count() else latency
    shortest = latency.quantile(_STRAY, "lower")
    return None if shortest is None else int(shortest)


def _after_idle(work: pl.DataFrame) -> tuple[int | None, int]:
    """The shortest latency of the recording on an idle GPU, and its drift, with which it is that of the worst part."""
    begins, ends, rows = (work[name].to_numpy() for name in ("begin", "end", "row"))
    order = by_begin(begins, ends, rows)
    if order is not None:
        begins, ends = begins[order], ends[order]
    after = np.flatnonzero(begins[1:] - np.maximum.accumulate(ends)[:-1] >= _IDLE_NS) + 1
    own, before = (pl.Series(at if order is None else order[at]) for at in (after, after - 1))
    same_call = (taken(work["correlation"], own) == taken(work["correlation"], before)).fill_null(False)
    launched = taken(work["launch_end"], own)
    idle = (~same_call & launched.is_not_null()).to_numpy()
    latency = (taken(work["start"], own).to_numpy() - filled(launched, 0).to_numpy())[idle]
    if len(latency) < _FEW:
        return None, 0
    parts = min(_PARTS, len(latency) // _FEW)
    number = np.arange(len(latency)) * parts // len(latency)
    shortest = np.minimum.reduceat(latency, np.searchsorted(number, np.arange(parts)))
    steps = np.diff(shortest)
    drifts = len(steps) >= _DRIFTING and bool((steps > 0).all() or (steps < 0).all())
    # Of fewer parts it may be chance that each is longer.
    drift = int(np.ptp(shortest)) if drifts and len(shortest) == _PARTS else 0
    return int(shortest.max() if drifts else shortest.min()), drift
