"""What the page's timeline draws: steps as columns of integers, small once compressed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.metrics.lines import CLAIMED, LINES, ROW, Line
from nsysan.page.fact_columns import Facts
from nsysan.page.palette import COLOURS, COUNTER_COLOURS, INKS, NAMES
from nsysan.page.path_lane import WORDS, path_head, piece_columns
from nsysan.page.planes import Planes
from nsysan.page.shown_names import NAME_WIDTH, Names
from nsysan.page.slice_columns import Looks, SliceColumns
from nsysan.report.range_cells import COUNT, cell_width
from nsysan.report.report import Report, visible_lines
from nsysan.report.step_slices import LINE_ORDER
from nsysan.report.timeline import Timeline, lane_order
from nsysan.text import duration, plain, us

_I64 = npt.NDArray[np.int64]
#: More rows than this of steps and ranks would weigh more than the rest of the page.
_MAX_LEDGERS = 20_000


def timeline_data(report: Report, planes: Planes) -> str:
    """The page's timelines, and the ledger of every step and rank (ns; null where not measured), as JSON; the columns
    that it describes go to `planes`.

    tables: columns of all steps' slices by lane and begin, of their lanes, of the calls that some are a side of, of
    marks and of pieces of the critical path; times are ns after the step's origin. look is a position in `looks`, whose
    numbers are positions in `lines`, `names` and `facts` (fact_columns.Facts, -1 for none). Of a slice, gap is the time
    since the end of the one before on its lane, and on by how much its launch call is numbered higher; of a lane, count
    is how many slices it has, and on the number of the first one's launch call (0: none, 1: the first). Of the slices
    that are a side of a call (`cut` of their line), call is by how much its number in the step is higher than that of
    the one before on the lane (0: none, 1: the first of all). The first `claimed` lines are those of the ledger, in
    order of precedence, and `rest` is what none of them claims. late: the rank that the verdict names.
    """
    timelines = report.timelines
    names, facts = Names(), Facts()
    looks = Looks(names, facts)
    slices = SliceColumns([timeline.drawn for timeline in timelines], looks)
    tables = {"slices": planes.add_parts(slices.parts(), slices.counts)}
    marks = _numbered([timeline.arrivals for timeline in timelines]).filter("last")
    pieces = _numbered([timeline.path.pieces for timeline in timelines])
    of_slices = _numbered([timeline.drawn.lanes for timeline in timelines])
    of_slices = of_slices.with_columns(count=pl.Series(slices.lane_counts))
    lanes = _lanes(of_slices.filter(pl.col("count") > 0), pieces)
    of_lanes = _rows(lanes, len(timelines))
    placed = [_placed(frame, lanes, names) for frame in (marks, pieces)]
    tables |= {
        "lanes": planes.add(_lane_columns(lanes, of_slices, slices.launches), of_lanes),
        "calls": planes.add({"call": slices.calls}, slices.sides),
        "marks": planes.add(_mark_columns(placed[0]), _rows(marks, len(timelines))),
        "pieces": planes.add(piece_columns(placed[1]), _rows(pieces, len(timelines))),
    }
    named = [own.rows() for own in _split(lanes.select("rank", "lane"), of_lanes)]
    counters = report.counter_lanes
    lines = [*LINE_ORDER]
    data = {
        "ranks": [rank.rank for rank in report.ranks],
        "late": None if report.diagnosis.straggler is None else report.diagnosis.straggler.rank,
        "lines": [_line(line) for line in (*lines, "last")],
        "claimed": len(CLAIMED),
        "rest": NAMES[LINES[-1]],
        "present": sorted({line for line, _, _ in looks.table}),
        "counters": COUNTER_COLOURS,
        "path": WORDS,
        "tables": tables,
        "steps": [
            _step(timeline, named[number], counters[number] if number < len(counters) else None)
            for number, timeline in enumerate(timelines)
        ],
        "names": names.table,
        "facts": facts.table,
        "looks": looks.table,
        "ledger": _ledger(report),
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _numbered(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all steps, with the number of each one's timeline."""
    numbers = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    return pl.concat(frames).with_columns(number=pl.Series(numbers))


def _rows(frame: pl.DataFrame, count: int) -> list[int]:
    """How many rows each of `count` timelines has."""
    found: list[int] = np.bincount(frame["number"].to_numpy(), minlength=count).tolist()
    return found


def _split(frame: pl.DataFrame, rows: Sequence[int]) -> list[pl.DataFrame]:
    """So many rows each, in order."""
    return [frame.slice(end - count, count) for end, count in zip(accumulate(rows), rows, strict=True)]


_LANE = ["number", "rank", "lane"]


def _lanes(*frames: pl.DataFrame) -> pl.DataFrame:
    """number, rank, lane of every lane in the order in which it is drawn, and its place among those of its timeline."""
    found = pl.concat(frame.select(_LANE).unique() for frame in frames).unique()
    ordered = found.sort("number", "rank", *lane_order("lane"))
    return ordered.with_columns(place=pl.int_range(pl.len()).over("number"))


def _lane_columns(lanes: pl.DataFrame, of_slices: pl.DataFrame, launches: _I64) -> dict[str, _I64]:
    """Columns of the lanes of all steps; of_slices: with how many slices each has; launches: see SliceColumns."""
    held = lanes.join(of_slices, on=_LANE, how="left", maintain_order="left")["count"]
    count = held.fill_null(0).to_numpy()
    on = np.zeros(len(count), dtype=np.int64)
    on[count > 0] = launches
    return {"count": count, "on": on}


def _placed(frame: pl.DataFrame, lanes: pl.DataFrame, names: Names) -> pl.DataFrame:
    """The rows with the place of their lane, and the number of their name, -1 for none."""
    return frame.with_columns(name=pl.Series(names.numbered(frame["name"])), place=_place(frame, lanes))


def _place(frame: pl.DataFrame, lanes: pl.DataFrame) -> pl.Series:
    """The place of each row's lane; most rows are on the lane of the one before."""
    fresh = np.ones(len(frame), dtype=np.bool_)
    fresh[1:] = frame.select(pl.any_horizontal(pl.col(_LANE).ne_missing(pl.col(_LANE).shift(1)))).to_series()[1:]
    runs = np.flatnonzero(fresh)
    named = frame.select(pl.col(_LANE).gather(pl.Series(runs)))
    place = named.join(lanes, on=_LANE, how="left", maintain_order="left")["place"]
    counts = np.diff(runs, append=len(frame))
    return place.gather(pl.Series(np.repeat(np.arange(len(runs)), counts)))


def _mark_columns(marks: pl.DataFrame) -> dict[str, _I64]:
    told = marks.select("place", "time", "lateness", "collective", "name").cast(pl.Int64)
    names = ("lane", "time", "late", "collective", "name")
    return {name: column.to_numpy() for name, column in zip(names, told, strict=True)}


def _line(line: str) -> dict[str, Any]:
    """How slices of a ledger line, calls, ranges or marks look; cut: on which side of the last arrival they are;
    block: of replays that were traced as one, which have all that is busy in their step.
    """
    row = ROW.get(Line(line)) if line in LINES else None
    return {
        "id": line,
        "name": NAMES[line],
        "colour": COLOURS[line],
        "ink": INKS[line],
        "captioned": row is not None and row.captioned,
        "communicates": row is not None and row.communicates,
        "block": line == Line.GRAPH,
        "cut": "" if row is None else "before" if row.before else "after" if row.after else "",
    }


def decimation_note(timeline: Timeline) -> str:
    """How many slices are drawn, and by which rule; nothing where all are."""
    shown = len(timeline.drawn)
    if shown == timeline.total:
        return ""
    return (
        f"{shown:,} of {timeline.total:,} slices are in this file: of those shorter than {us(timeline.merged)} µs on a "
        f"lane, the longest in each {us(timeline.merged)} µs. The figures count all."
    )


def _step(timeline: Timeline, lanes: list[tuple[int, str]], counters: pl.DataFrame | None) -> dict[str, Any]:
    return {
        "step": timeline.step,
        "label": plain(timeline.label, NAME_WIDTH),
        "role": timeline.role,
        "span": timeline.finish - timeline.origin,
        "period": duration(timeline.period),
        "windows": [list(window) for window in timeline.windows],
        "note": decimation_note(timeline),
        "lanes": [[rank, _lane_name(lane)] for rank, lane in lanes],
        "cells": _cells(timeline),
        "counters": [] if counters is None else _counters(counters),
        "path": path_head(timeline.path),
    }


@lru_cache(1_000)
def _lane_name(lane: str) -> str:
    return plain(lane, 40)


def _cells(timeline: Timeline) -> dict[str, Any] | None:
    """The ledger in cells of `width` ns: columns of rank, line (its number), ns in each; None where not needed."""
    cells = timeline.cells
    if cells is None:
        return None
    width = cell_width(max((end for _, _, end in timeline.windows), default=0))
    line = [LINE_ORDER[line] for line in cells["line"]]
    return {"width": width, "count": COUNT, "rank": cells["rank"].to_list(), "line": line, "ns": cells["ns"].to_list()}


def _counters(lanes: pl.DataFrame) -> list[dict[str, Any]]:
    parts = lanes.partition_by("rank", "metric", "unit", as_dict=True, maintain_order=True)
    return [
        {
            "rank": rank,
            "name": plain(str(metric), 60),
            "unit": "" if unit is None else plain(str(unit), 20),
            "peak": int(points["peak"][0]),
            "time": points["time"].to_list(),
            "value": points["value"].to_list(),
        }
        for (rank, metric, unit), points in parts.items()
    ]


def _ledger(report: Report) -> dict[str, Any]:
    """Columns: step, rank, label of the steps, and period and lines in ns."""
    present = [line for line in CLAIMED if (report.per_step[line.column].fill_null(0) > 0).any()]
    there = {*visible_lines(report), *present}
    shown = [line for line in LINES if line in there]
    rows = report.per_step.head(_MAX_LEDGERS)
    kept = rows["step"].unique().sort().to_list()
    return {
        "lines": ["period", *shown],
        "names": ["period", *(NAMES[line] for line in shown)],
        "count": report.steps.count,
        "step": rows["step"].to_list(),
        "rank": rows["rank"].to_list(),
        "values": [rows[f"{line}_ns"].to_list() for line in ("period", *shown)],
        "labels": {str(step): plain(report.steps.labels[step], 60) for step in kept},
        "excluded": {str(step): report.steps.excluded[step] for step in kept if step in report.steps.excluded},
    }
