"""What hosts do between their CUDA calls, where calls into the operating system were traced (METRICS section 7)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from nsysan.columns.intervals import atoms
from nsysan.replay.engine import I64
from nsysan.trace.os_calls import Waits

#: A thread that yields again so soon looks after something in a loop, if it does so this often; ns. Of its calls nsys
#: keeps those that took long.
_SPIN, _OFTEN = 1_000_000, 3
_HALF = 0.5
_THREAD = ("stretch", "thread")
_UNTOLD = [pl.lit(None, pl.Int64).alias(name) for name in ("os_wait", "since", "until")]


class OsWaits(NamedTuple):
    """spans: stretch, thread, start, end of waits for others, by start; threads: stretch, thread of those that are
    traced; calls: stretch, thread, start, name of what else these call, and wait in, by start: all but what yields.
    """

    spans: pl.DataFrame
    threads: pl.DataFrame
    calls: pl.DataFrame

    def within(self, gaps: pl.DataFrame) -> pl.DataFrame:
        """Gaps (stretch, thread, paused, start, in order of a thread's time) with os_wait: ns that the thread waits in
        each, null where it is not traced; since, until: when the longest of that begins and is over, null where it does
        not wait.
        """
        empty = gaps.clear().with_columns(_UNTOLD)
        if self.threads.is_empty() or gaps.is_empty():
            return gaps.with_columns(_UNTOLD)
        known = self.spans.partition_by(_THREAD, as_dict=True)
        traced = set(self.threads.rows())
        parts = [empty]
        for key, own in gaps.with_row_index("_at").partition_by(_THREAD, as_dict=True, maintain_order=True).items():
            parts.append(_within(own, known.get(key, self.spans.clear()), traced=key in traced))
        return pl.concat(parts, how="diagonal_relaxed").sort("_at").drop("_at")

    def works(self, gaps: pl.DataFrame) -> list[int]:
        """The ranks of gaps (with rank) that wait for less than half of most of theirs."""
        told = self.within(gaps).drop_nulls("os_wait")
        little = pl.col("os_wait") < _HALF * (pl.col("start") - pl.col("paused"))
        return told.group_by("rank").agg(little=little.mean() > _HALF).filter("little")["rank"].sort().to_list()


def _within(gaps: pl.DataFrame, spans: pl.DataFrame, *, traced: bool) -> pl.DataFrame:
    """The gaps of one thread, as OsWaits.within gives them."""
    if not traced:
        return gaps.with_columns(_UNTOLD)
    begins, ends = (gaps[name].fill_null(0).to_numpy() for name in ("paused", "start"))
    begins = np.minimum(np.where(gaps["paused"].is_null().to_numpy(), ends, begins), ends)
    starts, stops = spans["start"].to_numpy(), spans["end"].to_numpy()
    classes = np.zeros(len(spans), dtype=np.int64)
    ns = atoms(starts, stops, classes, (begins, ends), 1)[:, 1]
    if not len(spans):
        return gaps.with_columns(_UNTOLD).with_columns(os_wait=pl.Series(ns))
    # Of each gap the longest.
    at = np.searchsorted(ends, starts, side="right")
    inside = at < len(ends)
    at, starts, stops = at[inside], starts[inside], stops[inside]
    since, until = np.maximum(starts, begins[at]), np.minimum(stops, ends[at])
    order = np.lexsort((until - since, at))
    order = order[until[order] > since[order]]
    last = order[np.diff(at[order], append=len(gaps)) != 0]
    told = pl.DataFrame({"_at": gaps["_at"].gather(at[last]), "since": since[last], "until": until[last]})
    return gaps.with_columns(os_wait=pl.Series(ns)).join(told, on="_at", how="left", maintain_order="left")


#: Of threads of which nothing is traced.
NOT_TRACED = OsWaits(
    pl.DataFrame(schema=dict.fromkeys((*_THREAD, "start", "end"), pl.Int64)),
    pl.DataFrame(schema=dict.fromkeys(_THREAD, pl.Int64)),
    pl.DataFrame(schema=dict.fromkeys((*_THREAD, "start"), pl.Int64) | {"name": pl.String}),
)


def os_waits(os_calls: pl.DataFrame, calls: pl.DataFrame) -> OsWaits:
    """The waits of threads; os_calls: as Activity has them. calls: of hosts to CUDA: stretch, thread, start."""
    if os_calls.is_empty():
        return NOT_TRACED
    asked = os_calls.sort(*_THREAD, "start", "end")
    threads = asked.select(_THREAD).unique(maintain_order=True)
    cuda = calls.select(*_THREAD, "start").partition_by(_THREAD, as_dict=True)
    parts = [asked.clear().select(*_THREAD, "start", "end")]
    for (stretch, thread), own in asked.partition_by(_THREAD, as_dict=True, maintain_order=True).items():
        begun = cuda[stretch, thread]["start"].sort().to_numpy() if (stretch, thread) in cuda else np.zeros(0, np.int64)
        spans = waiting(own, begun).with_columns(stretch=pl.lit(stretch), thread=pl.lit(thread))
        parts.append(spans.select(*_THREAD, "start", "end").sort("start", "end"))
    made = asked.filter(pl.col("waits").ne_missing(Waits.YIELDS.value)).select(*_THREAD, "start", "name")
    return OsWaits(pl.concat(parts, how="vertical_relaxed"), threads, made)


def waiting(calls: pl.DataFrame, cuda: I64) -> pl.DataFrame:
    """start, end of what a thread waits for others, also where it yields in a loop.

    calls: of os_calls, by start. cuda: when its CUDA calls begin, ascending: there is none in such a loop.
    """
    others = calls.filter(pl.col("waits") == Waits.FOR_OTHERS)
    return pl.concat([others.select("start", "end"), loops(calls, cuda).select("start", "end")])


def loops(calls: pl.DataFrame, cuda: I64) -> pl.DataFrame:
    """start, end, name (of the first call) of the loops in which a thread yields; calls, cuda: as in waiting."""
    yields = calls.filter(pl.col("waits") == Waits.YIELDS)
    yields = yields.with_columns(gap=pl.Series(np.searchsorted(cuda, yields["start"].to_numpy())))
    soon = pl.col("start") - pl.col("end").shift(1) <= _SPIN
    again = (soon & (pl.col("gap") == pl.col("gap").shift(1))).fill_null(value=False)
    in_loops = yields.with_columns(spin=(~again).cum_sum()).group_by("spin", maintain_order=True)
    spins = in_loops.agg(pl.min("start"), pl.max("end"), pl.first("name"), times=pl.len())
    return spins.filter(pl.col("times") >= _OFTEN).select("start", "end", "name")
