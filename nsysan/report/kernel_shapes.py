"""The shapes of the kernels that timelines show: blocks of a grid, threads of a block."""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.columns.codes import codes
from nsysan.columns.in_order import in_order
from nsysan.columns.intervals import I64
from nsysan.run.placed import PlacedTrace

#: The operations of a larger trace are not read once more for their shapes.
_MOST = 2_000_000
_KERNEL = ["rank", "start", "end", "stream"]
_SHAPE = {"grid": pl.Categorical(), "block": pl.Categorical()}
#: Stands for no stream, which no other is.
_NO_STREAM = -(1 << 62)
#: Spans of time that are apart by less than this (ns) are read as one.
_NEAR = 10_000_000


def shapes_of(placed: PlacedTrace, work: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
    """For each operation of steps a row of the table of shapes, and that table: grid, block, null where not recorded.

    work: step, rank, start, end, stream.
    """
    none = pl.DataFrame({name: [None] for name in _SHAPE}, schema=_SHAPE)
    found = placed.kernel_shapes(_spans(work)) if len(placed.operations) <= _MOST else none.clear()
    if found.is_empty():
        return pl.repeat(0, len(work), dtype=pl.UInt32, eager=True), none
    number, shapes = codes([found[name] for name in _SHAPE])
    found = found.select(*_KERNEL, shape=pl.Series(number).cast(pl.UInt32))
    shape, missing = _by_start(work, found)
    if len(missing):
        # More than one of a rank starts then.
        rest = work.select(pl.col(_KERNEL).gather(pl.Series(missing)))
        others = found.join(rest.select("rank", "start").unique(), on=["rank", "start"], how="semi")
        others = others.unique(_KERNEL, keep="first")
        told = rest.join(others, on=_KERNEL, how="left", maintain_order="left")["shape"]
        shape[missing] = told.fill_null(len(shapes)).to_numpy()
    shape[shape < 0] = len(shapes)
    return pl.Series(shape).cast(pl.UInt32), pl.concat([shapes, none])


def _by_start(work: pl.DataFrame, kernels: pl.DataFrame) -> tuple[I64, I64]:
    """The shape of each operation, -1 where no kernel of its rank starts with it; and the rows of those for which the
    first that does is not it.
    """
    rank, start, end, stream = (work[name].fill_null(_NO_STREAM).to_numpy() for name in _KERNEL)
    known = [kernels[name].fill_null(_NO_STREAM - 1).to_numpy() for name in _KERNEL]
    order, (ranks, starts, ends, streams) = in_order(known[0], known[1], *known[2:])
    shapes = kernels["shape"].to_numpy()[order]
    found = np.full(len(work), -1, dtype=np.int64)
    missing = [found[:0]]
    for number in np.unique(ranks):
        first, last = np.searchsorted(ranks, [number, number + 1])
        own = np.flatnonzero(rank == number)
        place = first + np.searchsorted(starts[first:last], start[own])
        own, place = own[place < last], place[place < last]
        alike = starts[place] == start[own]
        own, place = own[alike], place[alike]
        same = (ends[place] == end[own]) & (streams[place] == stream[own])
        found[own[same]] = shapes[place[same]]
        missing.append(own[~same])
    return found, np.concatenate(missing)


def _spans(work: pl.DataFrame) -> list[tuple[int, int]]:
    """From when to when operations of the steps start; steps that follow one another together."""
    extents = work.group_by("step").agg(since=pl.min("start"), until=pl.max("start")).sort("since")
    fresh = (pl.col("since") > pl.col("until").cum_max().shift(1).fill_null(-(1 << 62)) + _NEAR).cum_sum()
    spans = extents.group_by(fresh.alias("of"), maintain_order=True).agg(pl.min("since"), pl.max("until"))
    return spans.select("since", "until").rows()
