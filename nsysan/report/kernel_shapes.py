"""The shapes of the kernels that timelines show: blocks of a grid, threads of a block."""

from __future__ import annotations

import polars as pl

from nsysan.columns.codes import codes
from nsysan.run.placed import PlacedTrace

#: The operations of a larger trace are not read once more for their shapes.
_MOST = 2_000_000
_KERNEL = ["rank", "start", "end", "stream"]
_SHAPE = {"grid": pl.Categorical(), "block": pl.Categorical()}
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
    numbered = found.select(*_KERNEL, shape=pl.Series(number).cast(pl.UInt32))
    joined = work.select(_KERNEL).join(numbered, on=_KERNEL, how="left", maintain_order="left")
    if len(joined) > len(work):
        # A damaged export has a row twice.
        once = numbered.unique(_KERNEL, keep="first")
        joined = work.select(_KERNEL).join(once, on=_KERNEL, how="left", maintain_order="left")
    return joined["shape"].fill_null(len(shapes)), pl.concat([shapes, none])


def _spans(work: pl.DataFrame) -> list[tuple[int, int]]:
    """From when to when operations of the steps start; steps that follow one another together."""
    extents = work.group_by("step").agg(since=pl.min("start"), until=pl.max("start")).sort("since")
    fresh = (pl.col("since") > pl.col("until").cum_max().shift(1).fill_null(-(1 << 62)) + _NEAR).cum_sum()
    spans = extents.group_by(fresh.alias("of"), maintain_order=True).agg(pl.min("since"), pl.max("until"))
    return spans.select("since", "until").rows()
