"""What a way of finding steps finds: windows of time, and the operations in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

WINDOWS = {"rank_key": pl.Int64(), "begin": pl.Int64(), "finish": pl.Int64(), "label": pl.String()}
_I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """What one way of finding steps came up with, rank by rank.

    windows: the columns of WINDOWS, and prefill where ranges tell. membership: row, rank_key and begin (of its
    window) of each operation in a step. method: nvtx, graph, period or window; source: the same for people.
    """

    method: str
    source: str
    windows: pl.DataFrame
    membership: pl.DataFrame
    notes: tuple[str, ...] = ()


def frame(rank_key: object, starts: _I64, ends: _I64, label: str) -> pl.DataFrame:
    """Windows of one rank, with the columns of WINDOWS."""
    columns = {"rank_key": np.full(len(starts), rank_key), "begin": starts, "finish": ends}
    return pl.DataFrame(columns).with_columns(label=pl.lit(label)).cast(pl.Schema(WINDOWS))


def members_by_time(work: pl.DataFrame, rank_key: object, starts: _I64, ends: _I64) -> pl.DataFrame:
    """The operations that begin inside the windows of one rank."""
    begun = work["begin"].to_numpy()
    window = np.searchsorted(starts, begun, side="right") - 1
    inside = (window >= 0) & (begun < ends[np.maximum(window, 0)])
    return pl.DataFrame(
        {
            "row": work["row"].to_numpy()[inside],
            "rank_key": np.full(int(inside.sum()), rank_key),
            "begin": starts[window[inside]],
        },
        schema={"row": work.schema["row"], "rank_key": pl.Int64(), "begin": pl.Int64()},
    )
