"""The lanes of a timeline: one a stream, as few as do for many streams, and one for each depth of ranges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from nsysan.columns.codes import codes
from nsysan.columns.in_order import changes
from nsysan.columns.intervals import I64
from nsysan.report.in_steps import spread
from nsysan.report.recorded import Track

#: What tells a stream of a step.
STREAM = ["step", "rank", "context", "stream"]
#: More streams than this on a rank share lanes.
MAX_STREAMS = 4
#: Ranges nest; deeper ones than this many lanes hold are left out.
MAX_RANGE_LANES = 4
_FITS = 1 << 62


def stream_lanes(tracks: Sequence[Track]) -> pl.DataFrame:
    """step, rank, context, stream, lane of what ran: a lane a stream; of many streams, those never busy at one time
    share a lane.

    A CUDA graph that forks gives every branch a stream of its own, and a lane for each would fill pages.
    """
    extents = pl.concat([_extents(track) for track in tracks])
    extents = extents.group_by(STREAM, maintain_order=True).agg(pl.min("begin"), pl.max("end"))
    named = pl.when(pl.col("stream").is_null()).then(pl.lit("stream")).otherwise(pl.format("stream {}", "stream"))
    told = extents.with_columns(named.alias("lane"))
    count = pl.len().over("step", "rank")
    parts = [told.filter(count <= MAX_STREAMS)]
    many = told.filter(count > MAX_STREAMS).sort("begin", "context", "stream")
    for own in many.partition_by("step", "rank", maintain_order=True):
        shared = [f"streams {lane + 1}" for lane in _first_free(own["begin"].to_list(), own["end"].to_list())]
        parts.append(own.with_columns(lane=pl.Series(shared, dtype=pl.String)))
    return pl.concat(parts).select(*STREAM, "lane")


def _extents(track: Track) -> pl.DataFrame:
    """step, rank, context, stream, begin, end: from when to when each stream of a track is busy in each step."""
    queues, distinct = codes([track.kinds["context"], track.kinds["stream"]])
    own = track.windows.filter(pl.col("count") > 0)
    if len(distinct) == 1:
        found = own.select("step", "begin", end="finish", queue=pl.lit(0, pl.UInt32))
    else:
        window, at = spread(own["first"].to_numpy(), own["count"].to_numpy())
        kind, begin, end = (track.rows[name].to_numpy()[at] for name in ("kind", "begin", "end"))
        begins, finishes = (own[name].to_numpy()[window] for name in ("begin", "finish"))
        meets = (end > begins) & (begin < finishes)
        key = window[meets] * len(distinct) + queues[kind[meets]]
        begin, end = begin[meets], end[meets]
        # Most follow another one of their stream.
        runs = np.flatnonzero(changes([key]))
        begun, ended = (np.minimum.reduceat(begin, runs), np.maximum.reduceat(end, runs)) if len(runs) else (begin, end)
        frame = pl.DataFrame({"key": key[runs], "begin": begun, "end": ended})
        frame = frame.group_by("key").agg(pl.min("begin"), pl.max("end")).sort("key")
        window, queue = np.divmod(frame["key"].to_numpy(), max(len(distinct), 1))
        found = frame.select("begin", "end", step=own["step"].gather(pl.Series(window)), queue=pl.Series(queue))
    told = distinct.select(pl.col("context", "stream").gather(found["queue"]))
    return pl.DataFrame([found["step"], *told, found["begin"], found["end"]]).select(
        "step", pl.lit(track.rank, pl.Int64).alias("rank"), "context", "stream", "begin", "end"
    )


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
