"""What was recorded in some steps, of which the slices of each are made when they are asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl

from nsysan.report.in_steps import Axes
from nsysan.report.launch_calls import launch_calls
from nsysan.report.recorded import Track, work_of
from nsysan.report.slice_rows import by_step, call_slices, range_slices, wait_slices, work_slices
from nsysan.report.step_slices import LANE, Slices
from nsysan.report.stream_lanes import STREAM


@dataclass(frozen=True)
class RecordedSteps:
    """What traces recorded in some steps of some ranks.

    tracks: of all traces. ranges, waits: as recorded_waits.hosts_of gives them, the latter with what they are for.
    lanes: step, rank, context, stream, lane of what ran. arrived: step and the columns of Timeline.arrivals; calls:
    row, step, number of the matched calls, by row. origins: of the steps, ascending.
    """

    axes: Axes
    tracks: list[Track]
    ranges: pl.DataFrame
    waits: pl.DataFrame
    lanes: pl.DataFrame
    arrived: pl.DataFrame
    calls: pl.DataFrame
    origins: dict[int, int]

    @cached_property
    def _parts(self) -> dict[frozenset[int], RecordedSteps]:
        return {}

    def of_ranks(self, ranks: Collection[int]) -> RecordedSteps:
        """What was recorded of these ranks alone."""
        key = frozenset(ranks)
        if key not in self._parts:
            own = pl.col("rank").is_in(sorted(ranks))
            places = [place for place, rank in enumerate(self.axes.ranks) if rank in key]
            inside = (pl.col("group") % len(self.axes.ranks)).is_in(places)
            self._parts[key] = replace(
                self,
                tracks=[track for track in self.tracks if track.rank in key],
                ranges=self.ranges.filter(inside),
                waits=self.waits.filter(inside),
                lanes=self.lanes.filter(own),
                arrived=self.arrived.filter(own),
            )
        return self._parts[key]

    def slices_of(self, step: int) -> Slices:
        """The slices of a step."""
        axes = Axes([step], self.axes.ranks)
        first = self.axes.steps.index(step) * len(axes.ranks)
        work = work_of(self.tracks, axes)
        groups = axes.of(work.rows["group"].to_numpy()).with_columns(
            *work.queues.select(pl.all().gather(work.rows["queue"]))
        )
        # Streams may share a lane.
        own = self.lanes.filter(step=step)
        shared = own.select("step", *LANE).unique(maintain_order=True).with_row_index("row")
        lanes = own.join(shared, on=["step", *LANE], maintain_order="left").select(*STREAM, "row")
        lane = groups.join(lanes, on=STREAM, how="left", nulls_equal=True, maintain_order="left")["row"].to_numpy()
        met = self.arrived.filter(step=step).join(shared, on=["step", *LANE])
        met = met.select("name", "collective", lane="row", begin=pl.col("time") + self.origins[step])
        met = met.unique(["lane", "begin", "name"], keep="first", maintain_order=True)
        calls = launch_calls(work, len(axes.ranks))
        groups_of = pl.col("group") - first
        inside = pl.col("group").is_between(0, len(axes.ranks) - 1)
        ranges, waits = (rows.with_columns(groups_of).filter(inside) for rows in (self.ranges, self.waits))
        parts = [
            work_slices(work, lane, shared.drop("row"), calls, met),
            call_slices(calls, axes),
            range_slices(ranges, axes),
            wait_slices(waits, axes),
        ]
        return by_step(parts, {step: self.origins[step]})[step]


@dataclass(frozen=True)
class RecordedStep:
    """One of the recorded steps; count: of what is in it, about as many slices."""

    recorded: RecordedSteps
    step: int
    count: int

    @cached_property
    def slices(self) -> Slices:
        """Its slices."""
        return self.recorded.slices_of(self.step)

    def of_ranks(self, ranks: Collection[int]) -> RecordedStep:
        """What it has of these ranks."""
        return replace(self, recorded=self.recorded.of_ranks(ranks))
