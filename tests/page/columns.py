"""The columns of a page's timelines, read as its script reads them (nsysan/page/assets/steps.js)."""

from __future__ import annotations

from itertools import accumulate
from typing import Any


def with_columns(report: dict[str, Any], content: bytes) -> dict[str, Any]:
    """The page's report, each of its steps with the columns of its slices: begin, end and launch as they were."""
    slices = _tables(content, report["tables"]["slices"])
    marks = _tables(content, report["tables"]["marks"])
    pieces = _tables(content, report["tables"]["pieces"])
    for step, own, told, path in zip(report["steps"], slices, marks, pieces, strict=True):
        end, begins, ends = 0, [], []
        for number, (gap, length) in enumerate(zip(own["gap"], own["length"], strict=True)):
            if number and own["lane"][number] != own["lane"][number - 1]:
                end = 0
            begins.append(end + gap)
            end += gap + length
            ends.append(end)
        launches = [call - 1 for call in accumulate(own["on"])]
        step |= {**own, "begin": begins, "end": ends, "launch": launches, "marks": told, "pieces": path}
    return report


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
