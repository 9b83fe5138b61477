"""Which steps to export: those named, or the median, the p99 and the slowest steady one."""

from __future__ import annotations

import math
import re

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.run.run import Run

_PART = re.compile(r"(\d{1,18})(?::(\d{1,18}))?")


def parse_steps(text: str) -> list[tuple[int, int]]:
    """First and last number of each range in a text such as "3,10:20"; ValueError where it is none."""
    return [_range(part.strip()) for part in text.split(",")]


def choose_steps(run: Run, wanted: list[tuple[int, int]] | None = None) -> list[int]:
    """Numbers of the steps to export, ascending.

    wanted: ranges of numbers, both ends included; by default the median, the p99 and the slowest of the steady
    steps, or of all where none is steady. NsysanError where no such step is there.
    """
    there = run.windows["step"].unique().sort().to_list()
    if wanted is None:
        return _telling(run, there)
    chosen = [step for step in there if any(first <= step <= last for first, last in wanted)]
    if not chosen:
        asked = ", ".join(f"{first}:{last}" if last > first else str(first) for first, last in wanted)
        raise NsysanError(f"no step {asked} in the run, whose steps are {there[0]} to {there[-1]}", ExitCode.NO_STEPS)
    return chosen


def _range(part: str) -> tuple[int, int]:
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(f"{part!r} is neither a step nor a range of steps, such as 17 or 10:20")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise ValueError(f"{part!r} ends before it begins")
    return first, last


def _telling(run: Run, there: list[int]) -> list[int]:
    candidates = run.steady_steps or there
    periods = (
        run.windows.filter(pl.col("step").is_in(candidates))
        .group_by("step")
        .agg(period=(pl.col("finish") - pl.col("begin")).median())
        .sort("period", "step")["step"]
        .to_list()
    )
    count = len(periods)
    return sorted({periods[(count - 1) // 2], periods[math.ceil(0.99 * count) - 1], periods[-1]})
