"""The slices of a timeline: what ran when on every rank in one step, and the calls that launched it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.model import classes
from nsysan.model.run import Run
from nsysan.model.samples import METRICS
from nsysan.report.diagnosis import Diagnosis

LAUNCH = "launch"
#: A browser draws this many slices smoothly; of more, the longest are kept.
MAX_SLICES = 8_000
#: A line of more points looks the same; of each stretch the largest is kept.
MAX_POINTS = 2_000
#: More streams than this on a rank share lanes.
MAX_STREAMS = 4


@dataclass(frozen=True)
class Timeline:
    """One step on all ranks.

    role says why it is shown. origin: earliest begin over the ranks; finish: latest end (ns of the trace's
    clock). slices: rank, lane (stream number, or "launches"), line (ledger line, or "launch"), begin, end (ns
    after origin), name, detail. arrivals: rank, lane, call, time (ns after origin), lateness (ns after the first
    rank), last (whether this rank was the last), name: of the matched collectives. total: slices that there are,
    of which `slices` holds the longest MAX_SLICES.
    """

    step: int
    label: str
    role: str
    origin: int
    finish: int
    slices: pl.DataFrame
    arrivals: pl.DataFrame
    total: int


def build_timelines(run: Run, diagnosis: Diagnosis) -> list[Timeline]:
    """The median step, the slowest, and those with most waiting and most wire, among the steady steps.

    All steps are candidates where none is steady. A step that is several of these is shown once.
    """
    candidates = run.steady_steps or run.windows["step"].unique().sort().to_list()
    periods = (
        run.windows.filter(pl.col("step").is_in(candidates))
        .group_by("step")
        .agg(period=(pl.col("finish") - pl.col("begin")).median())
        .sort("period", "step")
    )
    roles: dict[int, list[str]] = {}
    roles.setdefault(int(periods["step"][(len(periods) - 1) // 2]), []).append("median")
    roles.setdefault(int(periods["step"][-1]), []).append("slowest")
    if diagnosis.spreads:
        waits = max(diagnosis.spreads, key=lambda spread: spread.wait["max"])
        wires = max(diagnosis.spreads, key=lambda spread: spread.wire["max"])
        roles.setdefault(waits.worst_wait_step, []).append("most waiting")
        roles.setdefault(wires.worst_wire_step, []).append("most wire")
    return [_timeline(run, diagnosis, step, " and ".join(names)) for step, names in roles.items()]


def counter_lanes(samples: pl.DataFrame, timeline: Timeline) -> pl.DataFrame:
    """The counters within a timeline: rank, metric, unit, time (ns after its origin), value, peak (of the lane).

    samples: as model.samples.load_samples gives them. A value holds from its time to the next time of its lane.
    """
    inside = samples.filter((pl.col("end") > timeline.origin) & (pl.col("begin") < timeline.finish))
    lane = ["rank", "metric", "unit"]
    position = pl.int_range(pl.len()).over(lane)
    # One point of a line ends it, so a line has room for one stretch less.
    stretch = position // ((pl.len().over(lane) + MAX_POINTS - 2) // (MAX_POINTS - 1))
    drawn = inside.group_by(*lane, stretch=stretch, maintain_order=True).agg(
        pl.min("begin"), pl.max("end"), pl.max("value")
    )
    ends = drawn.group_by(lane, maintain_order=True).agg(time=pl.max("end"), value=pl.last("value"))
    points = pl.concat([drawn.select(*lane, "value", time="begin"), ends.select(*lane, "value", "time")])
    return points.with_columns(
        time=pl.col("time").clip(timeline.origin, timeline.finish) - timeline.origin, peak=pl.max("value").over(lane)
    ).sort("rank", pl.col("metric").cast(pl.Enum(METRICS)), "time", maintain_order=True)


def _timeline(run: Run, diagnosis: Diagnosis, step: int, role: str) -> Timeline:
    windows = run.windows.filter(pl.col("step") == step)
    origin, finish = int(windows["begin"].min()), int(windows["finish"].max())  # type: ignore[arg-type]
    inside = run.work.join(windows.select("rank", window_begin="begin", window_finish="finish"), on="rank").filter(
        (pl.col("end") > pl.col("window_begin")) & (pl.col("begin") < pl.col("window_finish"))
    )
    lanes = _lanes(inside)
    inside = inside.join(lanes, on=["rank", "context", "stream"], nulls_equal=True, maintain_order="left")
    slices = pl.concat([_work(inside), _launches(inside)])
    relative = slices.with_columns(pl.col("begin") - origin, pl.col("end") - origin)
    arrived = diagnosis.arrived.filter(pl.col("step") == step)
    arrived = arrived.join(lanes, on=["rank", "context", "stream"], nulls_equal=True).select(
        "rank",
        "call",
        "lateness",
        "name",
        "lane",
        time=pl.col("begin") - origin,
        last=pl.col("position") == pl.col("ranks"),
    )
    label = str(windows["label"][0])
    longest = relative.sort(pl.col("end") - pl.col("begin"), descending=True, maintain_order=True).head(MAX_SLICES)
    ordered = longest.sort("rank", "lane", "begin", "line")
    return Timeline(step, label, role, origin, finish, ordered, arrived.sort("rank", "time"), len(relative))


def _lanes(work: pl.DataFrame) -> pl.DataFrame:
    """rank, context, stream, lane: a lane a stream; of many streams, those never busy at one time share a lane.

    A CUDA graph that forks gives every branch a stream of its own, and a lane for each would fill pages.
    """
    key = ["rank", "context", "stream"]
    extents = work.group_by(key).agg(pl.min("begin"), pl.max("end")).sort("rank", "begin", "context", "stream")
    names = []
    for own in extents.partition_by("rank", maintain_order=True):
        if len(own) <= MAX_STREAMS:
            names += ["stream" if stream is None else f"stream {stream}" for stream in own["stream"]]
            continue
        until: list[int] = []
        for begin, end in own.select("begin", "end").iter_rows():
            lane = next((i for i, busy_until in enumerate(until) if busy_until <= begin), len(until))
            until[lane : lane + 1] = [end]
            names.append(f"streams {lane + 1}")
    return extents.select(key).with_columns(lane=pl.Series(names, dtype=pl.String))


def _work(inside: pl.DataFrame) -> pl.DataFrame:
    """Ledger lines on the streams; a matched collective becomes its waiting and what comes after."""
    us = (pl.col("end") - pl.col("begin")) / 1e3
    ahead = pl.format(", launched {} us ahead", ((pl.col("start") - pl.col("launch_start")) / 1e3).round(1)).fill_null(
        ""
    )
    detail = pl.format("{} us, {}{}", us.round(2), pl.coalesce("library", "type"), ahead)
    columns = inside.with_columns(detail=detail)
    communication = pl.col("cls").is_in(list(classes.COMMUNICATION))
    matched = columns.filter(communication & pl.col("last").is_not_null())
    split = matched.with_columns(
        detail=pl.format(
            "{} us: waits {} us, then {} us",
            us.round(2),
            ((pl.col("last") - pl.col("begin")) / 1e3).round(2),
            ((pl.col("end") - pl.col("last")) / 1e3).round(2),
        )
    )
    after = pl.when(pl.col("cls") == classes.FUSED).then(pl.lit("fused")).otherwise(pl.lit("wire"))
    whole = columns.filter(~(communication & pl.col("last").is_not_null()))
    line = (
        pl.when(communication)
        .then(pl.lit("comm_unsplit"))
        .when(pl.col("cls") == classes.OPAQUE)
        .then(pl.lit("graph"))
        .otherwise(pl.col("cls"))
    )
    keep = ["rank", "lane", "line", "begin", "end", "name", "detail"]
    return pl.concat(
        [
            whole.with_columns(line=line).select(keep),
            split.filter(pl.col("last") > pl.col("begin")).with_columns(line=pl.lit("wait"), end="last").select(keep),
            split.with_columns(line=after, begin="last").select(keep),
        ]
    )


def _launches(inside: pl.DataFrame) -> pl.DataFrame:
    calls = inside.filter(pl.col("launch_start").is_not_null())
    grouped = calls.group_by("rank", "launch_start", "launch_end", "launch").agg(n=pl.len(), first=pl.first("name"))
    return grouped.select(
        "rank",
        lane=pl.lit("launches"),
        line=pl.lit(LAUNCH),
        begin="launch_start",
        end="launch_end",
        name=pl.col("launch").fill_null("?"),
        detail=pl.when(pl.col("n") > 1)
        .then(pl.format("launches {} operations", "n"))
        .otherwise(pl.format("launches {}", "first")),
    )
