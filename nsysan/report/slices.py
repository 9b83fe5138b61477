"""The slices of timelines: what ran when on every rank in a step, the calls that launched it, and NVTX ranges."""

from __future__ import annotations

import polars as pl

from nsysan.columns.times import shifted
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.metrics.cut import cut_at_arrival, line_names
from nsysan.metrics.lines import BEFORE
from nsysan.model.operations import in_words
from nsysan.report.operation_facts import FACTS, with_facts
from nsysan.report.path_in_step import path_in_step, within
from nsysan.report.timeline import LAUNCH, LAUNCHES, RANGE, Timeline, decimated, fair_limit
from nsysan.run.placed import PlacedTrace
from nsysan.run.run import Run
from nsysan.timings import stage

#: What the timelines of a page hold together: about 10 bytes a slice, and 40 000 are drawn in a few ms.
MAX_SLICES = 80_000
#: More streams than this on a rank share lanes.
MAX_STREAMS = 4
#: Steps whose operations are asked for together.
_AT_ONCE = 16
#: Ranges nest; deeper ones than this many lanes hold are left out.
MAX_RANGE_LANES = 4


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
    others = sorted(sizes.keys() - roles.keys())
    for first in range(0, len(others), _AT_ONCE):
        wanted = others[first : first + _AT_ONCE]
        batch = wanted[: next((n for n, step in enumerate(wanted) if sizes[step] > room), len(wanted))]
        for timeline in _timelines(run, diagnosis, dict.fromkeys(batch, "")):
            if max(sizes[timeline.step], timeline.total) > room:
                return within(shown)
            shown.append(timeline)
            room -= timeline.total
        if len(batch) < len(wanted):
            break
    return within(shown)


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
    """The timelines of these steps, whose operations and ranges are asked for together."""
    steps = list(roles)
    found = [pl.concat(parts, how="vertical_relaxed") for parts in zip(*run.ask(operations_of, steps), strict=True)]
    spans = [_span(run.windows.filter(pl.col("step") == step), own) for step, own in zip(steps, found, strict=True)]
    ranges = [pl.concat(parts) for parts in zip(*run.ask(ranges_of, spans), strict=True)]
    return [
        _timeline(run, diagnosis, inside, hosts, step)
        for step, inside, hosts in zip(roles.items(), found, ranges, strict=True)
    ]


def operations_of(placed: PlacedTrace, steps: list[int]) -> list[pl.DataFrame]:
    """For each step those columns of the operations in its windows that a timeline shows."""
    _ = placed.host_clocks

    def of_rank(rank: int) -> list[pl.DataFrame]:
        work, windows = placed.clocked(_OPERATION, rank), placed.windows.filter(pl.col("rank") == rank)
        return [_inside(work, windows.filter(pl.col("step") == step)) for step in steps]

    return with_facts(placed, [in_words(pl.concat(parts)) for parts in zip(*placed.each(of_rank), strict=True)])


def _inside(work: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """The operations of a rank that are inside its window, if it has one."""
    begin, finish = windows["begin"].min(), windows["finish"].max()
    return work.filter((pl.col("end") > begin) & (pl.col("begin") < finish)) if len(windows) else work.clear()


def ranges_of(placed: PlacedTrace, spans: list[tuple[int, int]]) -> list[pl.DataFrame]:
    """For each span of time rank, start, end, name of the NVTX ranges of the ranks' processes in it."""
    owners = pl.DataFrame(
        [(rank.process, rank.rank) for rank in placed.placement.ranks],
        schema={"process": pl.Int64, "rank": pl.Int64},
        orient="row",
    )
    ranges = placed.trace.ranges.select("start", "end", "process", "name").join(owners, on="process")
    ranges = shifted(ranges, placed.placement.shift).select("rank", "start", "end", "name")
    return [ranges.filter((pl.col("end") > begin) & (pl.col("start") < finish)) for begin, finish in spans]


def _span(windows: pl.DataFrame, inside: pl.DataFrame) -> tuple[int, int]:
    """From the first launch of a step's operations, or its begin if that is earlier, to its end."""
    origin, finish = int(windows["begin"].min()), int(windows["finish"].max())  # type: ignore[arg-type]
    first = inside["launch_start"].min()
    return min(origin, int(first)) if first is not None else origin, finish  # type: ignore[arg-type]


def _timeline(
    run: Run, diagnosis: Diagnosis, inside: pl.DataFrame, hosts: pl.DataFrame, named: tuple[int, str]
) -> Timeline:
    step, role = named
    windows = run.windows.filter(pl.col("step") == step)
    origin, finish = int(windows["begin"].min()), int(windows["finish"].max())  # type: ignore[arg-type]
    lanes = _lanes(inside)
    inside = inside.join(lanes, on=["rank", "context", "stream"], nulls_equal=True, maintain_order="left")
    inside = inside.rename({"launch": "api"})
    inside = inside.join(_numbered_launches(inside), on=_LAUNCH, how="left", maintain_order="left")
    hosts = hosts.sort("rank", "start", "end", "name")
    relative = pl.concat([_work(inside), _launches(inside), _range_slices(hosts)], how="diagonal").with_columns(
        pl.col("begin") - origin, pl.col("end") - origin
    )
    arrived = diagnosis.arrived.filter(pl.col("step") == step)
    arrived = arrived.join(lanes, on=["rank", "context", "stream"], nulls_equal=True).select(
        "rank",
        "lateness",
        "name",
        "lane",
        collective="number",
        time=pl.col("begin") - origin,
        last=pl.col("position") == pl.col("ranks"),
    )
    calls = arrived.select("rank", "lane", "name", begin="time", call="collective").unique(_CALL, keep="first")
    relative = relative.join(calls, on=_CALL, how="left", maintain_order="left")
    ordered = relative.sort("rank", "lane", "begin", "line", "end", "name")
    label = str(windows["label"][0])
    own = windows.sort("rank").select("rank", pl.col("begin") - origin, pl.col("finish") - origin)
    arrivals = arrived.sort("rank", "time")
    path = path_in_step(diagnosis, step, origin, lanes)
    whole = tuple(own.iter_rows())
    return Timeline(step, label, role, origin, finish, ordered, arrivals, len(relative), 0, whole, path)


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
        names += [f"streams {lane + 1}" for lane in _first_free(own.select("begin", "end"))]
    return extents.select(key).with_columns(lane=pl.Series(names, dtype=pl.String))


def _first_free(spans: pl.DataFrame) -> list[int]:
    """The lane of each span of time (begin, end), in order of begin: the first whose last span has ended."""
    until: list[int] = []
    lanes = []
    for begin, end in spans.iter_rows():
        lane = next((i for i, busy_until in enumerate(until) if busy_until <= begin), len(until))
        until[lane : lane + 1] = [end]
        lanes.append(lane)
    return lanes


_OPERATION = (
    "rank",
    "context",
    "stream",
    "cls",
    "name",
    "begin",
    "end",
    "last",
    "launch_start",
    "launch_end",
    "launch",
    "start",
    "demangled",
    "bytes",
    "message_bytes",
)
_CALL = ("rank", "lane", "begin", "name")
_KEEP = ("rank", "lane", "line", "begin", "end", "name", "launch")
_LAUNCH = ("rank", "launch_start", "launch_end", "api")


def _numbered_launches(inside: pl.DataFrame) -> pl.DataFrame:
    """The launch calls of these operations, numbered; api: the name of each."""
    calls = inside.drop_nulls("launch_start").select(_LAUNCH).unique().sort(_LAUNCH)
    return calls.with_row_index("launch").cast({"launch": pl.Int64})


def _work(inside: pl.DataFrame) -> pl.DataFrame:
    """Ledger lines on the streams; a matched collective becomes its waiting, if it waits, and what comes after."""
    parts = cut_at_arrival(inside).parts(inside, ("rank", "lane", "name", "launch", *FACTS))
    parts = parts.with_columns(line=line_names(parts["line"]))
    waits = pl.col("line").is_in(list(BEFORE.values()))
    return parts.filter(~waits | (pl.col("end") > pl.col("begin"))).select(*_KEEP, *FACTS)


def _launches(inside: pl.DataFrame) -> pl.DataFrame:
    calls = inside.drop_nulls("launch").unique("launch", keep="first", maintain_order=True)
    return calls.with_columns(
        lane=pl.lit(LAUNCHES),
        line=pl.lit(LAUNCH),
        begin="launch_start",
        end="launch_end",
        name=pl.col("api").fill_null("?"),
    ).select(_KEEP)


def _range_slices(hosts: pl.DataFrame) -> pl.DataFrame:
    """NVTX ranges; those that nest or overlap lie in different lanes, the outer ones first."""
    parts = [hosts.clear().with_columns(lane=pl.lit("", dtype=pl.String))]
    for own in hosts.partition_by("rank", maintain_order=True):
        ordered = own.sort("start", "end", descending=[False, True], maintain_order=True)
        lanes = pl.Series(_first_free(ordered.select("start", "end")), dtype=pl.Int64)
        numbered = ordered.with_columns(number=lanes)
        few = numbered.filter(pl.col("number") < MAX_RANGE_LANES)
        parts.append(few.with_columns(lane=pl.format("NVTX {}", pl.col("number") + 1)).drop("number"))
    return (
        pl.concat(parts)
        .with_columns(
            line=pl.lit(RANGE),
            begin="start",
            name=pl.col("name").fill_null("?"),
            launch=pl.lit(None, dtype=pl.Int64),
        )
        .select(_KEEP)
    )
