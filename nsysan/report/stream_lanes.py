"""The lanes of a timeline: one a stream, as few as do for many streams, and one for each depth of ranges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from nsysan.columns.in_order import changes
from nsysan.columns.intervals import I64

#: What tells a stream of a step.
STREAM = ["step", "rank", "context", "stream"]
#: More streams than this on a rank share lanes.
MAX_STREAMS = 4
#: Ranges nest; deeper ones than this many lanes hold are left out.
MAX_RANGE_LANES = 4
_FITS = 1 << 62


def stream_lanes(streams: pl.DataFrame, work: pl.DataFrame) -> pl.DataFrame:
    """step, rank, context, stream, lane: a lane a stream; of many streams, those never busy at one time share a lane.

    A CUDA graph that forks gives every branch a stream of its own, and a lane for each would fill pages. streams: a row
    each; work: begin, end, queue (a row of streams).
    """
    queue, begin, end = (work[name].to_numpy() for name in ("queue", "begin", "end"))
    # Most follow another one of their stream.
    runs = np.flatnonzero(changes([queue]))
    begun, ended = (np.minimum.reduceat(begin, runs), np.maximum.reduceat(end, runs)) if len(runs) else (begin, end)
    extents = pl.DataFrame({"queue": queue[runs], "begin": begun, "end": ended})
    extents = extents.group_by("queue").agg(pl.min("begin"), pl.max("end")).sort("queue")
    named = pl.when(pl.col("stream").is_null()).then(pl.lit("stream")).otherwise(pl.format("stream {}", "stream"))
    told = streams.with_columns(extents["begin"], extents["end"], named.alias("lane")).with_row_index("queue")
    count = pl.len().over("step", "rank")
    parts = [told.filter(count <= MAX_STREAMS)]
    many = told.filter(count > MAX_STREAMS).sort("begin", "context", "stream")
    for own in many.partition_by("step", "rank", maintain_order=True):
        shared = [f"streams {lane + 1}" for lane in _first_free(own["begin"].to_list(), own["end"].to_list())]
        parts.append(own.with_columns(lane=pl.Series(shared, dtype=pl.String)))
    return pl.concat(parts).sort("queue").select(*STREAM, "lane")


def range_lanes(group: I64, begin: I64, end: I64) -> I64:
    """The lane of each range, -1 where too many are open at once; those that nest or overlap lie in different lanes.

    By group and begin, of those that begin together the outer ones first.
    """
    lanes = np.full(len(group), -1, dtype=np.int64)
    begun, ended = _apart(group, begin, end)
    left = np.arange(len(group))
    for lane in range(MAX_RANGE_LANES):
        # On a lane each is followed by the first that begins when it has ended, the last of a group by the next one's.
        after = np.arange(1, len(left) + 1)
        follows = np.maximum(np.searchsorted(begun[left], ended[left]), after)
        chosen = np.zeros(len(left), dtype=np.bool_)
        # Up to one that others begin in, each is followed by the next.
        skips = follows != after
        before, places = np.cumsum(skips) - skips, np.append(np.flatnonzero(skips), len(left) - 1)
        at = 0
        while at < len(left):
            last = places[before[at]]
            chosen[at : last + 1] = True
            at = follows[last]
        lanes[left[chosen]] = lane
        left = left[~chosen]
    return lanes


def _apart(group: I64, begin: I64, end: I64) -> tuple[I64, I64]:
    """Numbers in the order of these times, those of each group beyond those of the one before; by group and begin."""
    first = np.flatnonzero(changes([group]))
    since = np.repeat(begin[first], np.diff(first, append=len(group)))
    begun, ended = begin - since, end - since
    width = int(max(begun.max(initial=0), ended.max(initial=0))) + 1
    if width * (int(group.max(initial=0)) + 1) > _FITS:
        moments, place = np.unique(np.concatenate([begin, end]), return_inverse=True)
        begun, ended, width = place[: len(group)], place[len(group) :], len(moments)
    return begun + group * width, ended + group * width


def _first_free(begins: Sequence[int], ends: Sequence[int]) -> list[int]:
    """The lane of each span of time, in order of begin: the first whose last span has ended."""
    until: list[int] = []
    lanes = []
    for begin, end in zip(begins, ends, strict=True):
        lane = next((i for i, busy_until in enumerate(until) if busy_until <= begin), len(until))
        until[lane : lane + 1] = [end]
        lanes.append(lane)
    return lanes
