"""What was recorded in steps as columns of whole numbers, of which the page makes the slices of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import as_they_come, codes
from nsysan.columns.in_order import by_group, changes
from nsysan.columns.intervals import I64
from nsysan.columns.rows import filled
from nsysan.metrics.cut import lines_of
from nsysan.page.fact_columns import TOLD, Facts
from nsysan.page.host_waits import whom_words
from nsysan.page.shown_names import Names
from nsysan.report.in_steps import spread
from nsysan.report.recorded import Track
from nsysan.report.recorded_steps import RecordedStep, RecordedSteps
from nsysan.report.step_slices import LAUNCH, LINE_ORDER
from nsysan.report.stream_lanes import MAX_RANGE_LANES
from nsysan.report.timeline import LAUNCHES, Timeline, wait_lane

_Numbers = npt.NDArray[Any]
#: What a launch call is called of which only the times are recorded.
_UNNAMED = "?"
_PLACE = ["number", "rank", "lane"]


@dataclass(frozen=True)
class Table:
    """Columns of one length, and how many rows of them each timeline has."""

    columns: dict[str, _Numbers]
    rows: list[int]


class Looks:
    """What operations look like: the different line if whole, lines before and after the last arrival, name, facts,
    number of the stream on the track and name of the launch call that there are together; -1 for none.
    """

    def __init__(self, names: Names, facts: Facts) -> None:
        self._names, self._facts = names, facts
        self._number: dict[tuple[int, ...], int] = {}

    @property
    def table(self) -> list[tuple[int, ...]]:
        """The looks by their numbers."""
        return list(self._number)

    def of(self, track: Track) -> I64:
        """The look of each kind of a track."""
        kinds = track.kinds
        stream, _ = _streams(track)
        lines = np.stack(lines_of(kinds["cls"]), axis=1).tolist()
        told = kinds.select("launched", "launch", "name", *TOLD).with_columns(pl.col(pl.Categorical).cast(pl.String))
        rows = told.rows()
        found = np.empty(len(rows), dtype=np.int64)
        for kind in as_they_come(track.rows["kind"].to_numpy(), len(rows)).tolist():
            launched, launch, name, *facts = rows[kind]
            call = self._names.number(_UNNAMED if launch is None else launch) if launched else -1
            own = self._names.number(name), self._facts.number(name, *facts), int(stream[kind]), call
            found[kind] = self._number.setdefault((*lines[kind], *own), len(self._number))
        return found


def _streams(track: Track) -> tuple[_Numbers, pl.DataFrame]:
    """The stream of each kind of a track by its number on it, and context, stream by that number."""
    return codes([track.kinds["context"], track.kinds["stream"]])


class Whom:
    """The different things that hosts wait for, in words."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}

    @property
    def table(self) -> list[str]:
        """By their numbers."""
        return list(self._number)

    def numbered(self, waits: pl.DataFrame) -> I64:
        """The number of what each wait is for and 1, 0 where that is not told; waits: as recorded_waits has them."""
        rows = waits.select("by", "until", "call").iter_rows()
        return np.array([0 if by is None else self._of(by, until, call) for by, until, call in rows], dtype=np.int64)

    def _of(self, rank: int, until: int, call: str) -> int:
        return 1 + self._number.setdefault(whom_words(rank, until, call), len(self._number))


class Lot:
    """Timelines, by their numbers, whose steps are recorded together."""

    def __init__(self, recorded: RecordedSteps, numbers: Sequence[int], steps: Sequence[int]) -> None:
        self.recorded, self.numbers = recorded, np.array(numbers, dtype=np.int64)
        self._steps = np.array(steps, dtype=np.int64)
        self._origins = np.array([recorded.origins[step] for step in steps], dtype=np.int64)
        shape = (len(steps), len(recorded.tracks))
        self._first, self._count, self._met, self._ranges = (np.zeros(shape, dtype=np.int64) for _ in range(4))
        for place, track in enumerate(recorded.tracks):
            order = np.argsort(track.windows["step"].to_numpy())
            known, first, count = (track.windows[name].to_numpy()[order] for name in ("step", "first", "count"))
            at = np.searchsorted(known, self._steps)
            there = at < len(known)
            there[there] = known[at[there]] == self._steps[there]
            self._first[there, place], self._count[there, place] = first[at[there]], count[at[there]]

    def spans(self, ranges: I64, met: I64) -> Table:
        """Of each timeline and track where its operations are, and how many calls and ranges it has."""
        first, count = self._first, self._count
        last = first + count
        before = np.zeros_like(first)
        at, called, calling = (np.zeros_like(first) for _ in range(3))
        for place, track in enumerate(self.recorded.tracks):
            own = np.flatnonzero(count[:, place])
            row = first[own, place]
            before[own, place] = row - np.append(0, last[own[:-1], place])
            at[own, place] = track.rows["begin"].to_numpy()[row] - self._origins[own]
            if track.kinds["launched"].any():
                begin, end, _ = _calls(track)
                called[own, place] = begin[row] - self._origins[own]
                calling[own, place] = end[row] - begin[row]
        columns = {"first": before, "count": count, "at": at, "called": called, "calling": calling}
        columns |= {"met": met, "ranges": ranges}
        return Table({name: values.ravel() for name, values in columns.items()}, [first.shape[1]] * first.shape[0])

    def met(self) -> tuple[Table, I64]:
        """Of each matched call ahead (rows behind the one before in the window), waited (ns) and call (its number and
        1, 0 for none of this step); and how many there are of each timeline and track.
        """
        calls = self.recorded.calls
        known, of, number = (calls[name].to_numpy() for name in ("row", "step", "number"))
        counts = np.zeros_like(self._count)
        parts = []
        for place, track in enumerate(self.recorded.tracks):
            at = track.matched["at"].to_numpy()
            first = np.searchsorted(at, self._first[:, place])
            count = np.searchsorted(at, self._first[:, place] + self._count[:, place]) - first
            counts[:, place] = count
            timeline, own = spread(first, count)
            ahead = at[own] - self._first[timeline, place]
            fresh = changes([timeline]) if len(timeline) else np.zeros(0, dtype=np.bool_)
            ahead[1:] -= np.where(fresh[1:], 0, ahead[:-1].copy())
            waited = track.matched["last"].to_numpy()[own] - track.rows["begin"].to_numpy()[at[own]]
            row = track.matched["row"].to_numpy()[own]
            found = np.minimum(np.searchsorted(known, row), max(len(known) - 1, 0))
            call = np.zeros(len(own), dtype=np.int64)
            if len(known):
                same = (known[found] == row) & (of[found] == self._steps[timeline])
                call[same] = number[found[same]] + 1
            parts.append((timeline, ahead, waited, call))
        timeline, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = by_group(timeline)
        names = ("ahead", "waited", "call")
        told = {name: column[order] for name, column in zip(names, columns, strict=True)}
        return Table(told, counts.sum(axis=1).tolist()), counts

    def ranges(self, names: Names) -> tuple[Table, I64]:
        """Of each range gap (ns since the one before of its rank begins), length and name; and how many there are of
        each timeline and track: those of a rank are on its first.
        """
        ranks, steps = self.recorded.axes.ranks, self.recorded.axes.steps
        counts = np.zeros_like(self._count)
        own = self.recorded.ranges
        place = np.full(len(steps), -1)
        place[np.searchsorted(steps, self._steps)] = np.arange(len(self._steps))
        timeline, rank = place[own["group"].to_numpy() // len(ranks)], own["group"].to_numpy() % len(ranks)
        order = by_group(timeline + 1)[np.count_nonzero(timeline < 0) :]
        timeline, rank = timeline[order], rank[order]
        start, end = (own[name].to_numpy()[order] for name in ("start", "end"))
        first = np.flatnonzero(changes([timeline, rank])) if len(order) else order
        gap = np.append(start[:1], start[1:] - start[:-1])
        gap[first] = start[first] - self._origins[timeline[first]]
        tracks = [track.rank for track in self.recorded.tracks]
        of = np.array([tracks.index(rank) if rank in tracks else -1 for rank in ranks], dtype=np.int64)
        counts[timeline[first], of[rank[first]]] = np.diff(first, append=len(order))
        name = names.numbered(own["name"].gather(pl.Series(order)))
        return Table({"name": name, "gap": gap, "length": end - start}, counts.sum(axis=1).tolist()), counts

    def waits(self, names: Names, whom: Whom) -> tuple[Table, pl.DataFrame]:
        """Of each wait track, lane (of the thread), gap (ns since the one before on it begins), length, name, sleeps
        (1 for a sleep), whom (position in what is waited for and 1, 0 where nothing tells); and number, rank, lane of
        the lanes.
        """
        ranks, steps = self.recorded.axes.ranks, self.recorded.axes.steps
        place = np.full(len(steps), -1)
        place[np.searchsorted(steps, self._steps)] = np.arange(len(self._steps))
        timeline = place[self.recorded.waits["group"].to_numpy() // len(ranks)]
        order = by_group(timeline + 1)[np.count_nonzero(timeline < 0) :]
        own, timeline = self.recorded.waits.select(pl.all().gather(pl.Series(order))), timeline[order]
        rank, lane = own["group"].to_numpy() % len(ranks), own["lane"].to_numpy()
        start = own["start"].to_numpy()
        fresh = changes([timeline, rank, lane]) if len(order) else np.zeros(0, dtype=np.bool_)
        gap = np.append(start[:1], start[1:] - start[:-1])
        gap[fresh] = start[fresh] - self._origins[timeline[fresh]]
        columns = {
            "rank": np.array(ranks)[rank],
            "lane": lane,
            "gap": gap,
            "length": own["end"].to_numpy() - start,
            "name": names.numbered(own["name"]),
            "sleeps": own["sleeps"].cast(pl.Int64).to_numpy(),
            "whom": whom.numbered(own),
        }
        rows = np.bincount(timeline, minlength=len(self._steps)).tolist()
        there = pl.DataFrame({"number": self.numbers[timeline], "rank": np.array(ranks)[rank], "lane": lane}).unique()
        lanes = there.with_columns(pl.Series("lane", [wait_lane(lane) for lane in there["lane"]], pl.String))
        return Table(columns, rows), lanes

    def lanes(self, ranges: I64) -> tuple[pl.DataFrame, pl.DataFrame]:
        """number, rank, lane of what was recorded; and of the streams number, track, queue, rank, lane."""
        tracks = self.recorded.tracks
        known = [
            _streams(track)[1].with_row_index("queue").with_columns(rank=pl.lit(track.rank, pl.Int64), track=place)
            for place, track in enumerate(tracks)
        ]
        numbers = pl.DataFrame({"step": self._steps, "number": self.numbers})
        streams = self.recorded.lanes.join(numbers, on="step")
        queues = streams.join(pl.concat(known), on=["rank", "context", "stream"], nulls_equal=True)
        ranks = np.array([track.rank for track in tracks])
        parts = [queues.select(_PLACE)]
        called = self._count * np.array([track.kinds["launched"].any() for track in tracks])
        for lane, there in [(LAUNCHES, called), *((f"NVTX {n + 1}", ranges > n) for n in range(MAX_RANGE_LANES))]:
            timeline, place = np.nonzero(there)
            rows = pl.DataFrame({"number": self.numbers[timeline], "rank": ranks[place]})
            parts.append(rows.select("number", "rank", lane=pl.lit(lane)))
        return pl.concat(parts), queues.select("number", "track", "queue", "rank", "lane")


def _calls(track: Track) -> tuple[I64, I64, npt.NDArray[np.bool_]]:
    """When the launch call of each operation begins and ends, of one without those of the one before it; and whether
    it is another call than that one's.
    """
    begin, end = track.rows["launch_start"], track.rows["launch_end"]
    called, done = filled(begin, 0).to_numpy(), filled(end, 0).to_numpy()
    names = track.kinds["launch"].cast(pl.String).to_list()
    numbers = {name: number for number, name in enumerate(names)}
    name = np.array([numbers[name] for name in names], dtype=np.int16)[track.rows["kind"].to_numpy()]
    if begin.null_count():
        there = begin.is_not_null().to_numpy()
        last = np.maximum.accumulate(np.where(there, np.arange(len(called)), -1))
        last[last < 0] = np.argmax(there)
        called, done, name = called[last], done[last], name[last]
    fresh = changes([called, done, name])
    fresh[:1] = False
    return called, done, fresh


def work_part(track: Track, looks: Looks) -> dict[str, _Numbers]:
    """Columns of a track's operations: look, gap (ns since the one before has ended), length; on, ns from the end of
    the launch call of the one before to its own, and calling, ns that that takes and 1, or 0 for the same call or none.
    """
    begin, end = (track.rows[name].to_numpy() for name in ("begin", "end"))
    called, done, fresh = _calls(track)
    gap, on = np.zeros_like(begin), np.zeros_like(begin)
    np.subtract(begin[1:], end[:-1], out=gap[1:])
    np.subtract(called[1:], done[:-1], out=on[1:], where=fresh[1:])
    look = looks.of(track)[track.rows["kind"].to_numpy()]
    return {"look": look, "gap": gap, "length": end - begin, "on": on, "calling": np.where(fresh, done - called + 1, 0)}


def lines_in(track: Track) -> set[int]:
    """The lines that its operations may have, and that of launch calls."""
    whole, before, after = lines_of(track.kinds["cls"])
    kind, at = track.rows["kind"].to_numpy(), track.matched["at"].to_numpy()
    waits = track.matched["last"].to_numpy() > track.rows["begin"].to_numpy()[at]
    count, met, waited = (np.bincount(own, minlength=len(whole)) for own in (kind, kind[at], kind[at[waits]]))
    found = {*whole[count > met].tolist(), *before[waited > 0].tolist(), *after[met > 0].tolist()} - {-1}
    return found | ({LINE_ORDER[LAUNCH]} if track.kinds["launched"].any() else set())


def lots_of(timelines: Sequence[Timeline]) -> list[Lot]:
    """The timelines whose slices the page makes itself."""
    told = [
        (held.recorded, number, held.step)
        for number, timeline in enumerate(timelines)
        if isinstance(held := timeline.held, RecordedStep)
    ]
    lots = []
    for _, own in groupby(told, key=lambda row: id(row[0])):
        recordings, numbers, steps = zip(*own, strict=True)
        lots.append(Lot(recordings[0], numbers, steps))
    return lots
