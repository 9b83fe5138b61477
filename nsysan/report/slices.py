"""The slices of timelines: what ran when on every rank in a step, the calls that launched it, and NVTX ranges."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
import polars as pl

from nsysan.columns.codes import codes
from nsysan.columns.in_order import changes
from nsysan.columns.intervals import I64
from nsysan.columns.threads import Beside
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.report.in_steps import Axes, WorkInSteps, operations_of, ranges_of, together
from nsysan.report.launch_calls import launch_calls
from nsysan.report.path_in_step import paths_in_steps, within
from nsysan.report.slice_rows import LANE, by_step, call_slices, range_slices, work_slices
from nsysan.report.step_slices import Slices
from nsysan.report.stream_lanes import STREAM, stream_lanes
from nsysan.report.timeline import Timeline, decimated, fair_limit
from nsysan.run.run import Run
from nsysan.timings import stage

#: What the timelines of a page hold together: 8 ranks x 600 steps x 200 operations and their launch calls. A slice is 3
#: to 5 bytes of the page.
MAX_SLICES = 2_000_000
#: About so many of them are made at once: more take longer, each, as memory for them is asked for anew.
_AT_ONCE = 400_000
_NEVER = (1 << 63) - 1


@stage("timelines")
def build_timelines(run: Run, diagnosis: Diagnosis) -> list[Timeline]:
    """The steps worth a look, and then as many others as MAX_SLICES allows, each with the role "".

    Among the steady steps: the median, p99 and slowest, and those with most waiting and most wire. All steps are
    candidates where none is steady. A step that is several of these is shown once.
    """
    roles = {step: " and ".join(names) for step, names in _roles(run, diagnosis).items()}
    # A step has at most one call for each operation; ranges make it more, and room is then used up sooner.
    sizes = dict(run.tally.by_step.group_by("step").agg(2 * pl.sum("operations")).iter_rows())
    first = sum(sizes.get(step, 0) for step in roles)
    waiting = sorted(sizes.keys() - roles.keys())
    batch = _batch(waiting, sizes, min(MAX_SLICES, _AT_ONCE) - first)
    timelines = _timelines(run, diagnosis, roles | dict.fromkeys(batch, ""))
    worth, others = timelines[: len(roles)], timelines[len(roles) :]
    limit = fair_limit([timeline.total for timeline in worth], MAX_SLICES)
    shown = [decimated(timeline, limit) for timeline in worth]
    room = MAX_SLICES - sum(len(timeline.drawn) for timeline in shown)
    while waiting:
        for timeline in others:
            if max(sizes[timeline.step], timeline.total) > room:
                return within(shown)
            shown.append(timeline)
            room -= timeline.total
        waiting = waiting[len(batch) :]
        if waiting and sizes[waiting[0]] > room:
            break
        # Sizes are what steps have at most, and a lot of few would cost as much.
        batch = _batch(waiting, sizes, min(max(room, _AT_ONCE // 4), _AT_ONCE)) or waiting[:1]
        others = _timelines(run, diagnosis, dict.fromkeys(batch, ""))
    return within(shown)


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


def _timelines(run: Run, diagnosis: Diagnosis, roles: dict[int, str]) -> list[Timeline]:
    """The timelines of these steps, in their order, made of all of them at once."""
    steps = list(roles)
    if not steps:
        return []
    windows = run.windows.filter(pl.col("step").is_in(steps)).sort("step", "rank")
    axes = Axes(sorted(steps), sorted(rank.rank for rank in run.ranks))
    work = together(run.ask(operations_of, axes))
    hosts = pl.concat(run.ask(ranges_of, _spans(windows, work, axes)))
    queue, lanes = _stream_lanes(work, axes)
    starts = windows.group_by("step", maintain_order=True).agg(origin=pl.min("begin"))
    origins = dict(starts.iter_rows())
    arrived = _arrivals(diagnosis, lanes, starts)
    drawn = _slices(work, (queue, lanes), hosts, arrived.join(starts, on="step", maintain_order="left"), axes, origins)
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
            drawn[step],
            arrivals.get(step, arrivals[None]),
            len(drawn[step]),
            0,
            tuple((rank, begin - origin, finish - origin) for rank, begin, finish, _ in own[step]),
            paths[step],
        )
        for step, origin in origins.items()
    }
    return [found[step] for step in steps if step in found]


def _stream_lanes(work: WorkInSteps, axes: Axes) -> tuple[I64, pl.DataFrame]:
    """Of each operation the row of a table of step, rank, context, stream and lane, and that."""
    queue, distinct = codes([work.rows["group"], work.rows["queue"]])
    streams = axes.of(distinct["group"].to_numpy()).with_columns(
        *work.queues.select(pl.all().gather(distinct["queue"]))
    )
    return queue, stream_lanes(streams, work.rows.select("begin", "end", queue=pl.Series(queue)))


def _slices(
    work: WorkInSteps,
    lanes: tuple[I64, pl.DataFrame],
    hosts: pl.DataFrame,
    arrived: pl.DataFrame,
    axes: Axes,
    origins: Mapping[int, int],
) -> dict[int, Slices]:
    """The slices of each step; lanes: as _stream_lanes gives them; arrived: Timeline.arrivals, with step and origin."""
    queue, table = lanes
    # Streams may share a lane.
    shared = table.select(LANE).unique(maintain_order=True).with_row_index("lane_row")
    lane = table.join(shared, on=LANE, maintain_order="left")["lane_row"].to_numpy()[queue]
    met = arrived.join(shared, on=LANE).select(
        "name", "collective", lane="lane_row", begin=pl.col("time") + pl.col("origin")
    )
    met = met.unique(["lane", "begin", "name"], keep="first")
    with Beside() as beside:
        ranges = beside.begin(lambda: range_slices(hosts, axes))
        calls = launch_calls(work, len(axes.ranks))
        parts = [work_slices(work, lane, shared, calls, met), call_slices(calls, axes), ranges()]
    return by_step(parts, origins)


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


def _spans(windows: pl.DataFrame, work: WorkInSteps, axes: Axes) -> pl.DataFrame:
    """step, begin, finish: from the first launch of a step's operations, or its begin if that is earlier, to its
    end.
    """
    own = windows.group_by("step", maintain_order=True).agg(pl.min("begin"), pl.max("finish"))
    group, launch = (work.rows[name] for name in ("group", "launch_start"))
    # Those of a group follow one another, but for traces that share ranks.
    runs = np.flatnonzero(changes([group.to_numpy()]))
    first = np.minimum.reduceat(launch.fill_null(_NEVER).to_numpy(), runs) if len(runs) else runs
    launched = axes.of(group.to_numpy()[runs]).with_columns(first=pl.Series(first))
    launched = launched.group_by("step").agg(pl.min("first"))
    return own.join(launched, on="step", how="left", maintain_order="left").select(
        "step", pl.min_horizontal("begin", "first").alias("begin"), "finish"
    )


def _arrivals(diagnosis: Diagnosis, lanes: pl.DataFrame, origins: pl.DataFrame) -> pl.DataFrame:
    arrived = diagnosis.arrived.join(origins, on="step").join(lanes, on=STREAM, nulls_equal=True)
    return arrived.select(
        "step",
        "rank",
        "lateness",
        "name",
        "lane",
        collective="number",
        time=pl.col("begin") - pl.col("origin"),
        last=pl.col("position") == pl.col("ranks"),
    ).sort("step", "rank", "time")
