"""Ranks of one trace whose GPU tells another time than those beside it (DEFINITIONS.md, section 6).

The ends of the calls tell that a rank leaves later than the others, and not why: its clock may be behind, or it may be
the last of a tree. Where its clock is, its kernels also start later after their launch calls, or
calls end on one rank before they have begun on another, which no clock that is right says of a barrier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

#: Ranks of one call leave within less than this of each other on one machine.
LEAST_NS = 1_000
#: The delays of a rank show the offset of its ends to within this share of it.
SAME = 0.25
#: Of fewer calls an offset may be chance.
LEAST_CALLS = 16
_PAIR = 2
#: An offset is constant if the middle half of its calls has it to within this share; to within the second where it
#: shows elsewhere too.
_CONSTANT, SHOWN = 0.25, 0.6
#: So many calls that could not be are no chance, and so few of them are left by an offset that explains them. Clocks of
#: one machine drift no further, ns.
REFUTED, LEFT, FURTHEST_NS = 0.01, 0.1, 20_000


@dataclass(frozen=True)
class RankClocks:
    """taken_out: ns by which a rank's GPU times were late, by rank, and are no more. left: ns by which a rank's ends
    are late, or early, that its launches do not show: they widen the error of its waits. refuted: those taken out that
    no launch shows, as calls were impossible with them.
    """

    taken_out: dict[int, int] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    refuted: frozenset[int] = frozenset()


def find_offsets(calls: pl.DataFrame, delays: Mapping[int, int | None]) -> RankClocks:
    """Constant offsets of ranks within their traces.

    calls: rank, trace, family, step, call, members, barrier, begin, end. delays: least delay from a launch call to the
    start of its kernel, by rank, ns; None where no launch is known.
    """
    group = ["family", "step", "call"]
    whole = pl.col("barrier") & (pl.len().over(group) == pl.col("members")) & (pl.col("members") > 1)
    together = calls.select("rank", "trace", *group, "members", "barrier", "begin", "end").filter(whole)
    # Of two ranks nothing tells which is off; the first is taken to be right.
    few = together.group_by("trace").agg(pl.n_unique("rank") <= _PAIR).filter("rank")["trace"]
    first, median = pl.col("end").sort_by("rank").first(), pl.col("end").median()
    usual = (
        median
        if few.is_empty()
        else pl.when(pl.col("trace").is_in(few.implode()).first()).then(first).otherwise(median)
    )
    apart = together.with_columns(apart=pl.col("end") - usual.over(*group, "trace"))
    found = apart.group_by("trace", "rank").agg(
        n=pl.len(),
        off=pl.median("apart"),
        spread=pl.col("apart").quantile(0.75) - pl.col("apart").quantile(0.25),
    )
    off = found.filter((pl.col("n") >= LEAST_CALLS) & (pl.col("off").abs() >= LEAST_NS)).sort("rank")
    off = off.with_columns(share=pl.col("spread") / pl.col("off").abs()).filter(pl.col("share") <= SHOWN)
    taken_out: dict[int, int] = {}
    left: dict[int, int] = {}
    for trace, rank, ns, share in off.select("trace", "rank", "off", "share").iter_rows():
        beside = found.filter((pl.col("trace") == trace) & (pl.col("rank") != rank))["rank"]
        usual_delay = pl.Series([delays.get(other) for other in beside], dtype=pl.Int64).median()
        own = delays.get(rank)
        shown = None if own is None or not isinstance(usual_delay, int | float) else own - usual_delay
        if shown is not None and abs(shown - ns) <= SAME * abs(ns):
            taken_out[rank] = round(ns)
        elif share <= _CONSTANT:
            left[rank] = round(ns)
    near = (pl.col("off").abs() <= FURTHEST_NS) & ~pl.col("rank").is_in(list(taken_out))
    refuted = _refuted(together, off.filter(near), taken_out)
    left = {rank: ns for rank, ns in left.items() if rank not in refuted}
    return RankClocks(taken_out | refuted, left, frozenset(refuted))


def _refuted(together: pl.DataFrame, off: pl.DataFrame, known: Mapping[int, int]) -> dict[int, int]:
    """The offsets without which calls of a trace end on one rank before they have begun on another.

    off: trace, rank, off (ns). known: those that are taken out anyway.
    """
    found: dict[int, int] = {}
    for (trace,), own in off.partition_by("trace", as_dict=True, maintain_order=True).items():
        offsets = {rank: round(ns) for rank, ns in own.select("rank", "off").iter_rows()}
        calls = together.filter(pl.col("trace") == trace)
        before, after = (_impossible(calls, {**known, **more}) for more in ({}, offsets))
        if before >= REFUTED and after <= LEFT * before:
            found |= offsets
    return found


def _impossible(calls: pl.DataFrame, offsets: Mapping[int, int]) -> float:
    """The share of calls that end on one rank before another has begun, with these ns taken off its times."""
    by = pl.col("rank").replace_strict(dict(offsets), default=0, return_dtype=pl.Int64)
    times = calls.group_by("family", "step", "call").agg(
        end=(pl.col("end") - by).min(), last=(pl.col("begin") - by).max()
    )
    return float(times.select((pl.col("end") < pl.col("last")).mean()).item() or 0.0)
