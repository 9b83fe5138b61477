"""Whether a rank's CPU and GPU tell one time, which is what a launch call can be held against its kernel by.

DEFINITIONS.md, section 8.
"""

from __future__ import annotations

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
    """

    shortest: int | None
    late: int | None

    @property
    def agrees(self) -> bool:
        """False where launch calls and GPU work cannot be held against each other."""
        starts_before_launch = self.shortest is not None and self.shortest < LAUNCH_LATENCY_NS[0]
        return not starts_before_launch and (self.late is None or self.late <= MAX_LATENCY_NS)

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
    return HostClock(least_delay(work), _after_idle(work))


def least_delay(work: pl.DataFrame) -> int | None:
    """From launch call to start, ns, the least of all but strays; None without calls. work: start, launch_start."""
    latency = work["start"] - work["launch_start"]
    latency = latency.drop_nulls() if latency.null_count() else latency
    shortest = latency.quantile(_STRAY, "lower")
    return None if shortest is None else int(shortest)


def _after_idle(work: pl.DataFrame) -> int | None:
    """The shortest latency of the recording on an idle GPU; of a clock that drifts that of the worst part."""
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
        return None
    parts = min(_PARTS, len(latency) // _FEW)
    number = np.arange(len(latency)) * parts // len(latency)
    shortest = np.minimum.reduceat(latency, np.searchsorted(number, np.arange(parts)))
    steps = np.diff(shortest)
    drifts = len(steps) >= _DRIFTING and bool((steps > 0).all() or (steps < 0).all())
    return int(shortest.max() if drifts else shortest.min())
