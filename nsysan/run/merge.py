"""From the summaries of its traces to the run: one clock, ranks, steps, matched calls, and each trace's place.

DEFINITIONS.md, sections 2 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl

from nsysan import progress
from nsysan._errors import ExitCode, NsysanError
from nsysan.columns.rows import ordered, parted
from nsysan.columns.times import SAME, Shift, shifted
from nsysan.model.host_clock import side_by_side
from nsysan.model.launchers import launched_together
from nsysan.model.loaded import TraceSummary
from nsysan.model.metadata import TraceMetadata
from nsysan.model.ranks import Rank, merge_ranks
from nsysan.model.selection import WHOLE, Selection
from nsysan.model.steps.numbering import Steps, combine_steps
from nsysan.model.steps.step_windows import StepWindows
from nsysan.run.clock import Clock, check_one_run, refine, utc_offsets
from nsysan.run.clock_search import search
from nsysan.run.groups import Communicator, Group, Members, find_groups
from nsysan.run.matching import match_collectives
from nsysan.run.node_numbers import on_hosts
from nsysan.run.placed import Placement
from nsysan.run.rank_clocks import find_offsets
from nsysan.run.replicas import find_replicas, reached_from
from nsysan.run.run import Run
from nsysan.run.trace_set import TraceSet
from nsysan.timings import stage

#: Operations are numbered through the run in 32 bits.
MOST_ROWS = (1 << 32) - 1
#: Columns of the frames that are times of a GPU.
_ON_GPU = ("begin", "end", "finish", "member")


@stage("merge traces")
def merge(
    summaries: Sequence[TraceSummary], trace_set: TraceSet, selection: Selection = WHOLE
) -> tuple[Run, list[Placement]]:
    """The run that these are the traces of, and the place of each; NsysanError where they are not of one."""
    metadata = [summary.metadata for summary in summaries]
    _check_rows(sum(summary.rows for summary in summaries))
    first_keys = _running([summary.keys for summary in summaries])
    keyed = [[(first + key, rank) for key, rank in s.ranks] for first, s in zip(first_keys, summaries, strict=True)]
    trace_of = {key: trace for trace, own in enumerate(keyed) for key, _ in own}
    ranks = on_hosts(merge_ranks(keyed), metadata, trace_of)
    _check_communicators(metadata)
    told = _Told(ranks, _communicators(metadata, [rank for _, rank in ranks]), selection)
    clock, shifts = _one_clock(summaries, metadata, told)
    frames = _Frames.of(summaries, shifts)
    found = _matched(frames, told, clocked=True)
    progress.stage("matching collectives")
    collectives = ordered(match_collectives(found.calls, len(ranks)), "rank", "begin")
    numbers = [(key, rank.rank, trace_of[key]) for key, rank in ranks]
    host_clocks = {rank: summaries[trace].host_clocks[key - first_keys[trace]] for key, rank, trace in numbers}
    rank_clocks = find_offsets(collectives, {rank: clock.shortest for rank, clock in host_clocks.items()})
    host_clocks = side_by_side(host_clocks, rank_clocks.taken_out)
    late = {key: rank_clocks.taken_out[rank] for key, rank, _ in numbers if rank in rank_clocks.taken_out}
    if late:
        found = _matched(frames.without(late), told, clocked=True)
        collectives = ordered(match_collectives(found.calls, len(ranks)), "rank", "begin")
    last, passing = collectives.select("row", "last").drop_nulls().sort("row"), found.passing.sort("row")
    windows = found.windows.sort("step", "rank")
    windows_of = parted(windows, "rank_key")
    placements = [
        Placement(
            number=trace,
            shift=shift,
            first_row=row,
            keys=[k - key for k, _ in ranks if trace_of[k] == trace],
            ranks=[rank for k, rank in ranks if trace_of[k] == trace],
            opened=_opened(_of_keys(windows_of, keyed[trace], windows), summary, key, shift, late),
            late={rank.rank: late[k] for k, rank in ranks if k in late and trace_of[k] == trace},
            host_clocks={rank.rank: host_clocks[rank.rank] for k, rank in ranks if trace_of[k] == trace},
            passing=_own_rows(passing, row, summary.rows),
            last=_own_rows(last, row, summary.rows),
            windows=_of_keys(windows_of, keyed[trace], windows).sort("step", "rank").drop("rank_key"),
        )
        for trace, (summary, key, row, shift) in enumerate(
            zip(summaries, first_keys, _running([s.rows for s in summaries]), shifts, strict=True)
        )
    ]
    size = max([*(i.size for t in metadata for i in t.inits), *(r.world for _, r in ranks if r.world)], default=None)
    run = Run(
        ranks=[rank for _, rank in ranks],
        bystanders=[key for summary in summaries for key in summary.bystanders],
        size=size,
        missing_ranks=sorted(set(range(size or 0)) - {rank.rank for _, rank in ranks}),
        clock=clock,
        rank_clocks=rank_clocks,
        groups=found.groups,
        steps_of=found.steps_of,
        windows=windows.drop("rank_key"),
        collectives=collectives,
        trace_set=trace_set,
        metadata=metadata,
        trace_of={rank.rank: placement.number for placement in placements for rank in placement.ranks},
        names=pl.concat(s.counts for s in summaries).group_by("name").agg(pl.sum("n", "collectives")).sort("name"),
    )
    return run, placements


def _one_clock(
    summaries: Sequence[TraceSummary], metadata: Sequence[TraceMetadata], told: _Told
) -> tuple[Clock | None, list[Shift]]:
    """How the traces come onto one clock, None for one trace; what leads there from the clock of each."""
    if len(summaries) < 2:
        return None, [SAME]
    offsets = utc_offsets(metadata)
    spans = [(s.span[0] + offset, s.span[1] + offset) for s, offset in zip(summaries, offsets, strict=True)]
    check_one_run([trace.name for trace in metadata], spans)
    offsets = search(_Frames.of(summaries, [Shift(offset) for offset in offsets]).calls, offsets)
    # What is inferred from times cannot put traces on one clock.
    calls = _matched(_Frames.of(summaries, [Shift(offset) for offset in offsets]), told, clocked=False).calls
    clock = refine(calls, len(told.ranks), len(metadata))
    shifts = clock.after(offsets)
    return replace(clock, offsets=[shift.by for shift in shifts]), shifts


class _Told(NamedTuple):
    """What is known of a run before its times are compared: ranks by rank_key, communicators by id."""

    ranks: list[tuple[int, Rank]]
    communicators: dict[str, Communicator]
    selection: Selection


@dataclass(frozen=True)
class _Frames:
    """The summaries' frames, numbered through the run and with each trace's times on one clock."""

    found: list[StepWindows]
    calls: pl.DataFrame
    counts: pl.DataFrame
    opaque: list[int]

    @classmethod
    def of(cls, summaries: Sequence[TraceSummary], shifts: Sequence[Shift]) -> _Frames:
        """Those of these summaries."""
        first_keys = _running([summary.keys for summary in summaries])
        first_rows = _running([summary.rows for summary in summaries])
        places = list(zip(summaries, first_keys, first_rows, shifts, strict=True))
        counts = [shifted(s.counts, shift).with_columns(pl.col("rank_key") + key) for s, key, _, shift in places]
        return cls(
            found=[_found(s.step_windows, key, shift) for s, key, _, shift in places],
            # A column of which a trace has nothing is of no type in it.
            calls=pl.concat([_calls(*place, trace) for trace, place in enumerate(places)], how="vertical_relaxed"),
            counts=pl.concat(counts),
            opaque=[first + key for s, first in zip(summaries, first_keys, strict=True) for key in s.opaque],
        )

    def without(self, late: Mapping[int, int]) -> _Frames:
        """The frames with the times of these rank_keys earlier by so many ns."""
        found = [replace(part, windows=_earlier(part.windows, late)) for part in self.found]
        return replace(self, found=found, calls=_earlier(self.calls, late), counts=_earlier(self.counts, late))


def _earlier(frame: pl.DataFrame, late: Mapping[int, int]) -> pl.DataFrame:
    by = pl.col("rank_key").replace_strict(dict(late), default=0, return_dtype=pl.Int64)
    return frame.with_columns(pl.col(name) - by for name in _ON_GPU if name in frame.columns)


class _Numbered(NamedTuple):
    """Calls with rank, group and step, windows and passing calls of all replicas, and each replica's steps."""

    calls: pl.DataFrame
    windows: pl.DataFrame
    passing: pl.DataFrame
    groups: list[Group]
    steps_of: dict[Members, Steps]


@stage("groups, replicas, steps")
def _matched(frames: _Frames, told: _Told, *, clocked: bool) -> _Numbered:
    """Groups, replicas and the steps of each. clocked: whether all times are on one clock."""
    number = {key: rank.rank for key, rank in told.ranks}
    rank_of = pl.col("rank_key").replace_strict(number, return_dtype=pl.Int64).alias("rank")
    calls, groups = find_groups(frames.calls.with_columns(rank_of), told.communicators, clocked=clocked)
    opened = pl.concat([part.windows for part in frames.found], how="diagonal").with_columns(rank_of)
    opaque = [number[key] for key in frames.opaque]
    replicas = find_replicas(list(number.values()), calls, opened, groups, opaque)
    steps_of: dict[Members, Steps] = {}
    missing: NsysanError | None = None
    for own in replicas:
        keys = pl.col("rank_key").is_in([key for key, rank in told.ranks if rank.rank in own])
        found = [replace(part, windows=part.windows.filter(keys)) for part in frames.found]
        # A trace that has no rank of the replica has no say in how its steps are found.
        found = [part for part in found if len(part.windows)] or found[:1]
        steps = combine_steps(found, calls.filter(keys), frames.counts.filter(keys), told.selection.choice)
        try:
            steps_of[own] = told.selection.of_steps(steps)
        except NsysanError as error:
            missing = missing or error
    if not steps_of and missing is not None:
        raise missing
    membership = pl.concat([steps.membership for steps in steps_of.values()])
    return _Numbered(
        calls=calls.drop("rank_key", "member").join(membership, on="row", maintain_order="left"),
        windows=pl.concat([steps.windows for steps in steps_of.values()]).with_columns(rank_of),
        passing=pl.concat([steps.passing for steps in steps_of.values()]),
        groups=groups,
        steps_of=steps_of,
    )


def _running(sizes: list[int]) -> list[int]:
    """Where each begins if they lie one behind the other."""
    return [sum(sizes[:number]) for number in range(len(sizes))]


def _found(found: StepWindows, first_key: int, shift: Shift) -> StepWindows:
    return replace(found, windows=shifted(found.windows, shift).with_columns(pl.col("rank_key") + first_key))


def _calls(summary: TraceSummary, first_key: int, first_row: int, shift: Shift, trace: int) -> pl.DataFrame:
    return shifted(summary.calls, shift).with_columns(
        pl.col("row") + first_row,
        pl.col("rank_key") + first_key,
        shift.of("member"),
        trace=pl.lit(trace, dtype=pl.Int64),
    )


def _of_keys(
    windows_of: Mapping[int, pl.DataFrame], keyed: Sequence[tuple[int, Rank]], windows: pl.DataFrame
) -> pl.DataFrame:
    """The windows of a trace's ranks."""
    return pl.concat([windows[:0], *(windows_of[key] for key, _ in keyed if key in windows_of)])


def _opened(
    windows: pl.DataFrame,
    summary: TraceSummary,
    first_key: int,
    shift: Shift,
    late: Mapping[int, int],
) -> pl.DataFrame:
    """The steps of a trace's windows by when these begin on its own clock."""
    known = summary.step_windows.windows.select(pl.col("rank_key") + first_key, shift.of("begin"), own="begin")
    known = _earlier(known, late)
    told = windows.join(known, on=["rank_key", "begin"])
    return told.select(pl.col("rank_key") - first_key, pl.col("own").alias("begin"), "step")


def _own_rows(frame: pl.DataFrame, first: int, count: int) -> pl.DataFrame:
    """The rows of one trace, by their numbers there; frame: by row."""
    begin, end = np.searchsorted(frame["row"].to_numpy(), [first, first + count])
    return frame[begin:end].with_columns(pl.col("row") - first)


def _communicators(traces: Sequence[TraceMetadata], ranks: list[Rank]) -> dict[str, Communicator]:
    """The communicators whose initialisation a trace has, by id, with the ranks that the traces show of them."""
    members: dict[str, set[int]] = {}
    sizes: dict[str, int] = {}
    for trace in traces:
        for init in trace.inits:
            if init.size < 2:
                continue
            of_process = [r for r in ranks if r.trace == trace.name and r.process == init.process]
            for rank in of_process:
                if len(of_process) == 1 or init.device in (None, rank.device):
                    members.setdefault(init.communicator, set()).add(rank.rank)
                    sizes[init.communicator] = init.size
    return {name: Communicator(tuple(sorted(own)), sizes[name]) for name, own in members.items()}


def _check_rows(rows: int) -> None:
    """NsysanError where the operations of all traces are more than their numbers can tell apart."""
    if rows > MOST_ROWS:
        raise NsysanError(
            f"{rows:,} GPU operations in all, of which {MOST_ROWS:,} have numbers: name fewer traces, or a part of "
            f"their time (--from, --to)",
            ExitCode.SYSTEM,
        )


def _check_communicators(traces: Sequence[TraceMetadata]) -> None:
    """NsysanError if the traces fall into parts that share no communicator."""
    known = [(trace.name, {init.communicator for init in trace.inits}) for trace in traces]
    rest = [(name, ids) for name, ids in known if ids]
    if not rest or launched_together([trace.environment for trace in traces]):
        return
    first, own = rest[0]
    reached = reached_from(own, [ids for _, ids in rest])
    apart = next((name for name, ids in rest if not ids & reached), None)
    if apart is not None:
        raise NsysanError(
            f"{apart}: shares no NCCL communicator with {first}; these are not traces of one run: report each alone, "
            f"or hold one against the other (nsysan compare {first} {apart})",
            ExitCode.NOT_ONE_RUN,
        )
