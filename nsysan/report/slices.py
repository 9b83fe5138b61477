"""The slices of timelines: what ran when on every rank in a step, the calls that launched it, and NVTX ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from nsysan.columns.codes import codes
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.metrics.cut import NUMBER, cut_at_arrival
from nsysan.metrics.lines import AFTER, BEFORE
from nsysan.report.in_steps import operations_of, ranges_of
from nsysan.report.operation_facts import FACTS
from nsysan.report.path_in_step import paths_in_steps, within
from nsysan.report.stream_lanes import STREAM, ranges_in_lanes, stream_lanes
from nsysan.report.timeline import LAUNCH, LAUNCHES, LINE_ORDER, Timeline, decimated, fair_limit, lane_order
from nsysan.run.run import Run
from nsysan.timings import stage

#: What the timelines of a page hold together: 8 ranks x 600 steps x 200 operations and their launch calls. A slice is 3
#: to 5 bytes of the page.
MAX_SLICES = 2_000_000
#: Operations of so many steps are asked for together that there are about as many as this of them.
_AT_ONCE = 400_000


@stage("timelines")
def build_timelines(run: Run, diagnosis: Diagnosis) -> list[Timeline]:
    """The steps worth a look, and then as many others as MAX_SLICES allows, each with the role "".

    Among the steady steps: the median, p99 and slowest, and those with most waiting and most wire. All steps are
    candidates where none is steady. A step that is several of these is shown once.
    """
    roles = _roles(run, diagnosis)
    whole = _timelines(run, diagnosis, {step: " and ".join(names) for step, names in roles.items()})
    limit = fair_limit([timeline.total for timeline in whole], MAX_SLICES)
    shown = [decimated(timeline, limit) for timeline in whole]
    room = MAX_SLICES - sum(len(timeline.slices) for timeline in shown)
    # A step has at most one call for each operation; ranges make it more, and room is then used up sooner.
    sizes = dict(run.tally.by_step.group_by("step").agg(2 * pl.sum("operations")).iter_rows())
    for wanted in _batches(sorted(sizes.keys() - roles.keys()), sizes):
        batch = wanted[: next((n for n, step in enumerate(wanted) if sizes[step] > room), len(wanted))]
        for timeline in _timelines(run, diagnosis, dict.fromkeys(batch, "")):
            if max(sizes[timeline.step], timeline.total) > room:
                return within(shown)
            shown.append(timeline)
            room -= timeline.total
        if len(batch) < len(wanted):
            break
    return within(shown)


def _batches(steps: Sequence[int], sizes: Mapping[int, int]) -> list[list[int]]:
    """The steps in order, in parts of about _AT_ONCE operations."""
    parts: list[list[int]] = []
    count = _AT_ONCE
    for step in steps:
        if count >= _AT_ONCE:
            parts.append([])
            count = 0
        parts[-1].append(step)
        count += sizes[step] // 2
    return parts


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
    inside = pl.concat(run.ask(operations_of, steps))
    hosts = pl.concat(run.ask(ranges_of, _spans(windows, inside)))
    numbers, streams = codes([inside[name] for name in STREAM])
    inside = inside.rename({"launch": "api"}).with_columns(queue=pl.Series(numbers).cast(pl.UInt32))
    lanes = stream_lanes(streams, inside.select("begin", "end", "queue"))
    origins = windows.group_by("step", maintain_order=True).agg(origin=pl.min("begin"))
    arrived = _arrivals(diagnosis, lanes, origins)
    by_step = _by_step(_slices(inside, lanes, hosts, arrived, origins))
    arrivals = _by_step(arrived)
    paths = paths_in_steps(diagnosis, dict(origins.iter_rows()), lanes)
    found = []
    for (step,), own in windows.partition_by("step", as_dict=True, maintain_order=True).items():
        origin, finish = int(own["begin"].min()), int(own["finish"].max())  # type: ignore[arg-type]
        whole = tuple((rank, begin - origin, end - origin) for rank, begin, end in own[_WINDOW].iter_rows())
        slices = by_step.get(step, by_step[None])
        timeline = Timeline(
            step,
            str(own["label"][0]),
            roles[step],
            origin,
            finish,
            slices,
            arrivals.get(step, arrivals[None]),
            len(slices),
            0,
            whole,
            paths[step],
        )
        found.append(timeline)
    place = {step: number for number, step in enumerate(steps)}
    return sorted(found, key=lambda timeline: place[timeline.step])


_WINDOW = ["rank", "begin", "finish"]
_LANE = ["step", "rank", "lane"]
_CALL = ["step", "rank", "launch_start", "launch_end", "api"]
#: Of a slice, at first: the number of its lane, that of its line, and the name as a category.
_KEEP = ("at", "line", "begin", "end", "name", "launch")


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


def _slices(
    inside: pl.DataFrame, lanes: pl.DataFrame, hosts: pl.DataFrame, arrivals: pl.DataFrame, origins: pl.DataFrame
) -> pl.DataFrame:
    """step and the columns of Timeline.slices, by step, lane and begin; inside: with `queue`, a row of lanes."""
    launch, calls = _calls(inside)
    ranges = ranges_in_lanes(hosts)
    ordered = pl.concat(frame.select(_LANE) for frame in (lanes, calls, ranges)).unique()
    ordered = ordered.sort("step", "rank", *lane_order("lane")).join(origins, on="step", maintain_order="left")
    ordered = ordered.with_row_index("at")

    def at(frame: pl.DataFrame) -> pl.Series:
        return frame.select(_LANE).join(ordered, on=_LANE, maintain_order="left")["at"]

    work = inside.with_columns(launch, at(lanes).gather(inside["queue"]).alias("at"))
    beside = [frame.with_columns(at(frame)).select(_KEEP) for frame in (calls, ranges)]
    arrived = arrivals.with_columns(at(arrivals), pl.col("name").cast(pl.Categorical)).join(origins, on="step")
    whole = _with_calls(_work(work), arrived.with_columns(begin=pl.col("time") + pl.col("origin")))
    whole = pl.concat([whole, *beside], how="diagonal")
    origin = ordered["origin"].gather(whole["at"])
    whole = whole.with_columns(pl.col("begin") - origin, pl.col("end") - origin)
    # What begins at one time stays in the order in which it was.
    by_time = np.argsort(whole["begin"].to_numpy(), kind="stable")
    order = by_time[np.argsort(whole["at"].to_numpy()[by_time], kind="stable")]
    whole = whole.select(pl.all().gather(pl.Series(order)))
    lane = ordered.select(pl.col(_LANE).gather(whole["at"]))
    return lane.with_columns(
        _LINES.gather(whole["line"]), pl.Series(whole["name"].cast(pl.String)), *whole.drop("at", "line", "name")
    )


_LINES = pl.Series("line", list(LINE_ORDER))


def _with_calls(work: pl.DataFrame, arrived: pl.DataFrame) -> pl.DataFrame:
    """The slices with `call`, the number of the matched collective that begins with it."""
    cut = pl.col("line").is_in([NUMBER[line] for line in (*BEFORE.values(), *AFTER.values())])
    key = ["at", "begin", "name"]
    begun = work.with_row_index("row").filter(cut).select("row", *key)
    found = begun.join(arrived.unique(key, keep="first").select(*key, "collective"), on=key)
    call = pl.repeat(None, len(work), dtype=pl.Int64, eager=True)
    return work.with_columns(call.scatter(found["row"], found["collective"]).alias("call"))


def _calls(inside: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
    """The number in its step of the call that launched each operation, null where none is recorded; and the calls as
    slices, with step and rank.
    """
    rows = np.flatnonzero(inside["launch_start"].is_not_null().to_numpy())
    recorded = inside.select(pl.col(_CALL).gather(pl.Series(rows)))
    # A graph's operations have one call, one after the other.
    keys = [recorded[name].to_physical().fill_null(-1).to_numpy() for name in _CALL]
    fresh = np.ones(len(rows), dtype=np.bool_)
    fresh[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    runs = np.flatnonzero(fresh)
    named = recorded.select(pl.all().gather(pl.Series(runs)))
    distinct = named.unique(maintain_order=True).sort(_CALL[:-1], maintain_order=True)
    distinct = distinct.with_columns(number=pl.int_range(pl.len()).over("step"))
    number = named.join(distinct, on=_CALL, how="left", nulls_equal=True, maintain_order="left")["number"]
    found = pl.repeat(None, len(inside), dtype=pl.Int64, eager=True).alias("launch")
    counts = np.diff(runs, append=len(rows))
    found = found.scatter(pl.Series(rows), number.gather(pl.Series(np.repeat(np.arange(len(runs)), counts))))
    calls = distinct.select(
        "step",
        "rank",
        lane=pl.lit(LAUNCHES),
        line=pl.lit(LINE_ORDER[LAUNCH], pl.Int8),
        begin="launch_start",
        end="launch_end",
        name=pl.col("api").fill_null("?"),
        launch="number",
    )
    return found.alias("launch"), calls


def _spans(windows: pl.DataFrame, inside: pl.DataFrame) -> pl.DataFrame:
    """step, begin, finish: from the first launch of a step's operations, or its begin if that is earlier, to its
    end.
    """
    own = windows.group_by("step", maintain_order=True).agg(pl.min("begin"), pl.max("finish"))
    launched = inside.group_by("step").agg(first=pl.min("launch_start"))
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


def _work(inside: pl.DataFrame) -> pl.DataFrame:
    """Ledger lines on the streams; a matched collective becomes its waiting, if it waits, and what comes after."""
    parts = cut_at_arrival(inside).parts(inside, ("at", "name", "launch", *FACTS))
    waits = pl.col("line").is_in([NUMBER[line] for line in BEFORE.values()])
    return parts.filter(~waits | (pl.col("end") > pl.col("begin"))).select(*_KEEP, *FACTS)
