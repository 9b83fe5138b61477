"""Where the steps of one trace begin and end: by NVTX ranges, graph replays, the kernels' period, or one window.

DEFINITIONS.md, section 4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.columns.threads import each_of
from nsysan.columns.times import by_time
from nsysan.model import classes
from nsysan.model.operations import Operations
from nsysan.model.steps.engines import Engine, load_engines
from nsysan.model.steps.repeats import by_period
from nsysan.model.steps.replays import by_replays
from nsysan.model.steps.step_kind import StepMethod
from nsysan.model.steps.step_windows import WINDOWS, Members, Membership, StepWindows, frame
from nsysan.text import counted
from nsysan.timings import stage
from nsysan.trace.trace import Trace

_I64 = npt.NDArray[np.int64]
#: Before any time, and the id of no thread and no process.
_NEVER = -(1 << 62)


@stage("find steps")
def find_windows(trace: Trace, work: Operations, pattern: str | None = None, *, use_nvtx: bool = True) -> StepWindows:
    """The steps in the operations of one trace, by the first way that finds any.

    pattern is a regular expression for range names; NsysanError if it matches no range that launched GPU work.
    use_nvtx=False leaves all ranges aside.
    """
    if pattern is not None:
        engine = Engine("--steps", _compiled(pattern), None, None, None, "", ())
        found = _by_ranges(*_named(trace), work, engine, least=1)
        if found is None:
            raise NsysanError(_no_match(trace, pattern), ExitCode.NO_STEPS)
    else:
        found = _by_engines(trace, work) if use_nvtx else None
    if found is None:
        return _by_work(trace, work) or _whole(work)
    lacking = _without_steps(work, found)
    other = _by_work(trace, work) if lacking and pattern is None else None
    return found if other is None else _completed(work, found, other, lacking)


def _by_work(trace: Trace, work: Operations) -> StepWindows | None:
    return by_replays(work, trace.synchronise_calls) or by_period(work, trace.synchronise_calls)


def _without_steps(work: Operations, found: StepWindows) -> list[int]:
    """Owners that communicate, but have no step: their ranges may be on other ranks."""
    stepped = set(found.windows["rank_key"].unique())
    talks = {key for key in work.keys if len(work.of_class(classes.COMMUNICATION, key))}
    return sorted(talks - stepped) if talks & stepped else []


def _completed(work: Operations, found: StepWindows, other: StepWindows, lacking: Sequence[int]) -> StepWindows:
    """The steps of ranges, and for ranks without ranges those found another way."""
    both = Membership(work)
    for key in work.keys:
        source = other if key in lacking else found
        windows = source.windows.with_row_index("place").filter(pl.col("rank_key") == key)
        if len(windows):
            member = source.member[slice(*work.rows(key))].astype(np.int64)
            first = int(windows["place"][0])
            both.add(windows.drop("place"), key, np.where(member >= 0, member - first, -1))
    added = sorted(set(other.windows["rank_key"].unique()) & set(lacking))
    if not added:
        return found
    note = f"{counted(len(added), 'rank')} without ranges: steps there by {other.source}"
    return replace(found, windows=both.windows, member=both.member, notes=(*found.notes, note))


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


def _by_engines(trace: Trace, work: Operations) -> StepWindows | None:
    named, names = _named(trace)
    for engine in load_engines():
        found = _by_ranges(named, names, work, engine, least=2)
        if found is not None:
            return found
    return None


def _named(trace: Trace) -> tuple[pl.DataFrame, list[str]]:
    """The ranges that have a name and are not NCCL's, and the names."""
    named = trace.ranges.filter(pl.col("name").is_not_null() & (pl.col("domain").fill_null("") != "NCCL"))
    return named, named["name"].unique().to_list()


def _by_ranges(
    named: pl.DataFrame, names: list[str], work: Operations, engine: Engine, least: int
) -> StepWindows | None:
    """Steps from ranges whose name the engine's pattern finds; None if fewer than `least` on every thread.

    named, names: as _named gives them.
    """
    wanted = [name for name in names if engine.range.search(name)]
    if not wanted:
        return None
    ranges = named.filter(pl.col("name").is_in(wanted))
    ranges = _outermost_repeated(ranges.with_columns(template=template()), least)
    if ranges.is_empty():
        return None
    ranges = ranges.sort("start").with_row_index("range_id")
    inside = _launched_inside(work, ranges)
    begins = pl.concat(each_of(lambda key: _extents(work, key, inside), work.keys, len(work)))
    if begins.is_empty():
        return None
    windows = begins.join(ranges.select("range_id", label="name"), on="range_id").sort("rank_key", "begin", "range_id")
    windows = windows.unique(["rank_key", "begin"], keep="first", maintain_order=True)
    windows = windows.with_columns(
        finish=pl.coalesce(pl.col("begin").shift(-1).over("rank_key"), pl.max_horizontal("last", "begin"))
    )
    bounds = np.searchsorted(windows["rank_key"].to_numpy(), np.arange(len(work.keys) + 1))
    range_ids = windows["range_id"].to_numpy()
    for key in work.keys:
        # A range whose window begins with that of another has none; nor has -1, the last place.
        number = np.full(len(ranges) + 1, -1, dtype=np.int32)
        number[range_ids[bounds[key] : bounds[key + 1]]] = np.arange(bounds[key], bounds[key + 1])
        own = slice(*work.rows(key))
        inside[own] = number[inside[own]]
    labels = windows["label"].unique().to_list()
    kinds = {label: engine.kind_of(label) for label in labels}
    batches = {label: engine.batch_of(label) for label in labels}
    windows = windows.with_columns(
        kind=pl.col("label").replace_strict(kinds, return_dtype=pl.String),
        batch=pl.col("label").replace_strict(batches, return_dtype=pl.Int64),
    )
    shown = ", ".join(sorted(ranges["template"].unique()))
    return StepWindows(
        StepMethod.NVTX,
        f"NVTX ranges {shown!r} ({engine.name})",
        windows.select(*WINDOWS, "kind", "batch"),
        inside,
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


def _extents(work: Operations, key: int, inside: Members) -> pl.DataFrame:
    """rank_key, range_id, begin, last: the first begin and the last end of the operations of each range."""
    own = work.frame(["begin", "end"], key).with_columns(range_id=pl.Series(inside[slice(*work.rows(key))]))
    extents = own.filter(pl.col("range_id") >= 0).group_by("range_id").agg(pl.min("begin"), last=pl.max("end"))
    rank_key = pl.lit(key, dtype=pl.Int64).alias("rank_key")
    return extents.select(rank_key, pl.col("range_id").cast(pl.Int64), "begin", "last")


def _launched_inside(work: Operations, ranges: pl.DataFrame) -> Members:
    """range_id of the range inside which each operation was launched, on its thread; -1 for none.

    By any thread of its process, where none was launched on a thread that has ranges.
    """
    found: Members = np.full(len(work), -1, dtype=np.int32)
    by_thread, by_process = (
        {int(str(owner)): own for (owner,), own in ranges.partition_by(by, as_dict=True, maintain_order=True).items()}
        for by in ("thread", "process")
    )

    def on_threads(key: int) -> None:
        own = found[slice(*work.rows(key))]
        launched = work.frame(["launch_start", "thread"], key).fill_null(_NEVER)
        time, thread = launched["launch_start"].to_numpy(), launched["thread"].to_numpy()
        for one in launched["thread"].unique():
            if one in by_thread:
                at = np.flatnonzero(thread == one)
                own[at] = _open_range(time[at], by_thread[one])

    each_of(on_threads, work.keys, len(work))
    processes = work.owners["process"].to_list()
    # Each process on its own: an engine may launch from the range's thread in one and from a worker in another.
    told = {processes[key] for key in work.keys if (found[slice(*work.rows(key))] >= 0).any()}
    for key in work.keys:
        if processes[key] not in told and processes[key] in by_process:
            time = work.frame(["launch_start"], key)["launch_start"].fill_null(_NEVER).to_numpy()
            found[slice(*work.rows(key))] = _open_range(time, by_process[processes[key]])
    return found


def _open_range(time: _I64, ranges: pl.DataFrame) -> _I64:
    """For each time the id of the last of the ranges, which are by start, begun by then; -1 if it has ended."""
    # A range's last ns is still inside.
    index = by_time(time, ranges["start"].to_numpy(), ranges["end"].to_numpy() + 1)
    return np.where(index >= 0, ranges["range_id"].to_numpy().astype(np.int64)[index], -1)


def _whole(work: Operations) -> StepWindows:
    found = Membership(work)
    for key in work.keys:
        begin, last = work.frame(["begin", "end"], key).select(pl.min("begin"), pl.max("end")).row(0)
        window = frame(key, np.array([begin]), np.array([last]), "capture")
        found.add(window, key, np.zeros(work.rows(key)[1] - work.rows(key)[0], dtype=np.int64))
    note = "no step was found: give a pattern with --steps, or mark steps with NVTX ranges named decode_step_<i>"
    return StepWindows(StepMethod.WINDOW, "the whole capture as one window", found.windows, found.member, (note,))
