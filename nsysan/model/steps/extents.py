"""How much of a step's time its own work takes: what a step is weighed by (DEFINITIONS.md, section 4)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from nsysan.columns.threads import each_of
from nsysan.model.operations import Operations
from nsysan.model.steps.step_windows import StepWindows

#: Nothing for so many times the usual period after a step's work: there was no request to go on with.
PAUSE = 10


def with_extents(work: Operations, found: StepWindows) -> StepWindows:
    """The windows with `extent`: ns from begin to the last end of the window's own operations."""
    begins = found.windows["begin"].to_numpy()
    last = begins.copy()

    def of_owner(key: int) -> None:
        own = slice(*work.rows(key))
        member = found.member[own]
        inside = member >= 0
        # The windows of an owner are its own: owners write to different places.
        np.maximum.at(last, member[inside], work.stored["end"].to_numpy()[own][inside])

    each_of(of_owner, work.keys, len(work))
    return replace(found, windows=found.windows.with_columns(pl.Series("extent", last - begins, dtype=pl.Int64)))


def clipped(windows: pl.DataFrame) -> pl.DataFrame:
    """The windows with `extent` within their period: work that runs on beside the next step is counted once.

    The period where no extent is known.
    """
    period = pl.col("finish") - pl.col("begin")
    known = pl.col("extent") if "extent" in windows.columns else pl.lit(None, dtype=pl.Int64)
    return windows.with_columns(extent=pl.min_horizontal(period, known))
