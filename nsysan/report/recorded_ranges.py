"""The NVTX ranges that are open in steps, asked of each trace once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from nsysan.columns.codes import codes
from nsysan.columns.in_order import by_group, in_order
from nsysan.columns.intervals import I64
from nsysan.columns.rows import taken
from nsysan.columns.times import shifted
from nsysan.report.in_steps import Axes, spread
from nsysan.run.placed import PlacedTrace


def ranges_of(placed: PlacedTrace, axes: Axes, spans: pl.DataFrame) -> pl.DataFrame:
    """group (see Axes), start, end (ns of the run's clock) and name of the ranges of the ranks' processes that are open
    in the spans of steps, a row for each step.

    By group and start, of those that begin together the outer ones first; spans: step, begin, finish.
    """
    ranks = placed.placement.ranks
    ranges = shifted(placed.trace.ranges.select("start", "end", "process", "name"), placed.placement.shift)
    ranges = ranges.filter(
        pl.col("process").is_in([rank.process for rank in ranks]),
        pl.col("end") > spans["begin"].min(),
        pl.col("start") < spans["finish"].max(),
    )
    names = ranges["name"].cast(pl.Categorical)
    # By their texts, as they are ordered.
    number, distinct = codes([names])
    place = np.argsort(np.argsort(distinct["name"].cast(pl.String).fill_null("").to_numpy(), kind="stable"))[number]
    starts, ends, process = (ranges[name].to_numpy() for name in ("start", "end", "process"))
    steps = spans["step"].to_numpy()
    groups, rows = [], []
    for rank in ranks:
        own = np.flatnonzero(process == rank.process)
        order, (_, start, end, _) = in_order(np.zeros_like(own), starts[own], -ends[own], place[own])
        span, at = open_in(start, -end, spans)
        groups.append(axes.group(steps, rank.rank)[span])
        rows.append(own[order][at])
    group = np.concatenate(groups)
    order = by_group(group)
    chosen = pl.Series(np.concatenate(rows)[order])
    told = (taken(column, chosen) for column in (ranges["start"], ranges["end"], names.alias("name")))
    return pl.DataFrame([pl.Series("group", group[order]), *told])


def in_groups(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Ranges of several traces as those of one, as ranges_of gives them."""
    if len(parts) == 1:
        return parts[0]
    found = pl.concat(parts)
    # Where several traces have one rank, their ranges follow one another.
    order = np.lexsort((-found["end"].to_numpy(), found["start"].to_numpy(), found["group"].to_numpy()))
    return found.select(pl.all().gather(pl.Series(order)))


def open_in(start: I64, end: I64, spans: pl.DataFrame) -> tuple[I64, I64]:
    """Numbers of spans and the ranges that share time with each, by span; start, end: of ranges, by start."""
    begins, finishes = (spans[name].to_numpy() for name in ("begin", "finish"))
    # Those that begin in a span, and those that had begun before.
    first, last = np.searchsorted(start, begins), np.searchsorted(start, finishes)
    span, at = spread(first, np.maximum(last - first, 0))
    inside = end[at] > begins[span]
    order = np.argsort(begins, kind="stable")
    lowest = np.searchsorted(begins[order], start, side="right")
    highest = np.searchsorted(begins[order], end)
    before, later = spread(lowest, np.maximum(highest - lowest, 0))
    span, at = np.concatenate([order[later], span[inside]]), np.concatenate([before, at[inside]])
    place = by_group(span)
    return span[place], at[place]
