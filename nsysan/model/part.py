"""One report's part in a run: its operations on the run's clock, with ranks and steps, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import polars as pl

from nsysan._errors import NsysanError
from nsysan.model.attach import attach
from nsysan.model.clock import shifted
from nsysan.model.host_clock import HostClock, host_clocks
from nsysan.model.ranks import Rank
from nsysan.model.reading import Reading, Recipe, Summary, read, summarise
from nsysan.trace.export import Trace

_T = TypeVar("_T")


@dataclass(frozen=True)
class Placement:
    """What a report is told of its run.

    number: of the report. offset: ns from its clock to the run's. first_row: number of its first operation.
    ranks: those that it shows; keys: the rank_key of each. opened: rank_key, begin (report's clock), step of its
    windows. passing: row (in the report), step of communication that no range claims but that begins inside a step.
    last: row (in the report), last: last arrival at a matched collective. windows: those of its ranks, as the run has
    them.
    """

    number: int
    offset: int
    first_row: int
    keys: list[int]
    ranks: list[Rank]
    opened: pl.DataFrame
    passing: pl.DataFrame
    last: pl.DataFrame
    windows: pl.DataFrame


@dataclass(frozen=True)
class Part:
    """One report's part in a run.

    work: operations of its ranks (see model.run.Model.work).
    """

    placement: Placement
    trace: Trace
    work: pl.DataFrame

    @property
    def windows(self) -> pl.DataFrame:
        """The windows of its ranks, as the run has them."""
        return self.placement.windows

    @property
    def number(self) -> int:
        """The report's number in the run."""
        return self.placement.number

    @cached_property
    def synchronise_calls(self) -> pl.DataFrame:
        """The host's synchronise calls on the run's clock: thread, start, end."""
        return shifted(self.trace.synchronise_calls, self.placement.offset).select("thread", "start", "end")

    @cached_property
    def host_clocks(self) -> dict[int, HostClock]:
        """Whether launch calls and GPU work of each rank are on one clock."""
        return host_clocks(self.work)

    @property
    def clocked_work(self) -> pl.DataFrame:
        """`work`, without the launch calls of ranks whose GPU's clock does not agree with their CPU's."""
        off = [rank for rank, clock in self.host_clocks.items() if not clock.agrees]
        if not off:
            return self.work
        times = ("launch_start", "launch_end")
        return self.work.with_columns(pl.when(~pl.col("rank").is_in(off)).then(pl.col(t)).alias(t) for t in times)


def place(reading: Reading, placement: Placement) -> Part:
    """The part of a reading in a run."""
    work = reading.work
    members = reading.found.membership.join(placement.opened, on=["rank_key", "begin"], how="inner")
    steps = pl.concat([members.select("row", "step"), placement.passing.cast({"row": members.schema["row"]})])
    work = attach(attach(work, steps), placement.last)
    rank_of = {"rank_key": placement.keys, "rank": [rank.rank for rank in placement.ranks]}
    work = attach(work, pl.DataFrame(rank_of, schema={"rank_key": pl.Int64, "rank": pl.Int64}), on="rank_key")
    work = work.drop("rank_key").with_columns(
        pl.col("row") + placement.first_row, report=pl.lit(placement.number, dtype=pl.Int64)
    )
    if work["rank"].null_count():
        work = work.filter(pl.col("rank").is_not_null())
    if placement.offset:
        work = shifted(work, placement.offset)
    work = reading.recipe.narrow.of_work(work, placement.windows)
    return Part(placement, reading.trace, work)


class Parts(Protocol):
    """The reports of a run wherever they are held: read and placed once, and then asked."""

    def read(self, recipes: Sequence[Recipe]) -> list[Summary | NsysanError]:
        """Read each report; its summary, or why it cannot be read."""

    def place(self, placements: Mapping[int, Placement]) -> None:
        """Give the reports their places, by the position of their recipe; the others are let go."""

    def ask(self, question: Callable[..., _T], arguments: Sequence[tuple[object, ...]]) -> list[_T]:
        """The answer of each placed report, in their order.

        question: a function at the top of a module, called with the Part and the report's arguments.
        """


class Here:
    """The reports held in this process."""

    def __init__(self) -> None:
        self._readings: list[Reading | None] = []
        self._parts: list[Part] = []

    def read(self, recipes: Sequence[Recipe]) -> list[Summary | NsysanError]:
        """Read each report; its summary, or why it cannot be read."""
        found: list[Summary | NsysanError] = []
        for recipe in recipes:
            reading = attempt(recipe)
            self._readings.append(reading if isinstance(reading, Reading) else None)
            found.append(summarise(reading) if isinstance(reading, Reading) else reading)
        return found

    def place(self, placements: Mapping[int, Placement]) -> None:
        """Give the reports their places; what they were before is let go one by one."""
        readings, self._readings = self._readings, []
        for number, placement in placements.items():
            reading, readings[number] = readings[number], None
            if reading is not None:
                self._parts.append(place(reading, placement))

    def ask(self, question: Callable[..., _T], arguments: Sequence[tuple[object, ...]]) -> list[_T]:
        """The answer of each placed report."""
        return [question(part, *own) for part, own in zip(self._parts, arguments, strict=True)]


def attempt(recipe: Recipe) -> Reading | NsysanError:
    """The report, or why it cannot be read, as a value."""
    try:
        return read(recipe)
    except NsysanError as error:
        return error
