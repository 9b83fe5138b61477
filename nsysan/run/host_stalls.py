"""The longest idle stretch of each step for which the host had launched nothing, and the range that it was in.

Asked of each placed trace (run/questions.py).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.metrics.gaps import TIMES, rank_gaps
from nsysan.run.placed import PlacedTrace

_SCHEMA = {"rank": pl.Int64(), "step": pl.Int64(), "begin": pl.Int64(), "ns": pl.Int64(), "inside": pl.String()}
#: A range that covers this much of a stretch tells what it is.
_COVERS = 0.5
#: Steps of a rank that are looked at.
_MOST_STEPS = 200


def looked_at(steps: list[int]) -> list[int]:
    """The steps that are asked: evenly some of many."""
    return steps[:: len(steps) // _MOST_STEPS + 1]


def longest_stalls_of(placed: PlacedTrace, steps: list[int]) -> pl.DataFrame:
    """rank, step, begin, ns, inside: of each rank and of these steps, as looked_at chooses; no row without a stall.

    inside: the shortest range of the thread that launched next which covers most of the stretch, null where none does.
    """
    chosen = looked_at(steps)
    _ = placed.synchronise_calls  # found once, not by each thread

    def of_rank(rank: int) -> pl.DataFrame:
        windows = placed.windows.filter((pl.col("rank") == rank) & pl.col("step").is_in(chosen)).sort("begin")
        if windows.is_empty():
            return pl.DataFrame(schema=_SCHEMA)
        calls = placed.synchronised(rank)
        parts = rank_gaps(placed.frame(TIMES, rank), lambda at, names: placed.clocked(names, rank, at), windows, calls)
        gaps = pl.concat(part.filter(pl.col("host")) for part in parts)
        longest = gaps.sort(["step", "ns", "begin"], descending=[False, True, False]).unique("step", keep="first")
        threads = placed.frame(("row", "thread"), rank)
        longest = longest.join(threads, on="row", how="left").sort("step")
        inside = _inside(placed, longest)
        number = pl.lit(rank, dtype=pl.Int64)
        return longest.select(number.alias("rank"), "step", "begin", "ns", inside).cast(pl.Schema(_SCHEMA))

    return pl.concat(placed.each(of_rank))


def _inside(placed: PlacedTrace, stalls: pl.DataFrame) -> pl.Series:
    ranges = placed.trace.ranges.filter(pl.col("name").is_not_null() & (pl.col("domain").fill_null("") != "NCCL"))
    by_thread = {thread: own for (thread,), own in ranges.partition_by("thread", as_dict=True).items()}
    found: list[str | None] = []
    for begin, ns, thread in stalls.select("begin", "ns", "thread").iter_rows():
        own = by_thread.get(thread)
        if own is None:
            found.append(None)
            continue
        at = placed.placement.shift.back(begin)
        starts, ends = own["start"].to_numpy(), own["end"].to_numpy()
        covers = np.minimum(ends, at + ns) - np.maximum(starts, at) >= _COVERS * ns
        candidates = np.flatnonzero(covers)
        shortest = candidates[np.argmin((ends - starts)[candidates])] if len(candidates) else -1
        found.append(None if shortest < 0 else str(own["name"][int(shortest)]))
    return pl.Series("inside", found, dtype=pl.String)
