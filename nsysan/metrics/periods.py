"""The period of each step, where every rank has its own."""

from __future__ import annotations

import polars as pl


def over_ranks(ledger: pl.DataFrame) -> pl.DataFrame:
    """step, period_ns: medians over the ranks, or of an even number of ranks the periods of the one nearest to them.

    Where a host is late once, the step before is the longer on the ranks that it keeps waiting: the mean of two ranks
    would be of no step. ledger: step, rank, period_ns.
    """
    rows = ledger.select("step", "rank", "period_ns")
    count = rows["rank"].n_unique()
    apart = (pl.col("period_ns") - pl.median("period_ns").over("step")).abs()
    ranks = rows.with_columns(apart=apart).group_by("rank").agg(pl.sum("apart"), n=pl.len())
    ranks = ranks.filter(pl.col("n") == rows["step"].n_unique())
    if count % 2 or ranks.is_empty():
        return rows.group_by("step").agg(pl.median("period_ns"))
    nearest = ranks.sort("apart", "rank")["rank"][0]
    return rows.filter(pl.col("rank") == nearest).select("step", pl.col("period_ns").cast(pl.Float64))
