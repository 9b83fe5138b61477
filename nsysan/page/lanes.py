"""What the page's timeline draws: steps as columns of integers, small once compressed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.metrics.lines import CLAIMED, LINES, ROW, Line
from nsysan.page.fact_columns import Facts
from nsysan.page.lane_places import Layouts, lanes_of, numbered, placed, rows_of
from nsysan.page.palette import COLOURS, COUNTER_COLOURS, INKS, NAMES
from nsysan.page.path_lane import WORDS, path_head, piece_columns
from nsysan.page.planes import Planes
from nsysan.page.recorded_tables import RecordedTables, SlicedTables
from nsysan.page.shown_names import NAME_WIDTH, Names
from nsysan.report.range_cells import COUNT, cell_width
from nsysan.report.report import Report, visible_lines
from nsysan.report.step_slices import LINE_ORDER, SLEEP, WAIT
from nsysan.report.timeline import Timeline
from nsysan.text import duration, plain, us

_I64 = npt.NDArray[np.int64]
#: More rows than this of steps and ranks would weigh more than the rest of the page.
_MAX_LEDGERS = 20_000
_OF_HOSTS = {LINE_ORDER[WAIT], LINE_ORDER[SLEEP]}


def timeline_data(report: Report, planes: Planes) -> str:
    """The page's timelines, and the ledger of every step and rank (ns; null where not measured), as JSON; the columns
    that it describes go to `planes`.

    tables: columns of operations, track by track (work, see recorded_columns.work_part; `tracks` are their ranks,
    `kinds` what they look like), and of each step, of which `track` is the first: where those are that meet its windows
    (spans, see Lot.spans), matched calls and ranges (met, ranges), marks and pieces of the critical path; times are ns
    after the step's origin. layout: the step's in `layouts` (see Layouts). Of the steps of which not all is in the file
    (track: null) the slices themselves are told, by lane and begin: look is a position in `looks`, whose numbers are
    positions in `lines`, `names` and `facts` (fact_columns.Facts, -1 for none). Of a slice, gap is the time since the
    end of the one before on its lane, and on by how much its launch call is numbered higher; of a lane, count is how
    many slices it has, and on the number of the first one's launch call (0: none, 1: the first). Of the slices that are
    a side of a call (`cut` of their line), call is by how much its number in the step is higher than that of the one
    before on the lane (0: none, 1: the first of all). The first `claimed` lines are those of the ledger, in order of
    precedence, and `rest` is what none of them claims. late: the rank that the verdict names.
    """
    timelines = report.timelines
    names, facts = Names(), Facts()
    recorded = RecordedTables(planes, timelines, names, facts)
    slices = SlicedTables(planes, timelines, names, facts)
    marks = numbered([timeline.arrivals for timeline in timelines]).filter("last")
    pieces = numbered([timeline.path.pieces for timeline in timelines])
    lanes = lanes_of([*recorded.lanes, slices.lanes, pieces])
    marks, pieces = (placed(frame, lanes, names) for frame in (marks, pieces))
    count = len(timelines)
    tables = (
        recorded.tables
        | slices.tables(lanes)
        | {
            "marks": planes.add(_mark_columns(marks), rows_of(marks, count)),
            "pieces": planes.add(piece_columns(pieces), rows_of(pieces, count)),
        }
    )
    present = recorded.lines | slices.lines
    # What no trace of most tells is in no page of theirs.
    shown = [line for line in LINE_ORDER if line not in (WAIT, SLEEP) or present & _OF_HOSTS]
    layouts = Layouts(lanes, recorded.queues, recorded.tracks_of, count)
    counters = report.counter_lanes
    data = {
        "ranks": [rank.rank for rank in report.ranks],
        "late": None if report.diagnosis.straggler is None else report.diagnosis.straggler.rank,
        "lines": [_line(line) for line in (*shown, "last")],
        "claimed": len(CLAIMED),
        "rest": NAMES[LINES[-1]],
        "present": sorted(present),
        "counters": COUNTER_COLOURS,
        "path": WORDS,
        "tables": tables,
        "tracks": recorded.tracks,
        "layouts": layouts.table,
        "steps": [
            _step(
                timeline,
                layouts.of[number],
                recorded.first[number],
                counters[number] if number < len(counters) else None,
            )
            for number, timeline in enumerate(timelines)
        ],
        "names": names.table,
        "facts": facts.table,
        "kinds": recorded.kinds,
        **({"whom": recorded.whom} if recorded.whom else {}),
        "looks": slices.looks,
        "ledger": _ledger(report),
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


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
    if not timeline.merged:
        return ""
    shown = len(timeline.drawn)
    return (
        f"{shown:,} of {timeline.total:,} slices are in this file: of those shorter than {us(timeline.merged)} µs on a "
        f"lane, the longest in each {us(timeline.merged)} µs. The figures count all."
    )


def _step(timeline: Timeline, layout: int, track: int | None, counters: pl.DataFrame | None) -> dict[str, Any]:
    return {
        "step": timeline.step,
        "label": plain(timeline.label, NAME_WIDTH),
        "role": timeline.role,
        "span": timeline.finish - timeline.origin,
        "period": duration(timeline.period),
        "windows": [list(window) for window in timeline.windows],
        "note": decimation_note(timeline),
        "layout": layout,
        "track": track,
        "cells": _cells(timeline),
        "counters": [] if counters is None else _counters(counters),
        "path": path_head(timeline.path),
    }


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
