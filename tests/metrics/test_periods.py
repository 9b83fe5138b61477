"""The period of a step, of which every rank has its own."""

from __future__ import annotations

import polars as pl

from nsysan.metrics.periods import over_ranks


def ledger(*ranks: list[int]) -> pl.DataFrame:
    rows = [(step, rank, ns) for rank, own in enumerate(ranks) for step, ns in enumerate(own)]
    return pl.DataFrame(rows, schema=["step", "rank", "period_ns"], orient="row")


def periods(*ranks: list[int]) -> list[int]:
    return over_ranks(ledger(*ranks)).sort("step")["period_ns"].to_list()


def test_of_two_ranks_a_late_step_is_long_once() -> None:
    # Rank 1's host is late before its step 2: rank 0 has begun that step, and waits in it.
    assert periods([100, 100, 190, 100], [100, 190, 100, 100]) == [100, 100, 190, 100]


def test_of_three_ranks_the_one_in_the_middle_counts() -> None:
    assert periods([100, 100, 190, 100], [100, 190, 100, 100], [100, 100, 190, 100]) == [100, 100, 190, 100]


def test_a_rank_that_lacks_a_step_does_not_stand_for_all() -> None:
    rows = ledger([100, 110, 100], [102, 112, 102]).filter((pl.col("rank") != 0) | (pl.col("step") != 1))
    assert over_ranks(rows).sort("step")["period_ns"].to_list() == [102, 112, 102]
