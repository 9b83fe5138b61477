"""Every idle interval of a rank and step, and its one cause (DEFINITIONS.md, section 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.threads import each_of
from nsysan.columns.times import by_begin, by_time
from nsysan.metrics.causes import GapCause
from nsysan.metrics.stages import StageWork

_SCHEMA = {
    "rank": pl.Int64(),
    "step": pl.Int64(),
    "begin": pl.Int64(),
    "ns": pl.Int64(),
    "cause": pl.Enum(GapCause),
    "host": pl.Boolean(),
    "row": pl.UInt32(),
}
#: Columns of the operations that gaps are found by, and those that tell their causes.
TIMES = ("begin", "end", "row")
AROUND_GAPS = ("row", "stream", "context", "correlation", "graph_node", "launch_start", "thread")
#: Gaps whose operations are looked at together.
_AT_ONCE = 1 << 18
_NO_THREAD = -(1 << 62)
_I64 = npt.NDArray[np.int64]
#: Whether idle intervals, from when to when and by the rows that end them, are for want of another stage.
Waits = Callable[[_I64, _I64, npt.NDArray[np.integer]], npt.NDArray[np.bool_]]


def find_gaps(
    work: pl.DataFrame, windows: pl.DataFrame, syncs: pl.DataFrame, stages: StageWork | None = None
) -> pl.DataFrame:
    """All idle intervals inside the steps: rank, step, begin, ns, cause, host, row (of the operation that ends it).

    host: whether that operation's launch call began after the GPU ran dry, whatever the cause is called; null
    where there is no launch call.

    work: rank, row, begin, end, stream, context, correlation, graph_node, launch_start, thread. windows: step,
    rank, begin, finish. syncs: thread, start, end of the host's synchronise calls, on the same clock. stages: of a
    pipeline, when they work.
    Their sum per step and rank is the ledger's idle line.
    """

    def of_rank(own: pl.DataFrame) -> pl.DataFrame:
        rank = own["rank"][0]
        ops = work.filter(pl.col("rank") == rank)
        waits = None if stages is None else partial(stages.wanting, rank)
        gaps = pl.concat(rank_gaps(ops.select(TIMES), lambda at: ops[at].select(AROUND_GAPS), own, syncs, waits))
        return gaps.with_columns(rank=pl.lit(rank, dtype=pl.Int64)).select(list(_SCHEMA))

    parts = each_of(of_rank, windows.sort("rank", "begin").partition_by("rank", maintain_order=True), len(work))
    return pl.concat(parts) if parts else pl.DataFrame(schema=_SCHEMA)


def rank_gaps(
    times: pl.DataFrame,
    around: Callable[[_I64], pl.DataFrame],
    windows: pl.DataFrame,
    syncs: pl.DataFrame,
    waits: Waits | None = None,
) -> Iterator[pl.DataFrame]:
    """find_gaps of one rank, without its number, some at a time: their operations need not all be there at once.

    times: TIMES of its operations. around: AROUND_GAPS of those in these rows of `times`. windows: by begin. waits: of
    a pipeline, stages.StageWork.wanting of the rank.
    """
    begins, ends, rows = (times[name].to_numpy() for name in TIMES)
    order = by_begin(begins, ends, rows)
    if order is not None:
        begins, ends = begins[order], ends[order]
    reach = np.maximum.accumulate(ends)
    following = np.flatnonzero(begins[1:] > reach[:-1]) + 1
    # The operation that was the last to run before index i: the one that set the reach.
    setter = np.maximum.accumulate(np.where(ends == reach, np.arange(len(ends)), 0))[following - 1]
    dry, until = reach[following - 1], begins[following]
    del begins, ends, reach
    for first in range(0, max(len(following), 1), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        after, last = (at[some] if order is None else order[at[some]] for at in (following, setter))
        yield _caused(dry[some], until[some], around, after, last, windows, syncs, waits or _for_none)


def _caused(
    dry: _I64,
    begun: _I64,
    around: Callable[[_I64], pl.DataFrame],
    following: _I64,
    before: _I64,
    windows: pl.DataFrame,
    syncs: pl.DataFrame,
    waits: Waits,
) -> pl.DataFrame:
    """The idle intervals from `dry` to `begun` inside the windows, with their causes."""
    starts, finishes = windows["begin"].to_numpy(), windows["finish"].to_numpy()
    window = by_time(dry, starts, finishes)
    inside = window >= 0
    dry, begun, window = dry[inside], begun[inside], window[inside]
    after = around(following[inside])
    last = around(before[inside]).select("stream", "context", "correlation", "graph_node")
    gaps = after.with_columns(
        pl.Series("step", windows["step"].to_numpy()[window]),
        pl.Series("begin", dry),
        pl.Series("ns", np.minimum(begun, finishes[window]) - dry),
        pl.Series("leaves_step", begun >= finishes[window]),
        *(last[name].alias(f"last_{name}") for name in last.columns),
        pl.Series("in_sync", _in_sync(after["thread"], dry, syncs)),
        pl.Series("stage", waits(dry, begun, after["row"].to_numpy())),
    )
    # As texts they would take more memory than all the rest.
    named = {cause: pl.lit(cause.value, dtype=_SCHEMA["cause"]) for cause in GapCause}
    replay = pl.col("graph_node").is_not_null() & pl.col("last_graph_node").is_not_null()
    same_stream = (pl.col("stream") == pl.col("last_stream")) & pl.col("context").eq_missing(pl.col("last_context"))
    in_replay = replay & (pl.col("correlation") == pl.col("last_correlation"))
    in_time = pl.col("launch_start") < pl.col("begin")
    cause = (
        # What was launched in time waits for this GPU, and so does the next node of a replay.
        pl.when(pl.col("stage") & (pl.col("leaves_step") | ~(in_replay | in_time.fill_null(False))))
        .then(named[GapCause.STAGE])
        .when("leaves_step")
        .then(named[GapCause.BETWEEN_STEPS])
        .when(in_replay)
        .then(named[GapCause.GRAPH])
        .when(pl.col("launch_start").is_null())
        .then(named[GapCause.UNKNOWN])
        .when((pl.col("launch_start") >= pl.col("begin")) & pl.col("in_sync"))
        .then(named[GapCause.SYNC])
        .when(pl.col("launch_start") >= pl.col("begin"))
        .then(named[GapCause.HOST_LATE])
        .when(~same_stream)
        .then(named[GapCause.DEPENDENCY])
        .otherwise(named[GapCause.LAUNCH])
    )
    host = pl.col("launch_start") >= pl.col("begin")
    return gaps.select("step", "begin", "ns", "row", cause=cause, host=host)


def _for_none(dry: _I64, *_: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """No idle interval is for want of a stage where there is one."""
    return np.zeros(len(dry), dtype=np.bool_)


def _in_sync(threads: pl.Series, times: _I64, syncs: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether the thread was inside a synchronise call at that time (calls of one thread do not overlap)."""
    thread = threads.fill_null(_NO_THREAD).to_numpy()
    inside = np.zeros(len(times), dtype=np.bool_)
    for (owner,), own in syncs.partition_by("thread", as_dict=True).items():
        at = np.flatnonzero(thread == owner)
        begun = own.sort("start")
        inside[at] = by_time(times[at], begun["start"].to_numpy(), begun["end"].to_numpy()) >= 0
    return inside


def summed(gaps: pl.DataFrame) -> pl.DataFrame:
    """rank, step, cause, host, ns: all idle time of a kind in one row, which is as much as figures are made of."""
    return gaps.group_by("rank", "step", "cause", "host").agg(pl.sum("ns")).sort("rank", "step", "cause", "host")


def gap_medians(gaps: pl.DataFrame, ledger: pl.DataFrame) -> pl.DataFrame:
    """rank, cause, ns: the median over the steady steps of each cause's idle time a step, largest first."""
    steady = ledger.filter(pl.col("steady")).select("step", "rank")
    summed = gaps.group_by("rank", "step", "cause").agg(pl.sum("ns")).join(steady, on=["step", "rank"], how="semi")
    summed = summed.with_columns(pl.col("cause").cast(pl.String))
    grid = steady.join(summed.select("rank", "cause").unique(), on="rank")
    filled = grid.join(summed, on=["rank", "step", "cause"], how="left").with_columns(pl.col("ns").fill_null(0))
    medians = filled.group_by("rank", "cause").agg(pl.median("ns").round().cast(pl.Int64))
    return medians.sort(["rank", "ns", "cause"], descending=[False, True, False])
