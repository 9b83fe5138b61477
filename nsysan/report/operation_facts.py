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
#: What says which kernel one is, as its trace has recorded it.
KERNEL = ("process", "device", "start", "stream", "correlation")
#: The operations of a larger trace are not read once more for their shapes.
_MOST = 2_000_000


def recorded(placed: PlacedTrace, rank: int) -> pl.DataFrame:
    """KERNEL of all operations of a rank, as a column of structs of that name, on the trace's own clock."""
    return placed.as_recorded(KERNEL, rank).select(recorded=pl.struct(pl.all().cast(pl.Int64)))


def with_facts(placed: PlacedTrace, steps: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Operations by step, which are to have the column `recorded`, with those of FACTS; bytes: of message or copy."""
    known = [work["recorded"].struct.field("start") for work in steps if len(work)]
    spans = [(int(start.min()), int(start.max())) for start in known]  # type: ignore[arg-type]
    shapes = placed.trace.grids(spans if len(placed.operations) <= _MOST else [])
    shapes = shapes.select(recorded=pl.struct(KERNEL), grid=_sides("grid"), block=_sides("block"))
    shapes = shapes.unique("recorded", keep="first")
    sized = (work.with_columns(bytes=pl.coalesce("message_bytes", "bytes")) for work in steps)
    return [work.join(shapes, on="recorded", how="left", maintain_order="left").drop("recorded") for work in sized]


def _sides(what: str) -> pl.Expr:
    """As "132 x 1 x 1", null where one is not told."""
    return pl.concat_str([f"{what}_{axis}" for axis in "xyz"], separator=" x ")
