"""The columns of a page's timelines, read as its scripts read them (nsysan/page/assets/steps.js and recorded.js)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, islice
from typing import Any

_SLICE = ("look", "gap", "length", "on")
_SHOWN = ("lane", "line", "begin", "end", "length", "name", "launch", "fact", "call")
_Columns = dict[str, list[int]]


def with_columns(report: dict[str, Any], content: bytes) -> dict[str, Any]:
    """The page's report, each of its steps with its lanes and the columns of its slices."""
    read = {name: _table(content, table) for name, table in report["tables"].items()}

    def own(name: str, number: int) -> _Columns:
        rows = report["tables"][name]["rows"]
        return read[name](sum(rows[:number]), rows[number])

    ends = [sum(report["tables"]["work"]["rows"][:track]) for track in range(len(report["tracks"]))]
    for number, step in enumerate(report["steps"]):
        step.update(report["layouts"][step["layout"]])
        if step["track"] is None:
            found = _slices(report, {name: own(name, number) for name in ("slices", "lanes", "calls")})
        else:
            told = {name: own(name, number) for name in ("spans", "met", "ranges")}
            found = _recorded(report, step, told, read["work"], ends)
        step.update(found, marks=own("marks", number), pieces=own("pieces", number))
    return report


def _slices(report: dict[str, Any], own: dict[str, _Columns]) -> _Columns:
    """Those of a step of which not all is in the file."""
    sides, slices = iter(own["calls"]["call"]), zip(*(own["slices"][n] for n in _SLICE), strict=True)
    found: _Columns = {name: [] for name in _SHOWN}
    for lane, (count, first) in enumerate(zip(own["lanes"]["count"], own["lanes"]["on"], strict=True)):
        end, call, launch = 0, -1, first - 1
        for look, gap, length, on in islice(slices, count):
            line, name, fact = report["looks"][look]
            begin = end + gap
            end = begin + length
            launch += on
            further = next(sides) if report["lines"][line]["cut"] else 0
            call += further
            _add(found, lane, line, begin, end, name, launch, fact, call if further else -1)
    assert next(sides, None) is None
    assert next(slices, None) is None
    return found


def _add(found: _Columns, lane: int, line: int, begin: int, end: int, *told: int) -> None:
    for column, value in zip(found.values(), (lane, line, begin, end, end - begin, *told), strict=True):
        column.append(value)


def _recorded(
    report: dict[str, Any],
    step: dict[str, Any],
    told: dict[str, _Columns],
    work: Callable[[int, int], _Columns],
    ends: list[int],
) -> _Columns:
    """What was recorded of a step, cut at last arrivals; ends: of each track the row behind the step before."""
    lines = [line["id"] for line in report["lines"]]
    place = {(rank, name): lane for lane, (rank, name) in enumerate(step["lanes"])}
    lanes: list[list[list[Any]]] = [[] for _ in step["lanes"]]
    met, ranges = iter(zip(*told["met"].values(), strict=True)), iter(zip(*told["ranges"].values(), strict=True))
    launched: dict[int, set[tuple[int, ...]]] = {}
    spans = zip(*told["spans"].values(), strict=True)
    for track, (first, count, *at, calls, many) in enumerate(spans, step["track"]):
        rank = report["tracks"][track]
        row, ends[track] = ends[track] + first, ends[track] + first + count
        matched, ahead = {}, 0
        for more, waited, call in islice(met, calls):
            ahead += more
            matched[ahead] = waited, call - 1
        calls_of = launched.setdefault(rank, set())
        queues = step["queues"][track - step["track"]]
        window = next(((begin, end) for own, begin, end in step["windows"] if own == rank), (0, 0))
        for number, look, begin, end, now in _operations(work(row, count), at):
            whole, before, after, name, fact, queue, launch = report["kinds"][look]
            if end <= window[0] or begin >= window[1]:
                continue
            key = (*now, launch) if launch >= 0 else None
            calls_of |= {key} if key is not None else set()
            waited, call = matched.get(number, (end - begin, -1))
            parts = [(before if number in matched else whole, begin, begin + waited, call)]
            parts += [(after, begin + waited, end, -1 if waited > 0 else call)] if number in matched else []
            for line, begins, finish, own in parts[waited <= 0 and number in matched :]:
                lanes[queues[queue]] += [[line, begins, finish, name, (rank, key), fact, own]] if line >= 0 else []
        for depth, begin, end, name in _nested(islice(ranges, many)):
            lanes[place[rank, f"NVTX {depth}"]].append([lines.index("nvtx"), begin, end, name, (rank, None), -1, -1])
    ordered = [(rank, call) for rank, own in launched.items() for call in sorted(own)]
    numbers = {call: number for number, call in enumerate(ordered)}
    for rank, call in ordered:
        lanes[place[rank, "launches"]].append([lines.index("launch"), *call, (rank, call), -1, -1])
    found: _Columns = {name: [] for name in _SHOWN}
    for number, slices in enumerate(lanes):
        for line, begin, end, name, key, fact, call in sorted(slices, key=lambda slice_: slice_[1]):
            _add(found, number, line, begin, end, name, numbers.get(key, -1), fact, call)
    assert (next(met, None), next(ranges, None)) == (None, None)
    return found


def _operations(columns: _Columns, at: list[int]) -> Iterator[tuple[int, int, int, int, tuple[int, int]]]:
    """number, look, begin, end, and begin and end of the launch call; at: begin of the first, and of its call, and how
    long that takes.
    """
    end, now = 0, (at[1], at[1] + at[2])
    for number, (look, gap, length, on, calling) in enumerate(zip(*columns.values(), strict=True)):
        begin = end + gap if number else at[0]
        end = begin + length
        if number and calling:
            now = now[1] + on, now[1] + on + calling - 1
        yield number, look, begin, end, now


def _nested(ranges: Iterable[tuple[int, ...]]) -> Iterator[tuple[int, int, int, int]]:
    """depth, begin, end, name of ranges: each on the first lane that is free."""
    until, begin = [-math.inf] * 4, 0
    for name, gap, length in ranges:
        begin += gap
        depth = next((depth for depth, busy in enumerate(until) if busy <= begin), None)
        if depth is not None:
            until[depth] = begin + length
            yield depth + 1, begin, begin + length, name


def _table(content: bytes, described: dict[str, Any]) -> Callable[[int, int], _Columns]:
    """What reads the columns of some rows: from the first, so many."""
    total = sum(described["rows"])

    def read(first: int, count: int) -> _Columns:
        found, at = {}, described["at"]
        for name, width, signed in described["columns"]:
            starts = accumulate([total] * (width - 1), initial=at + first)
            planes = [content[start : start + count] for start in starts]
            values = [sum(byte << 8 * plane for plane, byte in enumerate(row)) for row in zip(*planes, strict=True)]
            found[name] = [-(v + 1) // 2 if v % 2 else v // 2 for v in values] if signed else values
            at += width * total
        return found

    return read
