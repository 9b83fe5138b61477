"""Ranks of one trace whose GPU tells another time than those beside it (DEFINITIONS.md, section 6).

The ends of the calls tell that a rank leaves later than the others, and not why: its clock may be behind, or it may be
the last of a tree. Where its clock is, its kernels also start later after their launch calls.
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
#: An offset is constant if the middle half of its calls has it to within this share.
_CONSTANT = 0.25


@dataclass(frozen=True)
class RankClocks:
    """taken_out: ns by which a rank's GPU times were late, by rank, and are no more. left: ns by which a rank's ends
    are late, or early, that its launches do not show: they widen the error of its waits.
    """

    taken_out: dict[int, int] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)


def find_offsets(calls: pl.DataFrame, delays: Mapping[int, int | None]) -> RankClocks:
    """Constant offsets of ranks within their traces.

    calls: rank, trace, family, step, call, members, barrier, end. delays: least delay from a launch call to the start
    of its kernel, by rank, ns; None where no launch is known.
    """
    group = ["family", "step", "call"]
    whole = pl.col("barrier") & (pl.len().over(group) == pl.col("members")) & (pl.col("members") > 1)
    together = calls.select("rank", "trace", *group, "members", "barrier", "end").filter(whole)
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
    off = found.filter(
        (pl.col("n") >= LEAST_CALLS)
        & (pl.col("off").abs() >= LEAST_NS)
        & (pl.col("spread") <= _CONSTANT * pl.col("off").abs())
    )
    clocks = RankClocks()
    for trace, rank, ns in off.sort("rank").select("trace", "rank", "off").iter_rows():
        beside = found.filter((pl.col("trace") == trace) & (pl.col("rank") != rank))["rank"]
        usual_delay = pl.Series([delays.get(other) for other in beside], dtype=pl.Int64).median()
        own = delays.get(rank)
        shown = None if own is None or not isinstance(usual_delay, int | float) else own - usual_delay
        is_clock = shown is not None and abs(shown - ns) <= SAME * abs(ns)
        (clocks.taken_out if is_clock else clocks.left)[rank] = round(ns)
    return clocks
