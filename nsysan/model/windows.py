"""Where the steps of one trace begin and end: by NVTX ranges, graph replays, the kernels' period, or one window."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.model.engines import Engine, load_engines
from nsysan.model.found import Found
from nsysan.model.repeats import by_period
from nsysan.model.replays import by_replays
from nsysan.trace.export import Trace

_I64 = npt.NDArray[np.int64]
#: Before any time, and the id of no thread and no process.
_NEVER = -(1 << 62)


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
    return found or by_replays(work) or by_period(work) or _whole(work)


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
    at = inside["at"]
    times = inside.select("rank_key", "range_id", begin=work["begin"].gather(at), end=work["end"].gather(at))
    begins = times.group_by("rank_key", "range_id").agg(begin=pl.min("begin"), last=pl.max("end"))
    windows = begins.join(ranges.select("range_id", label="name"), on="range_id").sort("rank_key", "begin")
    windows = windows.unique(["rank_key", "begin"], keep="first", maintain_order=True)
    windows = windows.with_columns(
        finish=pl.coalesce(pl.col("begin").shift(-1).over("rank_key"), pl.max_horizontal("last", "begin"))
    )
    first = windows.select("rank_key", "range_id", begin="begin")
    membership = inside.with_columns(row=work["row"].gather(at)).join(first, on=["rank_key", "range_id"])
    if engine.decode is not None:
        prefill = [label for label in windows["label"].unique() if not engine.decode.search(label)]
        windows = windows.with_columns(prefill=pl.col("label").is_in(prefill))
    shown = ", ".join(sorted(ranges["template"].unique()))
    return Found(
        "nvtx",
        f"NVTX ranges {shown!r} ({engine.name})",
        windows.drop("range_id", "last"),
        membership.select("row", "rank_key", "begin"),
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
    """at (index in work), rank_key, range_id: the operations launched inside each range, on its thread.

    By any thread of its process, where none was launched on a thread that has ranges.
    """
    time = work["launch_start"].fill_null(_NEVER).to_numpy()
    thread, process = (work[scope].fill_null(_NEVER).to_numpy() for scope in ("thread", "process"))
    found = _open_range(time, thread, ranges, "thread")
    # Each process on its own: an engine may launch from the range's thread in one and from a worker in another.
    others = ~np.isin(process, np.unique(process[found >= 0]))
    found = np.where(others, _open_range(time, np.where(others, process, _NEVER), ranges, "process"), found)
    at = np.flatnonzero(found >= 0)
    return pl.DataFrame(
        {"at": at, "rank_key": work["rank_key"].gather(at), "range_id": found[at]},
        schema={"at": pl.Int64, "rank_key": pl.Int64, "range_id": pl.UInt32},
    )


def _open_range(time: _I64, scope: _I64, ranges: pl.DataFrame, by: str) -> _I64:
    """For each time the id of the last range of its scope (thread or process) begun by then, -1 if it has ended."""
    found = np.full(len(time), -1, dtype=np.int64)
    for (owner,), own in ranges.sort("start").partition_by(by, as_dict=True, maintain_order=True).items():
        at = np.flatnonzero(scope == owner)
        index = np.searchsorted(own["start"].to_numpy(), time[at], side="right") - 1
        inside = (index >= 0) & (time[at] <= own["end"].to_numpy()[np.maximum(index, 0)])
        found[at[inside]] = own["range_id"].to_numpy()[index[inside]]
    return found


def _whole(work: pl.DataFrame) -> Found:
    windows = work.group_by("rank_key").agg(pl.min("begin"), finish=pl.max("end")).with_columns(label=pl.lit("capture"))
    membership = work.select("row", "rank_key").join(windows.select("rank_key", "begin"), on="rank_key")
    note = "no step was found: give a pattern with --steps, or mark steps with NVTX ranges named decode_step_<i>"
    return Found("window", "the whole capture as one window", windows, membership, (note,))
