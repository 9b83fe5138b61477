"""Messages in the graph: who of two ranks waits at a call for the other (METRICS sections 6 and 7)."""

from __future__ import annotations

import polars as pl

from nsysan.model.matches import RECEIVES, SENDS

#: A rank that comes first to a message and leaves after the other has come, so often at least, waits for it.
_WAITING = 0.9
#: Calls close the loop of a pipeline if they are in so many of its steps.
_MOSTLY = 0.5
_CALL = ("stretch", "family", "of", "call")


def with_meetings(work: pl.DataFrame) -> pl.DataFrame:
    """The operations with meets, whether they are of a call that is complete once its last rank has come, and held,
    whether they cannot end before.

    work: stretch, rank, begin, end, barrier, half, family, of, call (null for what is in no matched call). Of a call
    that is no barrier (a send and its receive, a broadcast, a reduce, what the catalogue does not know for one) that is
    told where each rank makes it once. A receive is held, any other rank where it shows: one that waits for nobody, as
    a send may be, or the root of a broadcast, has ended before another came, or never came first.
    """
    matched = pl.col("call").is_not_null()
    barrier = pl.col("barrier").fill_null(value=False) & matched
    ranks = pl.col("rank").n_unique().over(_CALL)
    message = matched & ~barrier & (ranks > 1) & (pl.len().over(_CALL) == ranks)
    if not work.select((matched & ~barrier).any()).item():
        return work.with_columns(meets=barrier, held=barrier, message=pl.lit(value=False))
    work = work.with_columns(message=message.fill_null(value=False), met=pl.col("begin").max().over(_CALL))
    after = pl.col("end") >= pl.col("met")
    first = pl.when("message", pl.col("begin") < pl.col("met")).then(after)
    shown = (first.mean().over("family", "rank") >= _WAITING).fill_null(value=False)
    receives = (pl.col("half") == RECEIVES).fill_null(value=False)
    waits = pl.col("message") & (receives | shown) & after
    return work.with_columns(meets=barrier | pl.col("message"), held=barrier | waits).drop("met")


def from_last_to_first(work: pl.DataFrame, stages: list[tuple[int, ...]]) -> bool:
    """Whether calls of the trace make the first stage of a pipeline wait for the last, as those with its tokens do."""
    sends = (pl.col("half") == SENDS).fill_null(value=False)
    first = work.filter("held", ~sends, pl.col("rank").is_in(list(stages[0])))
    last = work.filter("meets", pl.col("rank").is_in(list(stages[-1])))
    closed = first.join(last, on=_CALL, how="semi").select(pl.struct("stretch", "of").n_unique()).item()
    steps = work.drop_nulls("step").select(pl.struct("stretch", "step").n_unique()).item()
    return bool(closed >= _MOSTLY * steps)
