"""Where the steps of one trace begin and end: by NVTX ranges, graph replays, the kernels' period, or one window."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.model import classes
from nsysan.model.asof import join_nearest
from nsysan.model.engines import Engine, load_engines
from nsysan.model.period import find_repetition
from nsysan.trace.export import Trace

WINDOWS = {"rank_key": pl.Int64(), "begin": pl.Int64(), "finish": pl.Int64(), "label": pl.String()}
_I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """What one way of finding steps came up with, rank by rank.

    windows: the columns of WINDOWS, and prefill where ranges tell. membership: row, rank_key and begin (of its
    window) of each operation in a step. method: nvtx, graph, period or window; source: the same for people.
    """

    method: str
    source: str
    windows: pl.DataFrame
    membership: pl.DataFrame
    notes: tuple[str, ...] = ()


def find_windows(trace: Trace, work: pl.DataFrame, pattern: str | None = None, *, use_nvtx: bool = True) -> Found:
    """The steps in `work` (operations of one trace, with rank_key), by the first way that finds any.

    pattern is a regular expression for range names; NsysanError if it matches no range that launched GPU work.
    use_nvtx=False leaves all ranges aside.
    """
    if pattern is not None:
        found = _by_ranges(trace, work, Engine("--steps", _compiled(pattern), None, "", ()), least=1)
        if found is None:
            raise NsysanError(_no_match(trace, pattern), ExitCode.NO_STEPS)
    else:
        found = _by_engines(trace, work) if use_nvtx else None
    return found or _by_replays(work) or _by_period(work) or _whole(work)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise NsysanError(f"--steps {pattern!r} is not a regular expression: {error}", ExitCode.NO_STEPS) from error


def _no_match(trace: Trace, pattern: str) -> str:
    candidates = range_templates(trace).head(5)["template"].to_list()
    there = ", ".join(repr(name) for name in candidates) or "none outside NCCL"
    return f"{trace.path}: no NVTX range that launched GPU work matches --steps {pattern!r}; ranges there: {there}"


def template() -> pl.Expr:
    """A range's name with its numbers taken out, so that the ranges of all steps share one."""
    return pl.col("name").str.replace_all(r"\d+", "#")


def range_templates(trace: Trace) -> pl.DataFrame:
    """Names of the workload's NVTX ranges, numbers taken out: template, count, threads; most frequent first."""
    return (
        trace.ranges.filter(pl.col("domain").is_null() & pl.col("name").is_not_null())
        .group_by(template=template())
        .agg(count=pl.len(), threads=pl.n_unique("thread"))
        .sort(["count", "template"], descending=[True, False])
    )


# ---- NVTX


def _by_engines(trace: Trace, work: pl.DataFrame) -> Found | None:
    for engine in load_engines():
        found = _by_ranges(trace, work, engine, least=2)
        if found is not None:
            return found
    return None


def _by_ranges(trace: Trace, work: pl.DataFrame, engine: Engine, least: int) -> Found | None:
    """Steps from ranges whose name the engine's pattern finds; None if fewer than `least` on every thread."""
    named = trace.ranges.filter(pl.col("name").is_not_null() & (pl.col("domain").fill_null("") != "NCCL"))
    names = named["name"].unique().to_list()
    ranges = named.filter(pl.col("name").is_in([name for name in names if engine.range.search(name)]))
    ranges = _outermost_repeated(ranges.with_columns(template=template()), least)
    if ranges.is_empty():
        return None
    ranges = ranges.sort("start").with_row_index("range_id")
    inside = _launched_inside(work, ranges)
    if inside.is_empty():
        return None
    begins = inside.group_by("rank_key", "range_id").agg(begin=pl.min("begin"), last=pl.max("end"))
    windows = begins.join(ranges.select("range_id", label="name"), on="range_id").sort("rank_key", "begin")
    windows = windows.unique(["rank_key", "begin"], keep="first", maintain_order=True)
    windows = windows.with_columns(
        finish=pl.coalesce(pl.col("begin").shift(-1).over("rank_key"), pl.max_horizontal("last", "begin"))
    )
    membership = inside.join(windows.select("rank_key", "range_id", first="begin"), on=["rank_key", "range_id"])
    if engine.decode is not None:
        prefill = [label for label in windows["label"].unique() if not engine.decode.search(label)]
        windows = windows.with_columns(prefill=pl.col("label").is_in(prefill))
    shown = ", ".join(sorted(ranges["template"].unique()))
    return Found(
        "nvtx",
        f"NVTX ranges {shown!r} ({engine.name})",
        windows.drop("range_id", "last"),
        membership.select("row", "rank_key", begin="first"),
    )


def _outermost_repeated(ranges: pl.DataFrame, least: int) -> pl.DataFrame:
    """Of ranges that nest, those of the outermost name that occurs at least `least` times on a thread.

    A `decode` round the whole loop is no step, and an `decode_attention` inside each step is none either.
    """
    counts = ranges.group_by("thread", "template").agg(n=pl.len())
    repeated = counts.filter(pl.col("n") >= least)
    ranges = ranges.join(repeated, on=["thread", "template"], how="semi")
    # Sorted by start, a range is inside an earlier one if that one ends no sooner. Start/end ranges may also
    # overlap without nesting, as those of consecutive steps do.
    ranges = ranges.sort("thread", "start", "end", descending=[False, False, True])
    outer_end = pl.col("end").cum_max().shift(1).over("thread")
    return ranges.filter((pl.col("end") > outer_end).fill_null(True))


def _launched_inside(work: pl.DataFrame, ranges: pl.DataFrame) -> pl.DataFrame:
    """The operations launched inside each range, on its thread; by any thread of its process if there is none."""
    launched = work.filter(pl.col("launch_start").is_not_null())
    by_thread = _launched_while_open(launched, ranges, "thread")
    # Each process on its own: an engine may launch from the range's thread in one and from a worker in another.
    others = launched.join(by_thread, on="process", how="anti")
    return pl.concat([by_thread, _launched_while_open(others, ranges, "process").select(by_thread.columns)])


def _launched_while_open(launched: pl.DataFrame, ranges: pl.DataFrame, scope: str) -> pl.DataFrame:
    opened = ranges.select(scope, "range_id", opened="start", closed="end")
    candidates = join_nearest(launched, opened, left_on="launch_start", right_on="opened", by=scope)
    return candidates.filter(pl.col("launch_start") <= pl.col("closed"))


# ---- CUDA graph replays


def _by_replays(work: pl.DataFrame) -> Found | None:
    """Steps from CUDA graph replays: one each, or as many as a piecewise capture has pieces."""
    replayed = work.filter(pl.col("graph_node").is_not_null() | (pl.col("cls") == classes.OPAQUE))
    replays = (
        replayed.with_columns(graph_id=pl.coalesce("graph", pl.col("graph_node") // (1 << 32)))
        .group_by("rank_key", "correlation")
        .agg(pl.min("begin"), pl.max("end"), pl.first("graph_id"))
        .sort("rank_key", "begin")
    )
    parts, members, pieces = [], [], set()
    for (rank_key,), group in replays.partition_by("rank_key", as_dict=True, maintain_order=True).items():
        own = work.filter(pl.col("rank_key") == rank_key)
        starts, ends, per_step = _replay_steps(group, own)
        pieces.add(per_step)
        if len(starts) >= 2:
            parts.append(_frame(rank_key, starts, ends, "replay"))
            members.append(_members_by_time(own, rank_key, starts, ends))
    if not parts:
        return None
    many = f"{max(pieces)} CUDA graph replays a step (piecewise graphs)" if max(pieces) > 1 else "CUDA graph replays"
    left_out = len(replays) - sum(len(p) for p in parts) * max(pieces)
    notes = (f"{left_out} graph replays stand apart from the decode loop and are no steps",) if left_out > 0 else ()
    return Found("graph", many, pl.concat(parts), pl.concat(members), notes)


def _replay_steps(replays: pl.DataFrame, work: pl.DataFrame) -> tuple[_I64, _I64, int]:
    """begin and finish of each step of one rank, and how many replays make a step.

    Between two replays of a decode loop runs the same work each time (sampling, or nothing). A replay that
    other work sets apart, such as a warm-up before a barrier, is no step of the loop.
    """
    per_step, first = _pieces(replays["graph_id"].fill_null(-1).to_numpy())
    begins = replays["begin"].to_numpy()[first:]
    last_ends = replays["end"].cum_max().to_numpy()[first:]
    whole = len(begins) // per_step * per_step
    starts = begins[:whole:per_step]
    ends = last_ends[per_step - 1 : whole : per_step]
    if len(starts) < 2:
        return starts[:0], ends[:0], per_step
    outside = work.filter(pl.col("graph_node").is_null() & (pl.col("cls") != classes.OPAQUE))
    loop = _in_loop(outside, starts, ends)
    finish = np.concatenate((np.where(loop[1:-1], starts[1:], ends[:-1]), ends[-1:]))
    in_run = loop[:-1] | loop[1:]
    return starts[in_run], finish[in_run], per_step


def _pieces(graphs: _I64) -> tuple[int, int]:
    """Replays per step and index of the first whole step, from the sequence of graph ids."""
    repetition = find_repetition(graphs)
    if repetition is None or repetition.length == 1:
        return 1, 0
    block = graphs[repetition.first : repetition.first + repetition.length]
    if len(np.unique(block)) < len(block):
        return 1, 0  # one whole graph per batch size, taken in turn
    return repetition.length, repetition.first


def _in_loop(outside: pl.DataFrame, starts: _I64, ends: _I64) -> npt.NDArray[np.bool_]:
    """For each gap before, between and after the replays: whether two steps of one loop meet there.

    They do where the work in the gap is the same as in another gap. The first and last entry are False.
    """
    begun = outside["begin"].to_numpy()
    gap = np.searchsorted(starts, begun, side="right")  # gap i lies before replay i
    inside = (gap > 0) & (begun < ends[np.maximum(gap, 1) - 1])
    between = outside.with_columns(gap=pl.Series(gap)).filter(pl.Series(~inside))
    counts = between.group_by("gap", "name").agg(n=pl.len()).sort("gap", "name")
    signatures = dict(counts.group_by("gap").agg(s=pl.struct("name", "n").hash().sum()).iter_rows())
    signature = [signatures.get(i, 0) for i in range(1, len(starts))]
    frequency = pl.Series(signature, dtype=pl.UInt64).to_frame("s").select(pl.len().over("s")).to_series().to_numpy()
    # With only two replays nothing repeats; an empty gap is a loop all the same.
    meets = (frequency >= 2) | (np.array(signature) == 0)
    return np.concatenate(([False], np.asarray(meets, dtype=np.bool_), [False]))


# ---- the period of the kernel sequence


def _by_period(work: pl.DataFrame) -> Found | None:
    """Steps from the repeating sequence of kernels on each rank's busiest stream."""
    kernels = work.filter(pl.col("type") == "kernel").sort("rank_key", "begin")
    parts, members = [], []
    for (rank_key,), group in kernels.partition_by("rank_key", as_dict=True, maintain_order=True).items():
        busiest = group.group_by("context", "stream").agg(n=pl.len()).sort("n", "stream", descending=[True, False])
        main = group.join(busiest.head(1), on=["context", "stream"], how="semi", maintain_order="left")
        starts, ends = _period_steps(main)
        if len(starts) >= 2:
            own = work.filter(pl.col("rank_key") == rank_key)
            parts.append(_frame(rank_key, starts, ends, "period"))
            members.append(_members_by_time(own, rank_key, starts, ends))
    if not parts:
        return None
    return Found("period", "the repeating sequence of kernels", pl.concat(parts), pl.concat(members))


def _period_steps(main: pl.DataFrame) -> tuple[_I64, _I64]:
    """begin and finish of each repetition on one stream, begun where the stream most often runs dry."""
    begins, ends = main["begin"].to_numpy(), main["end"].to_numpy()
    symbols = main["name"].rank("dense").cast(pl.Int64).to_numpy()
    repetition = find_repetition(symbols)
    if repetition is None:
        return begins[:0], ends[:0]
    first, length, count = repetition.first, repetition.length, repetition.count
    dry = np.zeros(len(begins), dtype=np.int64)
    dry[1:] = begins[1:] - ends[:-1]
    gaps = np.median(dry[first : first + length * count].reshape(count, length)[1:], axis=0)
    phase = int(np.argmax(gaps))
    pattern = symbols[first + phase : first + phase + length]
    heads = _occurrences(symbols, pattern)
    tails = heads + length - 1
    finish = ends[tails]
    follows = np.flatnonzero(heads[1:] == tails[:-1] + 1)
    finish[follows] = begins[heads[follows + 1]]
    return begins[heads], finish


def _occurrences(symbols: _I64, pattern: _I64) -> _I64:
    """Indices where the whole pattern occurs."""
    values, counts = np.unique(pattern, return_counts=True)
    anchor = int(np.flatnonzero(pattern == values[np.argmin(counts)])[0])
    heads = np.flatnonzero(symbols == pattern[anchor]) - anchor
    heads = heads[(heads >= 0) & (heads + len(pattern) <= len(symbols))]
    windows = np.lib.stride_tricks.sliding_window_view(symbols, len(pattern))
    heads = heads[np.asarray((windows[heads] == pattern).all(axis=1), dtype=np.bool_)]
    apart = np.diff(heads, prepend=-len(pattern)) >= len(pattern)
    return np.asarray(heads[apart], dtype=np.int64)


def _whole(work: pl.DataFrame) -> Found:
    windows = work.group_by("rank_key").agg(pl.min("begin"), finish=pl.max("end")).with_columns(label=pl.lit("capture"))
    membership = work.select("row", "rank_key").join(windows.select("rank_key", "begin"), on="rank_key")
    note = "no step was found: give a pattern with --steps, or mark steps with NVTX ranges named decode_step_<i>"
    return Found("window", "the whole capture as one window", windows, membership, (note,))


def _frame(rank_key: object, starts: _I64, ends: _I64, label: str) -> pl.DataFrame:
    columns = {"rank_key": np.full(len(starts), rank_key), "begin": starts, "finish": ends}
    return pl.DataFrame(columns).with_columns(label=pl.lit(label)).cast(pl.Schema(WINDOWS))


def _members_by_time(work: pl.DataFrame, rank_key: object, starts: _I64, ends: _I64) -> pl.DataFrame:
    """The operations that begin inside the windows of one rank."""
    begun = work["begin"].to_numpy()
    window = np.searchsorted(starts, begun, side="right") - 1
    inside = (window >= 0) & (begun < ends[np.maximum(window, 0)])
    return pl.DataFrame(
        {
            "row": work["row"].to_numpy()[inside],
            "rank_key": np.full(int(inside.sum()), rank_key),
            "begin": starts[window[inside]],
        },
        schema={"row": work.schema["row"], "rank_key": pl.Int64(), "begin": pl.Int64()},
    )
