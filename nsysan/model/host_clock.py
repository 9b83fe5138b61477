"""Whether a rank's CPU and GPU tell one time, which is what a launch call can be held against its kernel by."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

#: A GPU that idles starts what it is given within 5 to 25 us; in 53 public recordings nothing took this long.
MAX_LATENCY_NS = 300_000
#: Idle for this long, a GPU has nothing else that the operation could wait for.
_IDLE_NS = 20_000
#: Fewer operations than this after idle time, or in a part of the recording, may all have waited for something.
_FEW = 4
_PARTS = 8
#: One call in a thousand may be that of another operation.
_STRAY = 0.001


@dataclass(frozen=True)
class HostClock:
    """shortest: from launch call to start, ns, over all operations of a rank but strays; None without calls.

    late: the most that any part of the recording's shortest, from the call's end, is after idle time; None where
    the GPU hardly idles, so that nothing tells how much a GPU's clock is ahead.
    """

    shortest: int | None
    late: int | None

    @property
    def agrees(self) -> bool:
        """False where launch calls and GPU work cannot be held against each other."""
        starts_before_launch = self.shortest is not None and self.shortest < 0
        return not starts_before_launch and (self.late is None or self.late <= MAX_LATENCY_NS)

    @property
    def amount(self) -> int:
        """How far the GPU's times are off, as far as can be told: ns after the CPU's, negative if before."""
        return self.shortest if self.shortest is not None and self.shortest < 0 else self.late or 0


def host_clocks(work: pl.DataFrame) -> dict[int, HostClock]:
    """The clock of each rank, from all its operations: rank, start, begin, end, correlation, launch_start, launch_end.

    A shift shows in the shortest launch latency, or, where a queue of launches would hide it, in how late work
    starts on an idle GPU. A drift shows in that of some part of the recording.
    """
    launched = pl.col("launch_start").is_not_null()
    latency = (pl.col("start") - pl.col("launch_start")).filter(launched)
    shortest = work.group_by("rank").agg(latency.quantile(_STRAY, "lower").cast(pl.Int64))
    found: dict[int, int | None] = dict(shortest.iter_rows())
    late = _after_idle(work)
    return {rank: HostClock(found[rank], late.get(rank)) for rank in sorted(found)}


def _after_idle(work: pl.DataFrame) -> dict[int, int]:
    """Per rank the largest of the shortest latencies that parts of the recording show on an idle GPU."""
    columns = ("rank", "row", "start", "begin", "end", "correlation", "launch_end")
    ordered = work.select(columns).sort("rank", "begin", "end", "row")
    ordered = ordered.with_columns(
        dry=pl.col("begin") - pl.col("end").cum_max().shift(1).over("rank"),
        same_call=(pl.col("correlation") == pl.col("correlation").shift(1).over("rank")).fill_null(False),
    )
    idle = ordered.filter(
        (pl.col("dry") >= _IDLE_NS) & ~pl.col("same_call") & pl.col("launch_end").is_not_null()
    ).with_columns(latency=pl.col("start") - pl.col("launch_end"), n=pl.len().over("rank"))
    parts = pl.min_horizontal(_PARTS, pl.col("n") // _FEW)
    number = pl.int_range(pl.len(), dtype=pl.Int64).over("rank")
    shortest = (
        idle.filter(pl.col("n") >= _FEW)
        .with_columns(part=number * parts // pl.col("n"))
        .group_by("rank", "part")
        .agg(pl.min("latency"))
    )
    return dict(shortest.group_by("rank").agg(pl.max("latency")).iter_rows())
