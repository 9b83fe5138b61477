"""Where the lanes of timelines lie: each on its place among those of its step, the same for most steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.page.shown_names import Names
from nsysan.report.timeline import lane_order
from nsysan.text import plain

_I64 = npt.NDArray[np.int64]
_LANE = ["number", "rank", "lane"]
#: What tells a stream of a step.
_STREAM = ["track", "queue"]


def numbered(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all steps, with the number of each one's timeline."""
    numbers = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    return pl.concat(frames).with_columns(number=pl.Series(numbers))


def rows_of(frame: pl.DataFrame, count: int) -> list[int]:
    """How many rows each of `count` timelines has."""
    found: list[int] = np.bincount(frame["number"].to_numpy(), minlength=count).tolist()
    return found


def lanes_of(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """number, rank, lane of every lane in the order in which it is drawn, and its place among those of its timeline."""
    found = pl.concat(frame.select(_LANE).unique() for frame in frames).unique()
    ordered = found.sort("number", "rank", *lane_order("lane"))
    return ordered.with_columns(place=pl.int_range(pl.len()).over("number"))


def lane_columns(lanes: pl.DataFrame, of_slices: pl.DataFrame, launches: _I64) -> dict[str, _I64]:
    """Columns of lanes whose slices are told; of_slices: with how many slices each has; launches: see SliceColumns."""
    held = lanes.join(of_slices, on=_LANE, how="left", maintain_order="left")["count"]
    count = held.fill_null(0).to_numpy()
    on = np.zeros(len(count), dtype=np.int64)
    on[count > 0] = launches
    return {"count": count, "on": on}


def placed(frame: pl.DataFrame, lanes: pl.DataFrame, names: Names) -> pl.DataFrame:
    """The rows with the place of their lane, and the number of their name, -1 for none."""
    return frame.with_columns(name=pl.Series(names.numbered(frame["name"])), place=_place(frame, lanes))


def _place(frame: pl.DataFrame, lanes: pl.DataFrame) -> pl.Series:
    """The place of each row's lane; most rows are on the lane of the one before."""
    fresh = np.ones(len(frame), dtype=np.bool_)
    fresh[1:] = frame.select(pl.any_horizontal(pl.col(_LANE).ne_missing(pl.col(_LANE).shift(1)))).to_series()[1:]
    runs = np.flatnonzero(fresh)
    named = frame.select(pl.col(_LANE).gather(pl.Series(runs)))
    place = named.join(lanes, on=_LANE, how="left", maintain_order="left")["place"]
    counts = np.diff(runs, append=len(frame))
    return place.gather(pl.Series(np.repeat(np.arange(len(runs)), counts)))


class Layouts:
    """The different lanes that steps have, and which streams lie on them.

    table: lanes, rank and name of each; queues, of each track the lane of each of its streams by their numbers, -1 for
    one that is not there. of: the layout of each timeline, by its number.
    """

    def __init__(
        self, lanes: pl.DataFrame, queues: Sequence[pl.DataFrame], tracks: Mapping[int, int], count: int
    ) -> None:
        own = _split(lanes.select("rank", "lane"), rows_of(lanes, count))
        empty = lanes.select(_LANE).clear().with_columns(pl.lit(0).alias(name) for name in _STREAM)
        parts = [part.select(*_LANE, *_STREAM).cast(empty.schema) for part in queues]
        whole = pl.concat([empty, *parts]).sort("number", *_STREAM)
        told = whole.with_columns(place=_place(whole, lanes))
        streams = _split(told.select(*_STREAM, "place"), rows_of(told, count))
        found: dict[tuple[Any, ...], int] = {}
        self.of = [
            found.setdefault((tuple(lane.rows()), tuple(queue.rows()), tracks.get(number, 0)), len(found))
            for number, (lane, queue) in enumerate(zip(own, streams, strict=True))
        ]
        self.table = [_layout(*layout) for layout in found]


def _layout(lanes: Sequence[tuple[int, str]], streams: Sequence[tuple[int, int, int]], tracks: int) -> dict[str, Any]:
    queues: list[list[int]] = [[] for _ in range(tracks)]
    for track, queue, place in streams:
        queues[track] += [-1] * (queue + 1 - len(queues[track]))
        queues[track][queue] = place
    return {"lanes": [[rank, _lane_name(lane)] for rank, lane in lanes], "queues": queues}


@lru_cache(1_000)
def _lane_name(lane: str) -> str:
    return plain(lane, 40)


def _split(frame: pl.DataFrame, rows: Sequence[int]) -> list[pl.DataFrame]:
    """So many rows each, in order."""
    return [frame.slice(end - count, count) for end, count in zip(accumulate(rows), rows, strict=True)]
