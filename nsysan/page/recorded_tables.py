"""The tables from which the page makes slices: of most steps what was recorded, of those cut to fit the slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.page.fact_columns import Facts
from nsysan.page.lane_places import lane_columns, rows_of
from nsysan.page.planes import Planes
from nsysan.page.recorded_columns import Looks, Lot, Table, Whom, lines_in, lots_of, work_part
from nsysan.page.shown_names import Names
from nsysan.page.slice_columns import Looks as SliceLooks
from nsysan.page.slice_columns import SliceColumns
from nsysan.report.step_slices import LINE_ORDER, RANGE, SLEEP, WAIT, Slices
from nsysan.report.timeline import Timeline


class RecordedTables:
    """What was recorded in the steps of timelines, told to `planes`.

    tables: descriptions, by name. tracks: their ranks. first: of each timeline the number of its first track, None
    where not what was recorded is told, but the slices; tracks_of: how many tracks it has. kinds: what operations look
    like. lanes: number (of the timeline), rank, lane; queues: see Lot.lanes; lines: those that there may be;
    whom: what hosts wait for, in words.
    """

    def __init__(self, planes: Planes, timelines: Sequence[Timeline], names: Names, facts: Facts) -> None:
        lots = lots_of(timelines)
        looks = Looks(names, facts)
        tracks = [track for lot in lots for track in lot.recorded.tracks]
        parts = (work_part(track, looks) for track in tracks)
        self.tables = {"work": planes.add_parts(parts, [len(track.rows) for track in tracks])}
        self.tracks = [track.rank for track in tracks]
        self.kinds = looks.table
        self.lines: set[int] = set().union(*map(lines_in, tracks))
        self.lanes, self.queues, told = [], [], []
        self.first: list[int | None] = [None] * len(timelines)
        self.tracks_of: dict[int, int] = {}
        whom, at = Whom(), 0
        for lot in lots:
            (ranges, counts), (met, calls) = lot.ranges(names), lot.met()
            told.append({"spans": lot.spans(counts, calls), "met": met, "ranges": ranges})
            lanes, queues = lot.lanes(counts)
            told[-1]["waits"], waiting = lot.waits(names, whom)
            self.lanes += [lanes, waiting]
            self.queues.append(queues)
            self.lines |= {LINE_ORDER[RANGE]} if counts.any() else set()
            for number in lot.numbers.tolist():
                self.first[number], self.tracks_of[number] = at, len(lot.recorded.tracks)
            at += len(lot.recorded.tracks)
        self.whom = whom.table
        sleeps = np.concatenate([own["waits"].columns["sleeps"] for own in told]) if told else np.zeros(0)
        waits = len(sleeps) > 0
        self.lines |= {LINE_ORDER[SLEEP if own else WAIT] for own in np.unique(sleeps)}
        for name in (name for name in (told[0] if told else ()) if waits or name != "waits"):
            self.tables[name] = planes.add(*_together(lots, [own[name] for own in told], len(timelines)))


def _together(lots: Sequence[Lot], parts: Sequence[Table], count: int) -> tuple[dict[str, npt.NDArray[Any]], list[int]]:
    """The tables of all lots as one of `count` timelines."""
    rows = np.zeros(count, dtype=np.int64)
    for lot, part in zip(lots, parts, strict=True):
        rows[lot.numbers] = part.rows
    names = parts[0].columns
    return {name: np.concatenate([part.columns[name] for part in parts]) for name in names}, rows.tolist()


class SlicedTables:
    """The slices of the timelines of which not all is told, told to `planes`.

    looks: what they look like; lanes: number (of the timeline), rank, lane, count; lines: those that there are.
    """

    def __init__(self, planes: Planes, timelines: Sequence[Timeline], names: Names, facts: Facts) -> None:
        self._planes, self._rows = planes, [0] * len(timelines)
        held = enumerate(timeline.held for timeline in timelines)
        own = [(number, drawn) for number, drawn in held if isinstance(drawn, Slices)]
        self._numbers = [number for number, _ in own]
        looks = SliceLooks(names, facts)
        self._columns = SliceColumns([drawn for _, drawn in own], looks)
        self.lanes = pl.DataFrame(schema={"number": pl.Int64, "rank": pl.Int64, "lane": pl.String, "count": pl.Int64})
        if own:
            self._told = planes.add_parts(self._columns.parts(), self._of_all(self._columns.counts))
            lanes = [drawn.lanes.with_columns(number=pl.lit(number, pl.Int64)) for number, drawn in own]
            counts = pl.Series(self._columns.lane_counts, dtype=pl.Int64)
            self.lanes = (
                pl.concat(lanes).with_columns(count=counts).select(self.lanes.columns).filter(pl.col("count") > 0)
            )
        self.looks = looks.table
        self.lines = {line for line, _, _ in looks.table}

    def tables(self, lanes: pl.DataFrame) -> dict[str, Any]:
        """The descriptions of the tables, by name; lanes: as lanes_of has them."""
        if not self._numbers:
            return {}
        own = lanes.filter(pl.col("number").is_in(self._numbers))
        columns = lane_columns(own, self.lanes, self._columns.launches)
        return {
            "slices": self._told,
            "lanes": self._planes.add(columns, rows_of(own, len(self._rows))),
            "calls": self._planes.add({"call": self._columns.calls}, self._of_all(self._columns.sides)),
        }

    def _of_all(self, rows: Sequence[int]) -> list[int]:
        """The rows of all timelines, of those that have some."""
        found = dict(zip(self._numbers, rows, strict=True))
        return [found.get(number, 0) for number in range(len(self._rows))]
