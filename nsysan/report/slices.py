"""The slices of timelines: what ran when on every rank in a step, the calls that launched it, and NVTX ranges."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
import polars as pl

from nsysan.columns.in_order import changes, in_order
from nsysan.columns.rows import filled
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.replay.told_waits import NO_WAITS
from nsysan.report.in_steps import Axes
from nsysan.report.path_in_step import paths_in_steps, within
from nsysan.report.recorded import Track, recorded_of
from nsysan.report.recorded_ranges import in_groups
from nsysan.report.recorded_steps import RecordedStep, RecordedSteps
from nsysan.report.recorded_waits import hosts_of, threads_of, with_whom
from nsysan.report.stream_lanes import STREAM, stream_lanes
from nsysan.report.timeline import Timeline, decimated, fair_limit
from nsysan.run.run import Run
from nsysan.timings import stage

#: What the timelines of a page hold together: 8 ranks x 600 steps x 200 operations and their launch calls. A slice is 2
#: to 4 bytes of the page.
MAX_SLICES = 2_000_000
#: For less of that than this share no further steps are recorded.
_REST = 8
_NEVER = (1 << 63) - 1
#: Of an arrival, which it is of how many.
_ORDER = ("position", "ranks")


@stage("timelines")
def build_timelines(run: Run, diagnosis: Diagnosis) -> list[Timeline]:
    """The steps worth a look, and then as many others as MAX_SLICES allows, each with the role "".

    Among the steady steps: the median, p99 and slowest, and those with most waiting and most wire. All steps are
    candidates where none is steady. A step that is several of these is shown once.
    """
    roles = {step: " and ".join(names) for step, names in _roles(run, diagnosis).items()}
    # A step has at most one call for each operation; ranges make it more, and room is then used up sooner.
    operations = dict(run.tally.by_step.group_by("step").agg(pl.sum("operations")).iter_rows())
    sizes = {step: 2 * count for step, count in operations.items()}
    first = sum(sizes.get(step, 0) for step in roles)
    waiting = sorted(sizes.keys() - roles.keys())
    batch = _batch(waiting, sizes, MAX_SLICES - first)
    timelines = _timelines(run, diagnosis, roles | dict.fromkeys(batch, ""), operations)
    worth, others = timelines[: len(roles)], timelines[len(roles) :]
    shown = _within(worth, MAX_SLICES)
    room = MAX_SLICES - sum(len(one.drawn) if one.merged else one.total for one in shown)
    while others:
        for timeline in others:
            if timeline.total > room:
                return within(shown)
            shown.append(timeline)
            room -= timeline.total
        # Sizes are what steps have at most.
        waiting = waiting[len(batch) :]
        batch = _batch(waiting, sizes, room) if room > MAX_SLICES // _REST else []
        others = _timelines(run, diagnosis, dict.fromkeys(batch, ""), operations)
    return within(shown)


def _within(timelines: list[Timeline], room: int) -> list[Timeline]:
    """With no more slices than that, each with as many as the others leave it."""
    if sum(timeline.total for timeline in timelines) <= room:
        return timelines
    whole = [replace(timeline, held=timeline.drawn, total=len(timeline.drawn)) for timeline in timelines]
    limit = fair_limit([timeline.total for timeline in whole], room)
    return [decimated(timeline, limit) for timeline in whole]


def _batch(steps: Sequence[int], sizes: Mapping[int, int], room: int) -> Sequence[int]:
    """The first of these steps, as many as have no more than `room` slices together."""
    return steps[: bisect_right(list(accumulate(sizes[step] for step in steps)), room)]


def _roles(run: Run, diagnosis: Diagnosis) -> dict[int, list[str]]:
    candidates = run.steady_steps or run.windows["step"].unique().sort().to_list()
    periods = (
        run.windows.filter(pl.col("step").is_in(candidates))
        .group_by("step")
        .agg(period=(pl.col("finish") - pl.col("begin")).median())
        .sort("period", "step")
    )
    count = len(periods)
    roles: dict[int, list[str]] = {}
    roles.setdefault(int(periods["step"][(count - 1) // 2]), []).append("median")
    if count > 1:
        # By nearest rank, which of fewer than 100 steps is the slowest.
        roles.setdefault(int(periods["step"][-(-99 * count // 100) - 1]), []).append("p99")
        roles.setdefault(int(periods["step"][-1]), []).append("slowest")
    if diagnosis.spreads:
        waits = max(diagnosis.spreads, key=lambda spread: spread.wait["max"])
        wires = max(diagnosis.spreads, key=lambda spread: spread.wire["max"])
        roles.setdefault(waits.worst_wait_step, []).append("most waiting")
        roles.setdefault(wires.worst_wire_step, []).append("most wire")
    return roles


def _timelines(run: Run, diagnosis: Diagnosis, roles: dict[int, str], sizes: Mapping[int, int]) -> list[Timeline]:
    """The timelines of these steps, in their order, recorded all at once; sizes: operations of steps."""
    steps = list(roles)
    if not steps:
        return []
    windows = run.windows.filter(pl.col("step").is_in(steps)).sort("step", "rank")
    axes = Axes(sorted(steps), sorted(rank.rank for rank in run.ranks))
    starts = windows.group_by("step", maintain_order=True).agg(origin=pl.min("begin"), finish=pl.max("finish"))
    tracks = sorted((track for own in run.ask(recorded_of, axes) for track in own), key=lambda track: track.rank)
    hosts = run.ask(hosts_of, axes, _spans(starts, tracks), threads_of(tracks))
    ranges = in_groups([ranges for ranges, _ in hosts])
    told = NO_WAITS if diagnosis.pace is None else diagnosis.pace.waits
    waits = with_whom(pl.concat([waits for _, waits in hosts]), told)
    lanes = stream_lanes(tracks)
    arrived = _arrivals(diagnosis, axes, lanes, starts)
    origins = dict(starts.select("step", "origin").iter_rows())
    calls = diagnosis.arrived.filter(pl.col("step").is_in(axes.steps)).select("row", "step", "number").sort("row")
    recorded = RecordedSteps(axes, tracks, ranges, waits, lanes, arrived, calls, origins)
    counts = _counts(recorded, sizes)
    arrivals = _by_step(arrived)
    paths = paths_in_steps(diagnosis, origins, lanes)
    own: dict[int, list[tuple[int, int, int, str]]] = {step: [] for step in origins}
    for step, *window in windows.select("step", "rank", "begin", "finish", "label").iter_rows():
        own[step].append(tuple(window))
    found = {
        step: Timeline(
            step,
            str(own[step][0][3]),
            roles[step],
            origin,
            max(finish for _, _, finish, _ in own[step]),
            RecordedStep(recorded, step, counts[step]),
            arrivals.get(step, arrivals[None]),
            counts[step],
            0,
            tuple((rank, begin - origin, finish - origin) for rank, begin, finish, _ in own[step]),
            paths[step],
        )
        for step, origin in origins.items()
    }
    return [found[step] for step in steps if step in found]


def _by_step(frame: pl.DataFrame) -> dict[int | None, pl.DataFrame]:
    """The rows of each step without its number, and those of none, None's; frame: by step."""
    lengths = frame.select(pl.col("step").rle()).unnest("step")
    bare = frame.drop("step")
    parts: dict[int | None, pl.DataFrame] = {None: bare.clear()}
    at = 0
    for count, step in lengths.iter_rows():
        parts[step] = bare.slice(at, count)
        at += count
    return parts


def _spans(starts: pl.DataFrame, tracks: Sequence[Track]) -> pl.DataFrame:
    """step, begin, finish: from the first launch of a step's operations, or its begin if that is earlier, to its
    end; starts: step, origin, finish.
    """
    parts = [pl.DataFrame(schema={"step": pl.Int64, "first": pl.Int64})]
    for track in tracks:
        own = track.windows.filter(pl.col("count") > 0)
        launched = np.append(filled(track.rows["launch_start"], _NEVER).to_numpy(), _NEVER)
        first, count = (own[name].to_numpy() for name in ("first", "count"))
        bounds = np.stack([first, first + count], axis=1).ravel()
        least = np.minimum.reduceat(launched, bounds)[::2] if len(own) else launched[:0]
        parts.append(own.select("step", first=pl.Series(least, dtype=pl.Int64)))
    calls = pl.concat(parts).group_by("step").agg(pl.min("first"))
    return starts.join(calls, on="step", how="left", maintain_order="left").select(
        "step", pl.min_horizontal("origin", "first").alias("begin"), "finish"
    )


def _counts(recorded: RecordedSteps, sizes: Mapping[int, int]) -> dict[int, int]:
    """About as many slices as each step has: operations, launch calls and ranges."""
    steps = recorded.axes.steps
    calls = np.zeros(len(steps), dtype=np.int64)
    for track in recorded.tracks:
        fresh = np.cumsum(np.append(0, changes([filled(track.rows["launch_start"], -1).to_numpy()])))
        first, count = (track.windows[name].to_numpy() for name in ("first", "count"))
        np.add.at(calls, np.searchsorted(steps, track.windows["step"].to_numpy()), fresh[first + count] - fresh[first])
    hosts = pl.concat([rows["group"] for rows in (recorded.ranges, recorded.waits)])
    ranges = np.bincount(hosts.to_numpy() // len(recorded.axes.ranks), minlength=len(steps))
    return {
        step: sizes.get(step, 0) + min(int(own), sizes.get(step, 0)) + int(more)
        for step, own, more in zip(steps, calls, ranges, strict=True)
    }


def _arrivals(diagnosis: Diagnosis, axes: Axes, lanes: pl.DataFrame, origins: pl.DataFrame) -> pl.DataFrame:
    told = diagnosis.arrived.select("step", "rank", "context", "stream", "begin", "lateness", "name", "number", *_ORDER)
    arrived = told.join(origins.select("step", "origin"), on="step").join(lanes, on=STREAM, nulls_equal=True)
    arrived = arrived.select(
        "step",
        "rank",
        "lateness",
        "name",
        "lane",
        collective="number",
        time=pl.col("begin") - pl.col("origin"),
        last=pl.col("position") == pl.col("ranks"),
    )
    order, _ = in_order(axes.groups(arrived), arrived["time"].to_numpy())
    return arrived[pl.Series(order)]
