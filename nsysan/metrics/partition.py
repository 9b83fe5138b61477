"""The ledger drawn out in time: which line every moment of a step belongs to (DEFINITIONS.md, section 5)."""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.columns.intervals import line_of_mask, sweep
from nsysan.metrics.cut import cut_at_arrival
from nsysan.metrics.lines import CLAIMED, LINES, Line

_SCHEMA = {"step": pl.Int64, "rank": pl.Int64, "line": pl.String, "begin": pl.Int64, "end": pl.Int64}


def partition(work: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """step, rank, line, begin, end: slices that tile each window, so that those of a line sum to the ledger's figure.

    work, windows: as for ledger.build_ledger; neighbours of one line are one slice. In a step with replays of
    graph-level tracing all busy time is of the line graph, as in the ledger.
    """
    claims = cut_at_arrival(work).parts(work, ("rank",))
    parts = [pl.DataFrame(schema=_SCHEMA)]
    for (rank,), own in windows.sort("rank", "begin").partition_by("rank", as_dict=True, maintain_order=True).items():
        parts.append(_of_rank(claims.filter(pl.col("rank") == rank), own))
    return pl.concat(parts).sort("step", "rank", "begin")


def _of_rank(claims: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    begins, finishes = windows["begin"].to_numpy(), windows["finish"].to_numpy()
    near = claims.filter((pl.col("end") > begins.min()) & (pl.col("begin") < finishes.max()))
    times, masks = sweep(
        near["begin"].to_numpy(),
        near["end"].to_numpy(),
        near["line"].to_numpy(),
        np.concatenate((begins, finishes)),
        len(CLAIMED),
    )
    window = np.searchsorted(begins, times[:-1], side="right") - 1
    inside = (np.diff(times) > 0) & (window >= 0)
    inside[inside] &= times[:-1][inside] < finishes[window[inside]]
    found = pl.DataFrame(
        {
            "step": windows["step"].to_numpy()[window[inside]],
            "rank": np.full(int(inside.sum()), windows["rank"][0]),
            "line": np.array(LINES)[line_of_mask(len(CLAIMED))[masks[inside]]],
            "begin": times[:-1][inside],
            "end": times[1:][inside],
        },
        schema=_SCHEMA,
    )
    hidden = (pl.col("line") == Line.GRAPH).any().over("step") & (pl.col("line") != Line.IDLE)
    found = found.with_columns(line=pl.when(hidden).then(pl.lit(Line.GRAPH.value)).otherwise("line"))
    stretch = pl.struct("step", "line").rle_id()
    merged = found.group_by(stretch.alias("stretch"), "step", "rank", "line", maintain_order=True)
    return merged.agg(pl.min("begin"), pl.max("end")).select(list(_SCHEMA))
