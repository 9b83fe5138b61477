"""What a timeline tells of single operations beside when they ran: full name, stream, size, grid and blocks."""

from __future__ import annotations

import polars as pl

from nsysan.run.placed import PlacedTrace

#: Columns of operations that a timeline's slices have: null where not recorded, and for calls and ranges.
FACTS = {
    "stream": pl.Int64(),
    "demangled": pl.Categorical(),
    "bytes": pl.Int64(),
    "grid": pl.Categorical(),
    "block": pl.Categorical(),
}
#: The operations of a larger trace are not read once more for their shapes.
_MOST = 2_000_000
_KERNEL = ["rank", "start", "end", "stream"]
#: Spans of time that are apart by less than this (ns) are read as one.
_NEAR = 10_000_000


def with_facts(placed: PlacedTrace, work: pl.DataFrame) -> pl.DataFrame:
    """Operations of steps, with the columns of FACTS; bytes: of the message or the copy."""
    extents = work.group_by("step").agg(since=pl.min("start"), until=pl.max("start")).sort("since")
    # Steps that follow one another are read together.
    fresh = (pl.col("since") > pl.col("until").cum_max().shift(1).fill_null(-(1 << 62)) + _NEAR).cum_sum()
    spans = extents.group_by(fresh.alias("of"), maintain_order=True).agg(pl.min("since"), pl.max("until"))
    wanted = spans.select("since", "until").rows() if len(placed.operations) <= _MOST else []
    shapes = placed.kernel_shapes(wanted)
    sized = work.with_columns(bytes=pl.coalesce("message_bytes", "bytes"))
    found = sized.join(shapes, on=_KERNEL, how="left", maintain_order="left")
    if len(found) > len(sized):
        # A damaged export has a row twice.
        found = sized.join(shapes.unique(_KERNEL, keep="first"), on=_KERNEL, how="left", maintain_order="left")
    return found
