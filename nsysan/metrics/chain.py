"""The chain of calls that paces a step: from its last call back, each time by way of the rank that came last.

DEFINITIONS.md, section 4 (the tail).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import codes
from nsysan.columns.rows import filled, ordered

_I64 = npt.NDArray[np.int64]
_CALL = ["family", "step", "call"]
#: Where a rank is in a step.
PLACE = ["rank", "family", "call"]


def with_before(arrived: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """The calls in order of rank and begin, with `before`, `since`, `elapsed` and `moving`.

    before: row (by position in this frame) of the rank's call before, -1 for none. since: when that ended, no later
    than this call began; elapsed: ns from then until the call's last arrival, of which only what is of this step or of
    the steady one right before it counts; moving: ns from the last arrival until the rank leaves. arrived: as
    skew.arrivals gives it. windows: step, rank, begin, finish, excluded.
    """
    calls = ordered(arrived, "rank", "begin", "row")
    spans = windows.select("step", "rank", opened="begin", finish="finish", steady=pl.col("excluded").is_null())
    calls = calls.join(spans, on=["step", "rank"], how="left", maintain_order="left")
    same = pl.col("rank") == pl.col("rank").shift(1)
    place = pl.int_range(pl.len(), dtype=pl.Int64) - 1
    # What lies between a step and another kind of step, or a break of the loop, is of neither.
    adjoins = pl.col("steady").shift(1) & (pl.col("finish").shift(1) >= pl.col("opened"))
    within = adjoins | (pl.col("step").shift(1) == pl.col("step"))
    ended = pl.min_horizontal(pl.col("end").shift(1), "begin")
    since = pl.when(within).then(ended).otherwise(pl.max_horizontal(ended, pl.min_horizontal("opened", "begin")))
    calls = calls.with_columns(before=pl.when(same).then(place).otherwise(-1), since=pl.when(same).then(since))
    last = pl.max_horizontal("last", "begin")
    return calls.with_columns(elapsed=last - pl.col("since"), moving=(pl.col("end") - last).clip(lower_bound=0))


def chains(calls: pl.DataFrame, steps: list[int]) -> pl.DataFrame:
    """The links of these steps: step, left, came, moved, took.

    left: row of the call on the rank from which the chain comes; came: row of it on the rank that came last; moved: ns
    between that arrival and when the chain goes on; took: ns from the call before on the rank that came last until it
    came. The links of a step sum to the time from the call before its first one to its last call's end. A step with
    the first call of the capture has none. calls: as with_before gives them.
    """
    columns = ("step", "begin", "end", "last", "before", "since")
    step, begin, end, last, before, since = (filled(calls[name], 0).to_numpy() for name in columns)
    came_last = _came_last(calls)
    at = _ends(calls, steps)
    number, now = step[at], end[at]
    parts = []
    while len(at):
        other = came_last[at]
        # Who did not wait for the last one goes on with its own time; time runs back, so every chain has an end.
        own = np.where((last[at] > begin[at]) & (begin[other] < now), other, at)
        moved = now - np.minimum(begin[own], now)
        parts.append((number, at, own, moved, np.minimum(begin[own], now) - since[own], before[own] < 0))
        going = (before[own] >= 0) & (step[before[own]] == number)
        at, now, number = before[own][going], since[own][going], number[going]
    names = ("step", "left", "came", "moved", "took", "first")
    links = pl.DataFrame(
        {name: np.concatenate(found) for name, found in zip(names, zip(*parts, strict=True), strict=True)}
    )
    return links.filter(~pl.col("first").any().over("step")).drop("first")


def _came_last(calls: pl.DataFrame) -> _I64:
    """For each row the row of the rank that came last to its call."""
    call, _ = codes([calls[name] for name in _CALL])
    order = np.lexsort((calls["begin"].to_numpy(), call))
    last = np.zeros(int(call.max(initial=0)) + 1, dtype=np.int64)
    last[call[order]] = order
    return last[call]


def _ends(calls: pl.DataFrame, steps: list[int]) -> _I64:
    """The row with which each of these steps ends, if it has any."""
    rows = calls.select("step", "end", at=pl.int_range(pl.len(), dtype=pl.Int64))
    found = rows.filter(pl.col("step").is_in(steps)).sort("end", "at").group_by("step").agg(pl.last("at"))
    return found.sort("step")["at"].to_numpy()
