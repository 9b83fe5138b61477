"""What a timeline tells of single operations beside when they ran: full name, stream, size, grid and blocks."""

from __future__ import annotations

import polars as pl

from nsysan.run.placed import PlacedTrace

#: Columns of operations that a timeline's slices have: null where not recorded, and for calls and ranges.
FACTS = {
    "stream": pl.Int64(),
    "demangled": pl.String(),
    "bytes": pl.Int64(),
    "grid": pl.String(),
    "block": pl.String(),
}
#: The operations of a larger trace are not read once more for their shapes.
_MOST = 2_000_000
_KERNEL = ["rank", "start", "end", "stream"]


def with_facts(placed: PlacedTrace, steps: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Operations by step, with the columns of FACTS; bytes: of the message or the copy."""
    extents = [(work["start"].min(), work["start"].max()) for work in steps if len(work)]
    spans = extents if len(placed.operations) <= _MOST else []
    shapes = placed.kernel_shapes(spans)  # type: ignore[arg-type]
    sized = (work.with_columns(bytes=pl.coalesce("message_bytes", "bytes")) for work in steps)
    shapes = shapes.unique(_KERNEL, keep="first")
    return [work.join(shapes, on=_KERNEL, how="left", maintain_order="left") for work in sized]
