"""What the page's timeline draws: steps as columns of integers, small once compressed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import codes as coded_rows
from nsysan.metrics.lines import CLAIMED, LINES, ROW, Line
from nsysan.page.fact_columns import Facts
from nsysan.page.palette import COLOURS, COUNTER_COLOURS, INKS, NAMES
from nsysan.page.path_lane import WORDS, path_head, piece_columns
from nsysan.page.planes import Planes
from nsysan.page.slice_columns import in_one
from nsysan.report.range_cells import COUNT, cell_width
from nsysan.report.report import Report, visible_lines
from nsysan.report.step_slices import LINE_ORDER
from nsysan.report.timeline import Timeline, lane_order
from nsysan.text import duration, plain, us

_I64 = npt.NDArray[np.int64]
#: A name is cut at this; what tells two kernels apart may be at its end.
_NAME_WIDTH = 160
#: More rows than this of steps and ranks would weigh more than the rest of the page.
_MAX_LEDGERS = 20_000
#: So many names differ in no real trace; further ones are not told apart.
_MAX_NAMES = 20_000


@dataclass(frozen=True)
class TimelineData:
    """What the page's timelines are drawn from: text, JSON; columns, the bytes of the tables that it describes."""

    text: str
    columns: bytes


def timeline_data(report: Report) -> TimelineData:
    """The page's timelines, and the ledger of every step and rank (ns; null where not measured).

    tables: columns of all steps' slices by lane and begin, of marks and of pieces of the critical path; times are ns
    after the step's origin. lane, line, name are positions in the step's `lanes`, `lines`, `names`. Of a slice, gap is
    the time since the end of the one before on its lane, and on by how much its launch call is numbered higher than
    that of the slice before (0: none, 1: the first); fact and call are those of fact_columns.Facts. The first `claimed`
    lines are those of the ledger, in order of precedence, and `rest` is what none of them claims. late: the rank that
    the verdict names.
    """
    lines = [*LINE_ORDER]
    timelines = report.timelines
    slices = in_one([timeline.drawn for timeline in timelines])
    marks = _numbered([timeline.arrivals for timeline in timelines]).filter("last")
    pieces = _numbered([timeline.path.pieces for timeline in timelines])
    lanes = _lanes(slices.lanes.filter(slices.used), pieces)
    names: dict[str, int] = {}
    codes = {name: _number(names, name) for name in _names(slices.kinds, marks, pieces)}
    planes, facts = Planes(), Facts()
    placed = [_placed(frame, lanes, codes) for frame in (marks, pieces)]
    shown = _codes(slices.kinds, codes), facts.numbered(slices.kinds)
    tables = {
        "slices": planes.add(slices.columns(_place(slices.lanes, lanes).to_numpy(), *shown), slices.counts),
        "marks": planes.add(_mark_columns(placed[0]), _rows(marks, len(timelines))),
        "pieces": planes.add(piece_columns(placed[1]), _rows(pieces, len(timelines))),
    }
    named = [own.rows() for own in _split(lanes.select("rank", "lane"), _rows(lanes, len(timelines)))]
    counters = report.counter_lanes
    steps = [
        _step(timeline, named[number], counters[number] if number < len(counters) else None)
        for number, timeline in enumerate(timelines)
    ]
    data = {
        "ranks": [rank.rank for rank in report.ranks],
        "late": None if report.diagnosis.straggler is None else report.diagnosis.straggler.rank,
        "lines": [_line(line) for line in (*lines, "last")],
        "claimed": len(CLAIMED),
        "rest": NAMES[LINES[-1]],
        "present": slices.lines,
        "counters": COUNTER_COLOURS,
        "path": WORDS,
        "tables": tables,
        "steps": steps,
        "names": list(names),
        "facts": facts.table,
        "ledger": _ledger(report),
    }
    return TimelineData(json.dumps(data, separators=(",", ":"), allow_nan=False), planes.content)


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


def _names(*frames: pl.DataFrame) -> list[str]:
    """The names in these frames, each once, by where they come first."""
    found = [frame["name"].unique(maintain_order=True).cast(pl.String) for frame in frames]
    names: list[str] = pl.concat(found).drop_nulls().unique(maintain_order=True).to_list()
    return names


def _placed(frame: pl.DataFrame, lanes: pl.DataFrame, codes: dict[str, int]) -> pl.DataFrame:
    """The rows with the place of their lane, and their name as the position in the page's names, -1 for none."""
    return frame.with_columns(name=pl.Series(_codes(frame, codes)), place=_place(frame, lanes))


def _codes(frame: pl.DataFrame, codes: dict[str, int]) -> _I64:
    """The position of each row's name in the page's names, -1 for none."""
    number, distinct = coded_rows([frame["name"].cast(pl.Categorical)])
    told = distinct["name"].cast(pl.String).to_list()
    return np.array([codes.get(name, -1) for name in told], dtype=np.int64)[number]


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
        "label": plain(timeline.label, _NAME_WIDTH),
        "role": timeline.role,
        "span": timeline.finish - timeline.origin,
        "period": duration(timeline.period),
        "windows": [list(window) for window in timeline.windows],
        "note": decimation_note(timeline),
        "lanes": [[rank, plain(lane, 40)] for rank, lane in lanes],
        "cells": _cells(timeline),
        "counters": [] if counters is None else _counters(counters),
        "path": path_head(timeline.path),
    }


def _number(names: dict[str, int], name: str) -> int:
    """Position of a name, which is added where it is new."""
    shown = plain(name, _NAME_WIDTH)
    if len(names) >= _MAX_NAMES and shown not in names:
        shown = "(one of more names than this file holds)"
    return names.setdefault(shown, len(names))


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
    shown = [line for line in LINES if line in {*visible_lines(report), *present}]
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
