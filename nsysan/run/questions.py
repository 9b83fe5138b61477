"""The figures that are made of all operations, of one placed trace each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import add

import polars as pl

from nsysan.columns.intervals import Covered
from nsysan.metrics.coverage import Rest, outside
from nsysan.metrics.gaps import TIMES, rank_gaps, summed
from nsysan.metrics.ledger import closed, open_ledger
from nsysan.metrics.skew import spent
from nsysan.metrics.stages import StageWork
from nsysan.metrics.tally import TALLIED, Tally, tally
from nsysan.model.classes import WorkClass
from nsysan.model.host_clock import HostClock
from nsysan.run.placed import PlacedTrace

_OF_COMPUTE = ("rank", "step", "name", "begin", "end")


def ledger_of(placed: PlacedTrace) -> pl.DataFrame | None:
    names = ("rank", "begin", "end", "trimmed", "cls", "step", "last")
    found = _of_ranks(placed, placed.windows, lambda rank, windows: open_ledger(placed.frame(names, rank), windows))
    return None if found is None else closed(found)


def spans_of(placed: PlacedTrace, between: pl.DataFrame) -> pl.DataFrame | None:
    """rank, step, begin, end: what each rank does of a step, but for the calls between stages (row, rank)."""

    def of_rank(rank: int, _: pl.DataFrame) -> pl.DataFrame:
        work = placed.frame(("row", "rank", "step", "begin", "end"), rank).filter(pl.col("step").is_not_null())
        own = work.filter(~pl.col("row").is_in(between["row"].implode()))
        return own.group_by("rank", "step").agg(pl.min("begin"), pl.max("end"))

    return _of_ranks(placed, placed.windows, of_rank)


def gaps_of(placed: PlacedTrace, stages: StageWork | None) -> pl.DataFrame | None:
    _ = placed.synchronise_calls  # found once, not by each thread

    def of_rank(rank: int, windows: pl.DataFrame) -> pl.DataFrame:
        gaps = rank_gaps(
            placed.frame(TIMES, rank),
            lambda at, names: placed.clocked(names, rank, at),
            windows.sort("begin"),
            placed.synchronised(rank),
            None if stages is None else partial(stages.wanting, rank),
        )
        number = pl.lit(rank, dtype=pl.Int64).alias("rank")
        return pl.concat(summed(some.with_columns(number)) for some in gaps)

    found = _of_ranks(placed, placed.windows, of_rank)
    return None if found is None else summed(found)


def spent_of(placed: PlacedTrace, calls: pl.DataFrame) -> pl.DataFrame | None:
    def of_rank(rank: int, own: pl.DataFrame) -> pl.DataFrame:
        work = placed.frame(("row", "rank", "begin", "end", "cls"), rank)
        # Its times the trace knows itself.
        timed = work.select("row", "begin", "end").join(own, on="row", maintain_order="right")
        return spent(timed, work)

    return _of_ranks(placed, calls, of_rank)


def extent_of(placed: PlacedTrace) -> pl.DataFrame:
    """rank, span, busy: ns from the rank's first GPU work to its last, and those in which there is any."""

    def of_rank(rank: int) -> pl.DataFrame:
        work = placed.frame(("begin", "end"), rank)
        first, last = work["begin"].min(), work["end"].max()
        span = last - first if isinstance(first, int) and isinstance(last, int) else None
        found = {"rank": [rank], "span": [span], "busy": [Covered.of(work).total]}
        return pl.DataFrame(found, schema=dict.fromkeys(found, pl.Int64))

    return pl.concat(placed.each(of_rank))


def outside_of(placed: PlacedTrace) -> dict[Rest, int]:
    """ns outside of the steps, by what the ranks' GPUs do, over its ranks."""

    def of_rank(rank: int) -> dict[Rest, int]:
        windows = placed.windows.filter(pl.col("rank") == rank)
        return outside(placed.frame(("begin", "end", "cls"), rank), placed.others_on_gpu(rank), windows)

    parts = placed.each(of_rank)
    return {rest: sum(part[rest] for part in parts) for rest in parts[0]}


def tally_of(placed: PlacedTrace) -> Tally:
    return reduce(add, placed.each(lambda rank: tally(placed.frame(TALLIED, rank))))


def usual_compute_of(placed: PlacedTrace, steps: list[int]) -> pl.DataFrame:
    """rank, name, ns, calls: what a rank's compute kernels of that name take in a step, median over these steps."""
    compute = placed.each(lambda rank: placed.frame(_OF_COMPUTE, rank, where=(WorkClass.COMPUTE,)))
    kernels = pl.concat(compute).filter(pl.col("step").is_in(steps))
    per_step = kernels.group_by("rank", "step", "name").agg(ns=(pl.col("end") - pl.col("begin")).sum(), calls=pl.len())
    # Nor does one that a step does not run.
    grid = per_step.select("rank", "name").unique().join(per_step.select("step").unique(), how="cross")
    filled = grid.join(per_step, on=["rank", "step", "name"], how="left").with_columns(
        pl.col("ns", "calls").fill_null(0)
    )
    usual = filled.group_by("rank", "name").agg(pl.median("ns"), pl.median("calls"))
    return usual.with_columns(pl.col("name").cast(pl.String))


def _of_ranks(
    placed: PlacedTrace, known: pl.DataFrame, figures: Callable[[int, pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame | None:
    """The figures of each rank of which something is told, by that; None where there is none of them."""
    own = {int(str(rank)): rows for (rank,), rows in known.partition_by("rank", as_dict=True).items()}
    ranks = [rank for rank in placed.ranks if rank in own]
    if not ranks:
        return None
    return pl.concat(placed.each(lambda rank: figures(rank, own[rank]), ranks))


def together(found: Sequence[pl.DataFrame | None]) -> pl.DataFrame:
    return pl.concat(frame for frame in found if frame is not None)


def itself(placed: PlacedTrace) -> PlacedTrace:
    return placed


def work_of(placed: PlacedTrace) -> pl.DataFrame:
    return placed.work


def synchronise_calls_of(placed: PlacedTrace) -> pl.DataFrame:
    return placed.synchronise_calls


def host_clocks_of(placed: PlacedTrace) -> dict[int, HostClock]:
    return placed.host_clocks


def no_names() -> pl.DataFrame:
    return pl.DataFrame(schema={"name": pl.String, "n": pl.Int64, "collectives": pl.Int64})
