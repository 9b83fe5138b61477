"""Every idle interval of a rank and step, and its one cause."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.threads import each_of

BETWEEN_STEPS = "between_steps"
HOST_LATE = "host_late"
LAUNCH = "launch"
GRAPH = "graph"
DEPENDENCY = "dependency"
SYNC = "sync"
UNKNOWN = "unknown"

#: Causes in words for people.
MEANING = {
    BETWEEN_STEPS: "between the last work of a step and the first of the next",
    HOST_LATE: "the launch call of the next operation began after the GPU had run dry",
    LAUNCH: "launched in time, on the stream that ran last, and started late all the same",
    GRAPH: "between two nodes of one graph replay",
    DEPENDENCY: "launched in time, but waited for work on another stream",
    SYNC: "the host was waiting in a synchronise call when the GPU ran dry",
    UNKNOWN: "the operation after it has no recorded launch call, or one on a clock that disagrees",
}

_SCHEMA = {
    "rank": pl.Int64(),
    "step": pl.Int64(),
    "begin": pl.Int64(),
    "ns": pl.Int64(),
    "cause": pl.Enum(tuple(MEANING)),
    "host": pl.Boolean(),
    "row": pl.UInt32(),
}
#: Columns of the operations that gaps are found by.
OF_GAPS = (
    "rank",
    "row",
    "begin",
    "end",
    "stream",
    "context",
    "correlation",
    "graph_node",
    "launch_start",
    "thread",
)
_I64 = npt.NDArray[np.int64]


def find_gaps(work: pl.DataFrame, windows: pl.DataFrame, syncs: pl.DataFrame) -> pl.DataFrame:
    """All idle intervals inside the steps: rank, step, begin, ns, cause, host, row (of the operation that ends it).

    host: whether that operation's launch call began after the GPU ran dry, whatever the cause is called; null
    where there is no launch call.

    work: rank, row, begin, end, stream, context, correlation, graph_node, launch_start, thread. windows: step,
    rank, begin, finish. syncs: thread, start, end of the host's synchronise calls, on the same clock.
    Their sum per step and rank is the ledger's idle line.
    """
    work = work.select(OF_GAPS)

    def of_rank(own: pl.DataFrame) -> pl.DataFrame:
        rank = own["rank"][0]
        ordered = by_begin(work.filter(pl.col("rank") == rank))
        gaps = _rank_gaps(ordered, own, syncs).with_columns(rank=pl.lit(rank, dtype=pl.Int64))
        return gaps.select(list(_SCHEMA))

    parts = each_of(of_rank, windows.sort("rank", "begin").partition_by("rank", maintain_order=True))
    return pl.concat(parts) if parts else pl.DataFrame(schema=_SCHEMA)


def by_begin(work: pl.DataFrame) -> pl.DataFrame:
    """Operations by begin, end and row, in which order they mostly are."""
    begin, end, row = (work[name].to_numpy() for name in ("begin", "end", "row"))
    same = begin[1:] == begin[:-1]
    same_end = same & (end[1:] == end[:-1])
    later = (begin[1:] > begin[:-1]) | same & (end[1:] > end[:-1]) | same_end & (row[1:] > row[:-1])
    return work if later.all() else work[np.lexsort((row, end, begin))]


def _rank_gaps(work: pl.DataFrame, windows: pl.DataFrame, syncs: pl.DataFrame) -> pl.DataFrame:
    begins, ends = work["begin"].to_numpy(), work["end"].to_numpy()
    reach = np.maximum.accumulate(ends)
    # The operation that was the last to run before index i: the one that set the reach.
    setter = np.maximum.accumulate(np.where(ends == reach, np.arange(len(ends)), 0))
    following = np.flatnonzero(begins[1:] > reach[:-1]) + 1
    dry = reach[following - 1]
    before = setter[following - 1]
    starts, finishes = windows["begin"].to_numpy(), windows["finish"].to_numpy()
    window = np.searchsorted(starts, dry, side="right") - 1
    inside = (window >= 0) & (dry < finishes[np.maximum(window, 0)])
    following, dry, before, window = following[inside], dry[inside], before[inside], window[inside]
    until = np.minimum(begins[following], finishes[window])
    leaves_step = begins[following] >= finishes[window]
    after = work[following].select("row", "stream", "context", "correlation", "graph_node", "launch_start", "thread")
    last = work[before].select("stream", "context", "correlation", "graph_node")
    gaps = after.with_columns(
        pl.Series("step", windows["step"].to_numpy()[window]),
        pl.Series("begin", dry),
        pl.Series("ns", until - dry),
        pl.Series("leaves_step", leaves_step),
        *(last[name].alias(f"last_{name}") for name in last.columns),
    ).with_columns(in_sync=_in_sync(after["thread"], pl.Series(dry), syncs))
    # As texts they would take more memory than all the rest.
    named = {name: pl.lit(name, dtype=_SCHEMA["cause"]) for name in MEANING}
    replay = pl.col("graph_node").is_not_null() & pl.col("last_graph_node").is_not_null()
    same_stream = (pl.col("stream") == pl.col("last_stream")) & pl.col("context").eq_missing(pl.col("last_context"))
    cause = (
        pl.when("leaves_step")
        .then(named[BETWEEN_STEPS])
        .when(replay & (pl.col("correlation") == pl.col("last_correlation")))
        .then(named[GRAPH])
        .when(pl.col("launch_start").is_null())
        .then(named[UNKNOWN])
        .when((pl.col("launch_start") >= pl.col("begin")) & pl.col("in_sync"))
        .then(named[SYNC])
        .when(pl.col("launch_start") >= pl.col("begin"))
        .then(named[HOST_LATE])
        .when(~same_stream)
        .then(named[DEPENDENCY])
        .otherwise(named[LAUNCH])
    )
    return gaps.with_columns(cause=cause, host=pl.col("launch_start") >= pl.col("begin"))


def _in_sync(threads: pl.Series, times: pl.Series, syncs: pl.DataFrame) -> pl.Series:
    """Whether the thread was inside a synchronise call at that time (calls of one thread do not overlap)."""
    points = pl.DataFrame({"thread": threads, "time": times}).with_row_index("i").sort("time")
    found = points.join_asof(
        syncs.select("thread", "start", until="end").sort("start"),
        left_on="time",
        right_on="start",
        by="thread",
        strategy="backward",
        check_sortedness=False,
    )
    inside = (found["until"] > found["time"]).fill_null(False)
    return found.with_columns(inside=inside).sort("i")["inside"]


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
