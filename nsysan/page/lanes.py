"""What the page's timeline draws: steps as columns of integers, small once compressed."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import polars as pl

from nsysan.metrics.lines import CLAIMED, LINES, ROW, Line
from nsysan.page.fact_columns import Facts
from nsysan.page.palette import COLOURS, COUNTER_COLOURS, INKS, NAMES
from nsysan.page.path_lane import WORDS, path_columns
from nsysan.report.range_cells import COUNT, cell_width
from nsysan.report.report import Report, visible_lines
from nsysan.report.timeline import LAUNCH, LAUNCHES, RANGE, Timeline
from nsysan.text import duration, plain, us

#: A name is cut at this; what tells two kernels apart may be at its end.
_NAME_WIDTH = 160
#: More rows than this of steps and ranks would weigh more than the rest of the page.
_MAX_LEDGERS = 20_000
#: So many names differ in no real trace; further ones are not told apart.
_MAX_NAMES = 20_000


def timeline_data(report: Report) -> str:
    """JSON of the page's timelines, and the ledger of every step and rank (ns; null where not measured).

    Slices are columns ordered by lane and begin; begin is told as the difference to the slice before, times are ns
    after the step's origin. line, lane, name are positions in `lines`, the step's `lanes`, `names`; launch is -1 where
    no launch call is recorded; fact and call are those of fact_columns.Facts. The first `claimed` lines are those of
    the ledger, in order of precedence, and `rest` is what none of
    them claims. late: the rank that the verdict names.
    """
    lines = [*CLAIMED, LAUNCH, RANGE]
    names: dict[str, int] = {}
    lanes, facts = report.counter_lanes, Facts()
    steps = [
        _step(timeline, lines, (names, facts), lanes[number] if number < len(lanes) else None)
        for number, timeline in enumerate(report.timelines)
    ]
    data = {
        "ranks": [rank.rank for rank in report.ranks],
        "late": None if report.diagnosis.straggler is None else report.diagnosis.straggler.rank,
        "lines": [_line(line) for line in (*lines, "last")],
        "claimed": len(CLAIMED),
        "rest": NAMES[LINES[-1]],
        "counters": COUNTER_COLOURS,
        "path": WORDS,
        "steps": steps,
        "names": list(names),
        "facts": facts.table,
        "ledger": _ledger(report),
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


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
    shown = len(timeline.slices)
    if shown == timeline.total:
        return ""
    return (
        f"{shown:,} of {timeline.total:,} slices are in this file: of those shorter than {us(timeline.merged)} µs on a "
        f"lane, the longest in each {us(timeline.merged)} µs. The figures count all."
    )


_LANE = ["rank", "lane"]


def _step(
    timeline: Timeline, lines: list[str], told: tuple[dict[str, int], Facts], counters: pl.DataFrame | None
) -> dict[str, Any]:
    (names, facts), slices = told, timeline.slices
    pieces = timeline.path.pieces
    named = sorted(pl.concat([slices[_LANE], pieces[_LANE]]).unique().iter_rows(), key=_position)
    lanes = pl.DataFrame(
        [(rank, lane, number) for number, (rank, lane) in enumerate(named)],
        schema={"rank": pl.Int64, "lane": pl.String, "number": pl.Int64},
        orient="row",
    )
    ordered = slices.join(lanes, on=["rank", "lane"], maintain_order="left").sort("number", "begin", "end", "line")
    marks = timeline.arrivals.filter("last").join(lanes, on=["rank", "lane"], maintain_order="left")
    return {
        "step": timeline.step,
        "label": plain(timeline.label, _NAME_WIDTH),
        "role": timeline.role,
        "span": timeline.finish - timeline.origin,
        "period": duration(timeline.period),
        "windows": [list(window) for window in timeline.windows],
        "note": decimation_note(timeline),
        "lanes": [[rank, plain(lane, 40)] for rank, lane in lanes.select("rank", "lane").iter_rows()],
        "lane": ordered["number"].to_list(),
        "line": [lines.index(line) for line in ordered["line"]],
        "begin": (ordered["begin"] - ordered["begin"].shift(1, fill_value=0)).to_list(),
        "length": (ordered["end"] - ordered["begin"]).to_list(),
        "name": [_number(names, name) for name in ordered["name"]],
        "launch": ordered["launch"].fill_null(-1).to_list(),
        **facts.columns(ordered),
        "cells": _cells(timeline, lines),
        "last": [
            [lane, time, late, collective, _number(names, name)]
            for lane, time, late, collective, name in marks.select(
                "number", "time", "lateness", "collective", "name"
            ).iter_rows()
        ],
        "counters": [] if counters is None else _counters(counters),
        "path": path_columns(timeline.path, lanes, partial(_number, names)),
    }


def _number(names: dict[str, int], name: str) -> int:
    """Position of a name, which is added where it is new."""
    shown = plain(name, _NAME_WIDTH)
    if len(names) >= _MAX_NAMES and shown not in names:
        shown = "(one of more names than this file holds)"
    return names.setdefault(shown, len(names))


def _position(rank_and_lane: tuple[int, str]) -> tuple[int, int, int, str]:
    """Order of the lanes: by rank, and there ranges over the calls inside them, over the work."""
    rank, lane = rank_and_lane
    kind = 0 if lane.startswith("NVTX") else 1 if lane == LAUNCHES else 2
    return rank, kind, len(lane), lane


def _cells(timeline: Timeline, lines: list[str]) -> dict[str, Any] | None:
    """The ledger in cells of `width` ns: columns of rank, line (its number), ns in each; None where not needed."""
    cells = timeline.cells
    if cells is None:
        return None
    width = cell_width(max((end for _, _, end in timeline.windows), default=0))
    line = [lines.index(line) for line in cells["line"]]
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
