"""A trace placed in its run: its operations on the run's clock, with ranks and steps, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import codes
from nsysan.columns.rows import in_a_row, none_if_negative, repeated, taken
from nsysan.columns.threads import each_of
from nsysan.columns.times import Shift, shifted
from nsysan.model.host_clock import HostClock
from nsysan.model.operations import OPERATION, Operations
from nsysan.model.ranks import Rank, physical_gpu
from nsysan.trace.globals import pid_of
from nsysan.trace.trace import Trace

_T = TypeVar("_T")


@dataclass(frozen=True)
class Placement:
    """What a trace is told of its run.

    number: of the trace. shift: from its clock to the run's; late: ns by which the GPU of a rank is behind that, by
    rank; host_clocks: of all its ranks. first_row: number of its first operation.
    ranks: those that it shows; keys: the rank_key of each. opened: rank_key, begin (trace's clock), step of its
    windows. passing: row (in the trace), step of communication that no range claims but that begins inside a step.
    last: row (in the trace), last: last arrival at a matched collective. windows: those of its ranks, as the run has
    them.
    """

    number: int
    shift: Shift
    late: dict[int, int]
    host_clocks: dict[int, HostClock]
    first_row: int
    keys: list[int]
    ranks: list[Rank]
    opened: pl.DataFrame
    passing: pl.DataFrame
    last: pl.DataFrame
    windows: pl.DataFrame


#: What PlacedTrace.frame tells beside the columns of operations.OPERATION.
_OF_RUN = {
    "trace": pl.Int64(),
    "rank": pl.Int64(),
    "step": pl.Int64(),
    "message_bytes": pl.Int64(),
    "communicator": pl.Categorical(),
    "last": pl.Int64(),
}
_ON_CLOCK = ("start", "end", "begin", "launch_start", "launch_end")
_ON_GPU = ("start", "end", "begin")
#: So many operations at a time are there as frames, which take several times as much as they do otherwise.
_AT_ONCE = 4_000_000
_LAUNCH_TIMES = ("launch_start", "launch_end")


@dataclass(frozen=True)
class PlacedTrace:
    """A trace placed in its run.

    operations: of the trace, with its owners and its clock. steps: the step of each, -1 outside of steps. rows: those
    that are of the part, by rank_key, where it has not all of an owner. told: row (in the trace), message_bytes,
    communicator.
    """

    placement: Placement
    trace: Trace
    operations: Operations
    steps: npt.NDArray[np.int32]
    rows: dict[int, npt.NDArray[np.int64]]
    payloads: pl.DataFrame

    @property
    def windows(self) -> pl.DataFrame:
        """The windows of its ranks, as the run has them."""
        return self.placement.windows

    @property
    def number(self) -> int:
        """The trace's number in the run."""
        return self.placement.number

    @cached_property
    def _parts(self) -> dict[frozenset[int], PlacedTrace]:
        return {}

    def of_ranks(self, ranks: frozenset[int]) -> PlacedTrace:
        """The same trace with these of its ranks alone; it keeps what its answers needed."""
        if ranks not in self._parts:
            self._parts[ranks] = self._part(ranks)
        return self._parts[ranks]

    def _part(self, ranks: frozenset[int]) -> PlacedTrace:
        place = self.placement
        kept = [(key, rank) for key, rank in zip(place.keys, place.ranks, strict=True) if rank.rank in ranks]
        own = replace(
            place,
            keys=[key for key, _ in kept],
            ranks=[rank for _, rank in kept],
            windows=place.windows.filter(pl.col("rank").is_in(list(ranks))),
        )
        return replace(self, placement=own)

    @cached_property
    def ranks(self) -> list[int]:
        """Its ranks, in the order of their operations."""
        return sorted(self._key_of, key=lambda rank: self._key_of[rank])

    @cached_property
    def _key_of(self) -> dict[int, int]:
        return {rank.rank: key for key, rank in zip(self.placement.keys, self.placement.ranks, strict=True)}

    def frame(
        self,
        names: Sequence[str],
        rank: int,
        where: Sequence[str] | None = None,
        at: npt.NDArray[np.int64] | None = None,
    ) -> pl.DataFrame:
        """These columns of a rank's operations, on the run's clock: those of OPERATION but rank_key, with row numbered
        through the run, and trace, rank, step (null outside steps), message_bytes, communicator, last (last arrival at
        a matched collective).

        where: classes of operations; the others are left out. at: of all operations of the rank, those in these rows.
        """
        key = self._key_of[rank]
        first, last = self.operations.rows(key)
        rows = self.rows.get(key)
        if at is not None:
            rows = first + at if rows is None else rows[at]
        if where is not None:
            chosen = self.operations.of_class(where, key)
            rows = chosen if rows is None else np.intersect1d(chosen, rows, assume_unique=True)
        own = [name for name in names if name not in _OF_RUN]
        span = slice(first, last) if rows is None else in_a_row(rows)
        found = {column.name: column for column in self.operations.frame(own, key, span).get_columns()}
        count = span.stop - span.start if isinstance(span, slice) else len(span)
        for name in set(names) & _OF_RUN.keys():
            found[name] = self._of_run(name, rank, span, count)
        shift = self.placement.shift
        for name in _ON_CLOCK if shift else ():
            if name in found:
                found[name] = found[name].alias(name).to_frame().select(shift.of(name)).to_series()
        late = self.placement.late.get(rank, 0)
        for name in _ON_GPU if late else ():
            if name in found:
                found[name] = found[name] - late
        if "row" in found and self.placement.first_row:
            found["row"] = found["row"] + self.placement.first_row
        return pl.DataFrame([found[name].alias(name) for name in names])

    def steps_of(self, rank: int) -> npt.NDArray[np.int32]:
        """The step of each of a rank's operations, -1 outside of steps."""
        key = self._key_of[rank]
        rows = self.rows.get(key)
        return self.steps[slice(*self.operations.rows(key)) if rows is None else rows]

    def _of_run(self, name: str, rank: int, rows: slice | npt.NDArray[np.int64], count: int) -> pl.Series:
        dtype = _OF_RUN[name]
        if name in ("trace", "rank"):
            return repeated(self.number if name == "trace" else rank, count, dtype)
        if name == "step":
            return none_if_negative(self.steps[rows]).cast(dtype)
        table = self.placement.last if name == "last" else self.payloads
        return _sparse(table, name, rows).cast(dtype)

    def each(self, function: Callable[[int], _T], ranks: Sequence[int] | None = None) -> list[_T]:
        """The function of each of its ranks, or of these, as many at a time as their frames may take memory."""
        at_once = _AT_ONCE * len(self.ranks) // max(1, len(self.operations))
        return each_of(function, self.ranks if ranks is None else ranks, len(self.operations), max(1, at_once))

    def others_on_gpu(self, rank: int) -> pl.DataFrame:
        """start, end of the work of other processes on the GPU of a rank, on the run's clock."""
        own, gpu = self._key_of[rank], {r.rank: r.gpu for r in self.placement.ranks}[rank]
        owners = enumerate(self.operations.owners.iter_rows())
        same = [
            key
            for key, (process, device) in owners
            if key != own and gpu is not None and physical_gpu(self.trace, pid_of(process), device) == gpu
        ]
        frames = [self.operations.frame(("start", "end"), key) for key in same]
        found = pl.concat(frames) if frames else self.operations.frame(("start", "end"), own).head(0)
        return shifted(found, self.placement.shift)

    def kernel_shapes(self, spans: Sequence[tuple[int, int]]) -> pl.DataFrame:
        """rank, start, end, stream, grid, block of the kernels that start in these spans of the run's clock."""
        shift, late = self.placement.shift, self.placement.late
        first, last = min(0, *late.values(), 0), max(0, *late.values(), 0)
        # A GPU's clock may be behind, and the way back is exact to a ns.
        read = [(shift.back(begin + first) - 1, shift.back(end + last) + 1) for begin, end in spans]
        found = shifted(self.trace.kernel_shapes(read), shift)
        number, owners = codes([found["process"], found["device"]])
        ranks = {self.operations.owners.row(key): rank for rank, key in self._key_of.items()}
        rank = pl.Series([ranks.get(owner) for owner in owners.iter_rows()], dtype=pl.Int64).gather(pl.Series(number))
        found = found.with_columns(rank=rank).filter(rank.is_not_null())
        if late:
            behind = pl.col("rank").replace_strict(late, default=0, return_dtype=pl.Int64)
            found = found.with_columns(pl.col("start") - behind, pl.col("end") - behind)
        return found.select("rank", "start", "end", "stream", "grid", "block")

    @cached_property
    def synchronise_calls(self) -> pl.DataFrame:
        """The host's synchronise calls on the run's clock: thread, start, end."""
        return shifted(self.trace.synchronise_calls, self.placement.shift).select("thread", "start", "end")

    @property
    def host_clocks(self) -> dict[int, HostClock]:
        """Whether launch calls and GPU work of each rank are on one clock."""
        return {rank: self.placement.host_clocks[rank] for rank in sorted(self.ranks)}

    def clocked(self, names: Sequence[str], rank: int, at: npt.NDArray[np.int64] | None = None) -> pl.DataFrame:
        """`launched`, with the launch calls on the GPU's clock."""
        frame, behind = self.launched(names, rank, at), self.host_clocks[rank].behind
        return frame.with_columns(pl.col(time) + behind for time in _LAUNCH_TIMES if time in names) if behind else frame

    def launched(self, names: Sequence[str], rank: int, at: npt.NDArray[np.int64] | None = None) -> pl.DataFrame:
        """`frame`, without the launch calls of a rank whose GPU's clock does not agree with its CPU's."""
        frame = self.frame(names, rank, at=at)
        if self.host_clocks[rank].agrees:
            return frame
        return frame.with_columns(pl.lit(None, dtype=pl.Int64).alias(t) for t in _LAUNCH_TIMES if t in names)

    def synchronised(self, rank: int) -> pl.DataFrame:
        """`synchronise_calls` on the clock of this rank's GPU."""
        calls, behind = self.synchronise_calls, self.host_clocks[rank].behind
        return calls.with_columns(pl.col("start", "end") + behind) if behind else calls

    @property
    def work(self) -> pl.DataFrame:
        """All columns of the operations of all its ranks; large, and made anew each time."""
        names = [name for name in OPERATION if name != "rank_key"]
        return pl.concat([self.frame([*names, *_OF_RUN], rank) for rank in self.ranks])


def _sparse(table: pl.DataFrame, name: str, rows: slice | npt.NDArray[np.int64]) -> pl.Series:
    """A column of a table that tells it of some rows, ascending, for these rows; null for the others."""
    known = table["row"].to_numpy()
    if isinstance(rows, slice):
        first, last = np.searchsorted(known, [rows.start, rows.stop])
        place = np.full(rows.stop - rows.start, -1, dtype=np.int64)
        place[known[first:last].astype(np.int64) - rows.start] = np.arange(first, last)
    elif len(known):
        nearest = np.minimum(np.searchsorted(known, rows), len(known) - 1)
        place = np.where(known[nearest] == rows, nearest, -1)
    else:
        place = np.full(len(rows), -1, dtype=np.int64)
    return taken(table[name], none_if_negative(place))
