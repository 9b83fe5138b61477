"""The same collective on every rank, and when the last rank arrived at it.

A collective kernel is resident from its own rank's arrival until the data has moved, so its residency before
the last arrival is waiting and only the rest is transfer.
"""

from __future__ import annotations

import polars as pl

from nsysan.model import classes

MATCHED = "matched"
UNMATCHED = "unmatched"
REJECTED = "rejected"
SINGLE = "single"


def match_collectives(collectives: pl.DataFrame, ranks: int) -> pl.DataFrame:
    """Group the calls of a step over the ranks and find the last arrival of each group.

    collectives: row, rank, step, name, kind, cls, communicator, begin, end. Added columns:

    call: number of the call among those of the same family and communicator in its step on its rank.
    verdict: matched; unmatched (a rank of the family has more or fewer calls in this step, or it is a
      send/receive among more than two ranks); rejected (fails the gate); single (no other rank to match).
    last: when the last rank arrived; wait, wire: residency before and after it (ns); skew_free_wait: duration
      beyond the group's shortest, an estimate of wait free of clocks. All null unless matched.

    The k-th call of a family on one rank is the k-th on the others. Where counts differ that is not known,
    and the calls of that family and step stay unmatched rather than mispaired.
    """
    # Graph capture may hide the communicator of some calls; then it says nothing about the others either.
    known = collectives["communicator"].is_not_null().all() if len(collectives) else False
    family = ["name", "communicator"] if known else ["name"]
    key = ["step", *family]
    calls = collectives.with_columns(call=pl.int_range(pl.len()).over("rank", *key, order_by=["begin", "end"]))
    members = calls.group_by(family).agg(members=pl.n_unique("rank"))
    per_rank = calls.group_by("rank", *key).agg(n=pl.len())
    even = per_rank.group_by(key).agg(present=pl.n_unique("rank"), even=pl.n_unique("n") == 1)
    group = [*key, "call"]
    calls = (
        calls.join(members, on=family, how="left", nulls_equal=True)
        .join(even, on=key, how="left", nulls_equal=True)
        .with_columns(
            last=pl.max("begin").over(group),
            first_end=pl.min("end").over(group),
            shortest=(pl.col("end") - pl.col("begin")).min().over(group),
        )
    )
    pairwise = (pl.col("cls") != classes.P2P) | (pl.col("members") == 2)
    complete = (pl.col("present") == pl.col("members")) & pl.col("even") & pairwise
    verdict = (
        pl.when(pl.lit(ranks == 1) | (pl.col("members") == 1))
        .then(pl.lit(SINGLE))
        .when(~complete)
        .then(pl.lit(UNMATCHED))
        # An all-reduce cannot end anywhere before it has begun everywhere.
        .when(pl.col("first_end") < pl.col("last"))
        .then(pl.lit(REJECTED))
        .otherwise(pl.lit(MATCHED))
    )
    duration = pl.col("end") - pl.col("begin")
    wait = pl.col("last") - pl.col("begin")
    is_matched = pl.col("verdict") == MATCHED
    return (
        calls.with_columns(verdict=verdict)
        .with_columns(
            last=pl.when(is_matched).then("last"),
            wait=pl.when(is_matched).then(wait),
            wire=pl.when(is_matched).then(duration - wait),
            skew_free_wait=pl.when(is_matched).then(duration - pl.col("shortest")),
        )
        .drop("members", "present", "even", "first_end", "shortest")
    )
