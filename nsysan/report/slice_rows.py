"""The slices of many steps at once: their operations cut at the last arrivals, launch calls and NVTX ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import codes
from nsysan.columns.in_order import by_group, in_order
from nsysan.columns.intervals import I64
from nsysan.metrics.cut import NUMBER, cut_by_kind
from nsysan.metrics.lines import AFTER, BEFORE
from nsysan.report.in_steps import Axes, WorkInSteps
from nsysan.report.launch_calls import Calls
from nsysan.report.step_slices import FACTS, KIND, LAUNCH, LINE_ORDER, RANGE, SLEEP, WAIT, Slices
from nsysan.report.stream_lanes import MAX_RANGE_LANES, range_lanes
from nsysan.report.timeline import LAUNCHES, MAX_WAIT_LANES, lane_order, wait_lane

_Numbers = npt.NDArray[np.integer]
LANE = ["step", "rank", "lane"]
_BEFORE = np.isin(np.arange(len(LINE_ORDER)), [NUMBER[line] for line in BEFORE.values()])
_CUT = _BEFORE | np.isin(np.arange(len(LINE_ORDER)), [NUMBER[line] for line in AFTER.values()])


@dataclass(frozen=True)
class Part:
    """Slices of one source, on the run's clock.

    at, kind: rows of lanes (step, rank, lane) and kinds (name and FACTS). launch, call: see Slices; second: whether it
    is that of a call after its last arrival; none of them is where they are left out.
    """

    lanes: pl.DataFrame
    kinds: pl.DataFrame
    at: _Numbers
    line: _Numbers
    begin: I64
    end: I64
    kind: _Numbers
    launch: _Numbers | None = None
    call: _Numbers | None = None
    second: npt.NDArray[np.bool_] | None = None


def work_slices(work: WorkInSteps, lane: _Numbers, lanes: pl.DataFrame, calls: Calls, arrived: pl.DataFrame) -> Part:
    """Ledger lines on the streams; a matched collective becomes its waiting, if it waits, and what comes after.

    lane: of each operation the row of lanes: step, rank, lane. arrived: lane, begin, name, collective of matched calls.
    """
    cut = cut_by_kind(work.rows, work.kinds["cls"])
    kept = (cut.line >= 0) & (~_BEFORE[cut.line] | (cut.end > cut.begin))
    count = kept.astype(np.int64)
    count[cut.at] += 1
    source = np.repeat(np.arange(len(count)), count)
    begin, end, line = cut.begin[source], cut.end[source], cut.line[source]
    rest = np.cumsum(count)[cut.at] - 1
    begin[rest], end[rest], line[rest] = cut.end[cut.at], cut.finish, cut.after
    second = np.zeros(len(source), dtype=np.bool_)
    second[rest] = True
    at, kind = lane[source], work.rows["kind"].to_numpy()[source]
    begun = np.flatnonzero(_CUT[line])
    found = pl.DataFrame(
        {"row": begun, "lane": at[begun], "begin": begin[begun], "name": work.kinds["name"].gather(kind[begun])}
    ).join(arrived.with_columns(pl.col("name").cast(pl.Categorical)), on=["lane", "begin", "name"])
    call = np.full(len(source), -1, dtype=np.int32)
    call[found["row"].to_numpy()] = found["collective"].to_numpy()
    kinds = work.kinds.select(list(KIND))
    return Part(lanes, kinds, at, line, begin, end, kind, calls.of[source], call, second)


def call_slices(calls: Calls, axes: Axes) -> Part:
    """The launch calls, on a lane of each rank."""
    groups, at = _numbered(calls.group)
    lanes = axes.of(groups).with_columns(lane=pl.lit(LAUNCHES))
    line = np.full(len(at), LINE_ORDER[LAUNCH])
    return Part(lanes, _named(calls.names), at, line, calls.begin, calls.end, calls.name, calls.number)


def range_slices(hosts: pl.DataFrame, axes: Axes) -> Part:
    """NVTX ranges; hosts: group (see Axes), start, end, name."""
    names = hosts["name"].cast(pl.Categorical)
    number, distinct = codes([names])
    # By their texts, as they are ordered.
    told = distinct.select(pl.col("name").cast(pl.String)).with_row_index("was").sort("name")
    place = np.empty(len(told), dtype=np.int64)
    place[told["was"].to_numpy()] = np.arange(len(told))
    start, end = hosts["start"].to_numpy(), hosts["end"].to_numpy()
    order, (group, begin, _, name) = in_order(hosts["group"].to_numpy(), start, -end, place[number])
    lane = range_lanes(group, begin, end[order])
    few = np.flatnonzero(lane >= 0)
    lane, group = lane[few], group[few]
    used, at = _numbered(group * MAX_RANGE_LANES + lane)
    depth = pl.DataFrame({"depth": used % MAX_RANGE_LANES + 1})
    lanes = axes.of(used // MAX_RANGE_LANES).with_columns(depth.select(lane=pl.format("NVTX {}", "depth")))
    line = np.full(len(at), LINE_ORDER[RANGE])
    kinds = _named(told["name"].fill_null("?").to_list())
    return Part(lanes, kinds, at, line, begin[few], end[order][few], name[few])


def wait_slices(waits: pl.DataFrame, axes: Axes) -> Part:
    """Waits and sleeps, on a lane for each launching thread; waits: as recorded_waits.waits_of gives them."""
    number, distinct = codes([waits["name"].cast(pl.Categorical)])
    used, at = _numbered(waits["group"].to_numpy() * MAX_WAIT_LANES + waits["lane"].to_numpy())
    lanes = axes.of(used // MAX_WAIT_LANES)
    lanes = lanes.with_columns(
        pl.Series("lane", [wait_lane(lane) for lane in (used % MAX_WAIT_LANES).tolist()], pl.String)
    )
    line = np.where(waits["sleeps"].to_numpy(), LINE_ORDER[SLEEP], LINE_ORDER[WAIT])
    kinds = _named(distinct["name"].cast(pl.String).to_list())
    return Part(lanes, kinds, at, line, waits["start"].to_numpy(), waits["end"].to_numpy(), number)


def by_step(parts: Sequence[Part], origins: Mapping[int, int]) -> dict[int, Slices]:
    """The slices of each step, with times after its origin; origins: by step, ascending."""
    lanes = pl.concat([part.lanes.select(LANE) for part in parts]).unique()
    lanes = lanes.sort("step", "rank", *lane_order("lane")).with_row_index("at")
    number = [part.lanes.join(lanes, on=LANE, maintain_order="left")["at"].to_numpy() for part in parts]
    at = np.concatenate([own[part.at] for own, part in zip(number, parts, strict=True)])
    order, at = _ordered(at, parts)
    # The first lane of each step, and its first row.
    first = np.searchsorted(lanes["step"].to_numpy(), [*origins, *_END])
    bounds = np.searchsorted(at, first)
    counts = np.diff(bounds)
    before = np.cumsum([0, *(len(part.kinds) for part in parts[:-1])])
    columns = {
        "line": _column([part.line for part in parts], np.uint8),
        "begin": _column([part.begin for part in parts], np.int64),
        "end": _column([part.end for part in parts], np.int64),
        "kind": _column([part.kind + start for part, start in zip(parts, before, strict=True)], np.uint32),
        "launch": _column([_or_none(part.launch, part) for part in parts], np.int32),
        "call": _column([_or_none(part.call, part) for part in parts], np.int32),
    }
    rows = {name: column[order] for name, column in columns.items()}
    for origin, begin, end in zip(origins.values(), bounds[:-1], bounds[1:], strict=True):
        for name in ("begin", "end"):
            rows[name][begin:end] -= origin
    whole = pl.DataFrame({"at": (at - np.repeat(first[:-1], counts)).astype(np.uint32), **rows})
    kinds = pl.concat([part.kinds for part in parts])
    named = lanes.select("rank", "lane")
    return {
        step: Slices(
            whole.slice(bounds[place], counts[place]), named.slice(first[place], first[place + 1] - first[place]), kinds
        )
        for place, step in enumerate(origins)
    }


#: After every step.
_END = [np.iinfo(np.int64).max]


def _ordered(at: _Numbers, parts: Sequence[Part]) -> tuple[I64, _Numbers]:
    """The slices by lane and begin, and their lanes in that order. What begins at one time is in the order in which it
    is, first parts first.
    """
    begin = _column([part.begin for part in parts], np.int64)
    second = np.concatenate(
        [np.zeros(len(part.at), dtype=np.bool_) if part.second is None else part.second for part in parts]
    )
    order = by_group(at)
    lane, begun, rest = at[order], begin[order], second[order]
    # What lies on a stream ends before the next begins, so they seldom are not.
    back = (begun[1:] < begun[:-1]) | ((begun[1:] == begun[:-1]) & (rest[1:] < rest[:-1]))
    if not (back & (lane[1:] == lane[:-1])).any():
        return order, lane
    order = np.lexsort((second, begin, at))
    return order, at[order]


def _column(parts: Sequence[_Numbers], dtype: type[np.integer]) -> _Numbers:
    return np.concatenate([part.astype(dtype, copy=False) for part in parts])


def _or_none(numbers: _Numbers | None, part: Part) -> _Numbers:
    return np.full(len(part.at), -1) if numbers is None else numbers


def _numbered(values: _Numbers) -> tuple[I64, I64]:
    """The distinct of these numbers, which are few, ascending, and which of them each is."""
    there = np.zeros(int(values.max(initial=-1)) + 1, dtype=np.bool_)
    there[values] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[values]


def _named(names: Sequence[str]) -> pl.DataFrame:
    """Kinds of which only the name is told."""
    told = pl.DataFrame({"name": names}, schema={"name": pl.String}).cast(pl.Categorical)
    return told.with_columns(pl.lit(None, dtype=dtype).alias(name) for name, dtype in FACTS.items())
