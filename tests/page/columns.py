"""The columns of a page's timelines, read as its script reads them (nsysan/page/assets/steps.js)."""

from __future__ import annotations

from itertools import accumulate, islice
from typing import Any

_SLICE = ("look", "gap", "length", "on")
_SHOWN = ("lane", "line", "begin", "end", "length", "name", "launch", "fact", "call")


def with_columns(report: dict[str, Any], content: bytes) -> dict[str, Any]:
    """The page's report, each of its steps with the columns of its slices: begin, end and launch as they were."""
    tables = {name: _tables(content, table) for name, table in report["tables"].items()}
    for number, step in enumerate(report["steps"]):
        own = {name: of_steps[number] for name, of_steps in tables.items()}
        step.update(_slices(report, own), marks=own["marks"], pieces=own["pieces"])
    return report


def _slices(report: dict[str, Any], own: dict[str, dict[str, list[int]]]) -> dict[str, list[int]]:
    sides, slices = iter(own["calls"]["call"]), zip(*(own["slices"][n] for n in _SLICE), strict=True)
    found: dict[str, list[int]] = {name: [] for name in _SHOWN}
    for lane, (count, first) in enumerate(zip(own["lanes"]["count"], own["lanes"]["on"], strict=True)):
        end, call, launch = 0, -1, first - 1
        for look, gap, length, on in islice(slices, count):
            line, name, fact = report["looks"][look]
            begin = end + gap
            end = begin + length
            launch += on
            further = next(sides) if report["lines"][line]["cut"] else 0
            call += further
            told = lane, line, begin, end, length, name, launch, fact, call if further else -1
            for column, value in zip(found.values(), told, strict=True):
                column.append(value)
    assert next(sides, None) is None
    assert next(slices, None) is None
    return found


def _tables(content: bytes, described: dict[str, Any]) -> list[dict[str, list[int]]]:
    """The columns of each step."""
    rows, at = described["rows"], described["at"]
    total, starts = sum(rows), [0, *accumulate(rows)]
    found: list[dict[str, list[int]]] = [{} for _ in rows]
    for name, width, signed in described["columns"]:
        planes = [content[at + plane * total : at + (plane + 1) * total] for plane in range(width)]
        values = [sum(byte << 8 * plane for plane, byte in enumerate(bytes_)) for bytes_ in zip(*planes, strict=True)]
        if signed:
            values = [-(value + 1) // 2 if value % 2 else value // 2 for value in values]
        for number, start in enumerate(starts[:-1]):
            found[number][name] = values[start : starts[number + 1]]
        at += width * total
    return found
