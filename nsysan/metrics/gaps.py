"""Every idle interval of a rank and step, and its one cause (DEFINITIONS.md, section 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.rows import filled, taken
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
#: Those of them that tell of the operation before.
_OF_LAST = ("stream", "context", "correlation", "graph_node")
_CAUSES = list(GapCause)
#: Some columns of the operations in some rows.
Around = Callable[[_I64, Sequence[str]], pl.DataFrame]
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
        gaps = pl.concat(rank_gaps(ops.select(TIMES), lambda at, names: ops[at].select(names), own, syncs, waits))
        return gaps.with_columns(rank=pl.lit(rank, dtype=pl.Int64)).select(list(_SCHEMA))

    parts = each_of(of_rank, windows.sort("rank", "begin").partition_by("rank", maintain_order=True), len(work))
    return pl.concat(parts) if parts else pl.DataFrame(schema=_SCHEMA)


def rank_gaps(
    times: pl.DataFrame,
    around: Around,
    windows: pl.DataFrame,
    syncs: pl.DataFrame,
    waits: Waits | None = None,
) -> Iterator[pl.DataFrame]:
    """find_gaps of one rank, without its number, some at a time: their operations need not all be there at once.

    times: TIMES of its operations. around: some of AROUND_GAPS of those in these rows of `times`. windows: by begin.
    waits: of a pipeline, stages.StageWork.wanting of the rank.
    """
    syncs = syncs.sort("thread", "start")
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
    around: Around,
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
    after, last = around(following[inside], AROUND_GAPS), around(before[inside], _OF_LAST)
    leaves = begun >= finishes[window]
    launched, launch = _known(after["launch_start"])
    late = launched & (launch >= dry)
    in_sync = _in_sync(after["thread"], dry, syncs) & late
    of_stage = waits(dry, begun, after["row"].to_numpy())
    in_replay, untold = _in_replay(after, last)
    # From the last to the first: each takes what those before it here have.
    cause = np.full(len(dry), _CAUSES.index(GapCause.LAUNCH), dtype=np.uint8)
    for name, where in (
        (GapCause.DEPENDENCY, _elsewhere(after, last)),
        (GapCause.HOST_LATE, late),
        (GapCause.SYNC, in_sync),
        (GapCause.UNKNOWN, ~launched),
        (GapCause.GRAPH, in_replay),
        (GapCause.BETWEEN_STEPS, leaves),
        # What was launched in time waits for this GPU, and so does the next node of a replay.
        (GapCause.STAGE, of_stage & (leaves | ~(in_replay | untold | (launched & ~late)))),
    ):
        cause[where] = _CAUSES.index(name)
    return pl.DataFrame(
        {
            "step": windows["step"].to_numpy()[window],
            "begin": dry,
            "ns": np.minimum(begun, finishes[window]) - dry,
            "row": after["row"],
        }
    ).with_columns(
        taken(pl.Series("cause", _CAUSES, dtype=_SCHEMA["cause"]), pl.Series(cause)),
        pl.Series("host", late).to_frame().select(pl.when(pl.Series(launched)).then("host")).to_series(),
    )


def _known(values: pl.Series) -> tuple[npt.NDArray[np.bool_], _I64]:
    """Which numbers are told, and the numbers, 0 where they are not."""
    if not values.null_count():
        return np.ones(len(values), dtype=np.bool_), values.to_numpy()
    if values.null_count() == len(values):
        return np.zeros(len(values), dtype=np.bool_), np.zeros(len(values), dtype=np.int64)
    return values.is_not_null().to_numpy(), filled(values, 0).to_numpy()


def _in_replay(after: pl.DataFrame, last: pl.DataFrame) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether two operations are nodes of one replay; and whether they may be, as nothing tells of which they are."""
    nodes = np.zeros(len(after), dtype=np.bool_)
    if after["graph_node"].null_count() == len(after):
        return nodes, nodes
    nodes = (after["graph_node"].is_not_null() & last["graph_node"].is_not_null()).to_numpy()
    (told, one), (last_told, other) = _known(after["correlation"]), _known(last["correlation"])
    known = told & last_told
    return nodes & known & (one == other), nodes & ~known


def _elsewhere(after: pl.DataFrame, last: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether two operations are of different streams, as far as streams are told."""
    (told, stream), (last_told, last_stream) = _known(after["stream"]), _known(last["stream"])
    (in_one, context), (in_other, last_context) = _known(after["context"]), _known(last["context"])
    elsewhere = told & last_told & (stream != last_stream)
    return np.asarray((in_one != in_other) | (context != last_context) | elsewhere)


def _for_none(dry: _I64, *_: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """No idle interval is for want of a stage where there is one."""
    return np.zeros(len(dry), dtype=np.bool_)


def _in_sync(threads: pl.Series, times: _I64, syncs: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether the thread was inside a synchronise call at that time (calls of one thread do not overlap).

    syncs: by thread and start.
    """
    thread = filled(threads, _NO_THREAD).to_numpy()
    inside = np.zeros(len(times), dtype=np.bool_)
    owners, starts, ends = (syncs[name].to_numpy() for name in ("thread", "start", "end"))
    for owner in np.unique(thread):
        own = slice(*np.searchsorted(owners, (owner, owner + 1)))
        at = np.flatnonzero(thread == owner)
        if own.start < own.stop:
            inside[at] = by_time(times[at], starts[own], ends[own]) >= 0
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
