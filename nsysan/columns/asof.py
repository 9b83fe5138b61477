"""The nearest earlier or later row of the same group, in time."""

from __future__ import annotations

from typing import Literal

import polars as pl


def join_nearest(
    left: pl.DataFrame,
    right: pl.DataFrame,
    *,
    left_on: str,
    right_on: str,
    by: str,
    strategy: Literal["backward", "forward"] = "backward",
) -> pl.DataFrame:
    """Join to each left row the last right row at or before it (backward), or the first at or after (forward)."""
    # Both sides are sorted here; polars cannot check that within groups and would warn.
    return left.sort(left_on).join_asof(
        right.sort(right_on),
        left_on=left_on,
        right_on=right_on,
        by=by,
        strategy=strategy,
        check_sortedness=False,
    )
