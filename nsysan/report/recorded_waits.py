"""The waits and sleeps of launching threads in steps, where their calls into the operating system are traced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from nsysan.columns.in_order import by_group
from nsysan.columns.times import shifted
from nsysan.replay.os_waits import loops
from nsysan.report.in_steps import Axes
from nsysan.report.recorded import Track
from nsysan.report.recorded_ranges import open_in, ranges_of
from nsysan.report.timeline import MAX_WAIT_LANES
from nsysan.run.placed import PlacedTrace
from nsysan.trace.os_calls import Waits

#: A wait that began so long before the first step (ns) is not looked for.
_BEFORE = 10_000_000_000
#: group (see Axes), start, end (ns of the run's clock), name; lane: number of the thread of its rank; sleeps: whether
#: no other is waited for; thread; whom: by, until, name as told_waits.told_waits has them, null where that is not told.
_WAIT: dict[str, Any] = {
    "group": pl.Int64(),
    "start": pl.Int64(),
    "end": pl.Int64(),
    "name": pl.Categorical(),
    "lane": pl.Int64(),
    "sleeps": pl.Boolean(),
    "thread": pl.Int64(),
}
_WHOM: dict[str, Any] = {"by": pl.Int64(), "until": pl.Int64(), "call": pl.String()}
NO_WAITS = pl.DataFrame(schema=_WAIT | _WHOM)


def threads_of(tracks: Sequence[Track]) -> pl.DataFrame:
    """rank, thread, lane of the threads that launch the ranks' work, those that launch most of it first."""
    parts = [pl.DataFrame(schema={"rank": pl.Int64, "thread": pl.Int64, "launches": pl.Int64})]
    for track in tracks:
        launches = np.bincount(track.rows["kind"].to_numpy(), minlength=len(track.kinds))
        own = track.kinds.select("thread", "launched", rank=pl.lit(track.rank, pl.Int64), launches=pl.Series(launches))
        parts.append(own.filter("launched").drop_nulls("thread").select(parts[0].columns))
    threads = pl.concat(parts).group_by("rank", "thread").agg(pl.sum("launches"))
    ordered = threads.filter(pl.col("launches") > 0).sort("rank", "launches", "thread", descending=[False, True, False])
    lane = pl.int_range(pl.len()).over("rank").alias("lane")
    return ordered.select("rank", "thread", lane).filter(pl.col("lane") < MAX_WAIT_LANES)


def hosts_of(
    placed: PlacedTrace, axes: Axes, spans: pl.DataFrame, threads: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The ranges (see ranges_of) and the waits of a trace's hosts in these spans."""
    return ranges_of(placed, axes, spans), waits_of(placed, axes, spans, threads)


def waits_of(placed: PlacedTrace, axes: Axes, spans: pl.DataFrame, threads: pl.DataFrame) -> pl.DataFrame:
    """The waits that share time with the spans of steps, a row for each step, by group, lane and start.

    Of calls inside one another the outermost; yields in a loop are one wait. spans: step, begin, finish; threads: as
    threads_of has them.
    """
    own = threads.filter(pl.col("rank").is_in([rank for rank in placed.ranks if placed.host_clocks[rank].agrees]))
    if own.is_empty() or spans.is_empty():
        return NO_WAITS.select(list(_WAIT))
    shift = placed.placement.shift
    first, last = spans.select(pl.min("begin"), pl.max("finish")).row(0)
    calls = placed.trace.os_calls(own["thread"].to_list(), shift.back(first - _BEFORE), shift.back(last))
    if calls.is_empty():
        return NO_WAITS.select(list(_WAIT))
    calls = shifted(calls, shift).drop_nulls("waits").sort("thread", "start", "end", descending=[False, False, True])
    parts = [NO_WAITS.select(list(_WAIT))]
    for rank, thread, lane in own.iter_rows():
        launched = placed.frame(("thread", "launch_start"), rank).filter(pl.col("thread") == thread)
        waits = _outermost(calls.filter(pl.col("thread") == thread), launched["launch_start"].drop_nulls().sort())
        span, at = open_in(waits["start"].to_numpy(), waits["end"].to_numpy(), spans)
        group = axes.group(spans["step"].to_numpy()[span], rank)
        told = waits.select(pl.all().gather(pl.Series(at))).with_columns(
            pl.lit(thread, pl.Int64).alias("thread"), lane=pl.lit(lane, pl.Int64), group=pl.Series(group)
        )
        parts.append(told.select(pl.col(name).cast(kind) for name, kind in _WAIT.items()))
    found = pl.concat(parts)
    return found.select(pl.all().gather(pl.Series(by_group(found["group"].to_numpy()))))


def _outermost(calls: pl.DataFrame, launches: pl.Series) -> pl.DataFrame:
    """start, end, name, sleeps of the waits of a thread, by start."""
    columns = ("start", "end", "name", pl.col("waits").eq(Waits.SLEEPS.value).alias("sleeps"))
    in_loops = loops(calls, launches.to_numpy()).select("start", "end", "name", sleeps=pl.lit(value=False))
    others = calls.filter(pl.col("waits") != Waits.YIELDS.value).select(columns)
    found = pl.concat([others, in_loops], how="vertical_relaxed").sort("start", "end", descending=[False, True])
    return found.filter((pl.col("end") > pl.col("end").cum_max().shift(1)).fill_null(value=True))


def with_whom(waits: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The waits with what each is for; told: as told_waits.told_waits has it."""
    if waits.is_empty() or told.is_empty():
        return waits.with_columns(pl.lit(None, kind).alias(name) for name, kind in _WHOM.items())
    known = told.select("thread", "by", "until", over="end", call="name").unique(["thread", "over"], keep="first")
    # What a wait is told for is over when it ends, or before.
    rows = waits.with_row_index("row").sort("end")
    found = rows.join_asof(
        known.sort("over"),
        left_on="end",
        right_on="over",
        by="thread",
        strategy="backward",
        check_sortedness=False,
    )
    meant = (pl.col("over") > pl.col("start")) & ~pl.col("sleeps")
    found = found.sort("row").drop("row")
    return found.select(*_WAIT, *(pl.when(meant).then(name).cast(kind).alias(name) for name, kind in _WHOM.items()))
