"""The ledger of a step in equal cells of time, for ranges of a step of which a page has not all slices."""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.columns.intervals import I64, atoms, line_of_mask
from nsysan.metrics.lines import CLAIMED, Line

#: Cells of a step: about as finely as a range is chosen by hand, and 20 KB on a page of eight ranks.
COUNT = 256
_SCHEMA = {"rank": pl.Int64(), "line": pl.String(), "ns": pl.List(pl.Int64)}


def cell_width(span: int) -> int:
    """ns of each cell of a step that lasts `span` ns."""
    return max(1, -(-span // COUNT))


def range_cells(slices: pl.DataFrame, windows: tuple[tuple[int, int, int], ...]) -> pl.DataFrame:
    """rank, line, ns: of each line that a rank's step has, ns in each of COUNT cells; what no line claims is idle.

    slices, windows: as those of a Timeline, with all slices. In a step with a replay that was traced as one block all
    that is busy is of its line, as in the ledger.
    """
    width = cell_width(max((end for _, _, end in windows), default=0))
    edges = np.arange(COUNT + 1, dtype=np.int64) * width
    claims = slices.filter(pl.col("line").is_in(list(CLAIMED)))
    order = {str(line): number for number, line in enumerate(CLAIMED)}
    numbers = claims["line"].cast(pl.String).replace_strict(order, return_dtype=pl.Int8)
    claims = claims.select("rank", "begin", "end", number=numbers)
    found = [
        (rank, CLAIMED[line], ns.tolist())
        for rank, begin, end in windows
        for line, ns in _of_rank(claims.filter(pl.col("rank") == rank), np.clip(edges, begin, end)).items()
    ]
    return pl.DataFrame(found, schema=_SCHEMA, orient="row")


def _of_rank(claims: pl.DataFrame, edges: I64) -> dict[int, I64]:
    table = atoms(
        claims["begin"].to_numpy(),
        claims["end"].to_numpy(),
        claims["number"].to_numpy(),
        (edges[:-1], edges[1:]),
        len(CLAIMED),
    )
    owner = line_of_mask(len(CLAIMED))
    sums = {line: table[:, owner == line].sum(axis=1) for line in range(len(CLAIMED))}
    block = CLAIMED.index(Line.GRAPH)
    if sums[block].any():
        return {block: np.sum(list(sums.values()), axis=0)}
    return {line: ns for line, ns in sums.items() if ns.any()}
