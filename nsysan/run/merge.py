"""From the summaries of its traces to the run: one clock, ranks, steps, matched calls, and each trace's place.

DEFINITIONS.md, sections 2 and 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from nsysan import progress
from nsysan._errors import ExitCode, NsysanError
from nsysan.columns.times import shifted
from nsysan.model.loaded import TraceSummary
from nsysan.model.metadata import TraceMetadata
from nsysan.model.ranks import Rank, merge_ranks
from nsysan.model.selection import WHOLE, Selection
from nsysan.model.steps.numbering import combine_steps
from nsysan.model.steps.step_windows import StepWindows
from nsysan.run.clock import check_one_run, refine, utc_offsets
from nsysan.run.matching import AMBIGUOUS, match_collectives
from nsysan.run.placed import Placement
from nsysan.run.run import Run
from nsysan.run.trace_set import TraceSet


def merge(
    summaries: Sequence[TraceSummary], trace_set: TraceSet, selection: Selection = WHOLE
) -> tuple[Run, list[Placement]]:
    """The run that these are the traces of, and the place of each; NsysanError where they are not of one."""
    metadata = [summary.metadata for summary in summaries]
    first_keys = _running([summary.keys for summary in summaries])
    first_rows = _running([summary.rows for summary in summaries])
    keyed = [[(first + key, rank) for key, rank in s.ranks] for first, s in zip(first_keys, summaries, strict=True)]
    ranks = merge_ranks(keyed)
    _check_communicators(metadata)
    several = len(summaries) > 1
    offsets = utc_offsets(metadata) if several else [0]
    if several:
        spans = [(s.span[0] + offset, s.span[1] + offset) for s, offset in zip(summaries, offsets, strict=True)]
        check_one_run([trace.name for trace in metadata], spans)
    places = list(zip(summaries, first_keys, first_rows, offsets, strict=True))
    found = [_found(s.step_windows, key, offset) for s, key, _, offset in places]
    counts = pl.concat(
        [shifted(s.counts, offset).with_columns(pl.col("rank_key") + key) for s, key, _, offset in places]
    )
    # A column of which a trace has nothing is of no type in it.
    calls = pl.concat([_calls(*place, trace) for trace, place in enumerate(places)], how="vertical_relaxed")
    steps = selection.of_steps(combine_steps(found, calls, counts))
    rank_of = {key: rank.rank for key, rank in ranks}
    trace_of = {key: trace for trace, own in enumerate(keyed) for key, _ in own}
    known = {"rank": _mapped(rank_of), "trace": _mapped(trace_of)}
    calls = calls.with_columns(rank=known["rank"]).drop("rank_key", "member")
    calls = calls.join(steps.membership, on="row", maintain_order="left")
    windows = steps.windows.with_columns(**known)
    groups = _groups(metadata, [rank for _, rank in ranks])
    clock = None
    if several:
        clock = refine(calls, len(ranks), len(metadata), groups)
        calls, windows = _corrected(calls, clock.offsets), _corrected(windows, clock.offsets)
        clock = replace(clock, offsets=[a + b for a, b in zip(offsets, clock.offsets, strict=True)])
    progress.stage("matching collectives")
    collectives = match_collectives(calls, len(ranks), groups).sort("rank", "begin")
    final = windows.drop("rank_key").sort("step", "rank")
    placements = [
        Placement(
            number=trace,
            offset=clock.offsets[trace] if clock else 0,
            first_row=row,
            keys=[k - key for k, _ in ranks if trace_of[k] == trace],
            ranks=[rank for k, rank in ranks if trace_of[k] == trace],
            opened=_opened(steps.windows, [k for k, _ in keyed[trace]], key, offset),
            passing=_own_rows(steps.passing, row, summary.rows),
            last=_own_rows(collectives.select("row", "last").drop_nulls().sort("row"), row, summary.rows),
            windows=final.filter(pl.col("trace") == trace).drop("trace"),
        )
        for trace, (summary, key, row, offset) in enumerate(places)
    ]
    run = Run(
        ranks=[rank for _, rank in ranks],
        bystanders=[key for summary in summaries for key in summary.bystanders],
        size=max((init.size for trace in metadata for init in trace.inits), default=None),
        clock=clock,
        steps=steps,
        windows=final.drop("trace"),
        collectives=collectives,
        trace_set=trace_set,
        metadata=metadata,
        trace_of={rank.rank: placement.number for placement in placements for rank in placement.ranks},
    )
    return run, placements


def _running(sizes: list[int]) -> list[int]:
    """Where each begins if they lie one behind the other."""
    return [sum(sizes[:number]) for number in range(len(sizes))]


def _mapped(known: dict[int, int]) -> pl.Expr:
    return pl.col("rank_key").replace_strict(known, return_dtype=pl.Int64)


def _found(found: StepWindows, first_key: int, offset: int) -> StepWindows:
    return replace(found, windows=shifted(found.windows, offset).with_columns(pl.col("rank_key") + first_key))


def _calls(summary: TraceSummary, first_key: int, first_row: int, offset: int, trace: int) -> pl.DataFrame:
    return shifted(summary.calls, offset).with_columns(
        pl.col("row") + first_row,
        pl.col("rank_key") + first_key,
        pl.col("member") + offset,
        trace=pl.lit(trace, dtype=pl.Int64),
    )


def _corrected(frame: pl.DataFrame, corrections: list[int]) -> pl.DataFrame:
    """The frame with each trace's correction added to its times."""
    own = [frame.filter(pl.col("trace") == trace) for trace in range(len(corrections))]
    return pl.concat([shifted(part, correction) for part, correction in zip(own, corrections, strict=True)])


def _opened(windows: pl.DataFrame, keys: list[int], first_key: int, offset: int) -> pl.DataFrame:
    own = windows.filter(pl.col("rank_key").is_in(keys))
    return own.select(pl.col("rank_key") - first_key, pl.col("begin") - offset, "step")


def _own_rows(frame: pl.DataFrame, first: int, count: int) -> pl.DataFrame:
    """The rows of one trace, by their numbers there."""
    return frame.filter(pl.col("row").is_between(first, first + count, closed="left")).with_columns(
        pl.col("row") - first
    )


def _groups(traces: Sequence[TraceMetadata], ranks: list[Rank]) -> dict[int, str]:
    """For each rank the group of ranks that its communicators are of, or AMBIGUOUS where they are of several."""
    members: dict[str, set[int]] = {}
    own: dict[int, set[str]] = {}
    for trace in traces:
        for init in trace.inits:
            if init.size < 2:
                continue
            of_process = [r for r in ranks if r.trace == trace.name and r.process == init.process]
            for rank in of_process:
                if len(of_process) == 1 or init.device in (None, rank.device):
                    members.setdefault(init.communicator, set()).add(rank.rank)
                    own.setdefault(rank.rank, set()).add(init.communicator)
    groups: dict[int, str] = {}
    for number, communicators in own.items():
        names = {",".join(map(str, sorted(members[communicator]))) for communicator in communicators}
        groups[number] = names.pop() if len(names) == 1 else AMBIGUOUS
    # A rank whose initialisation is not in the trace is in the one group that there is, if it is one.
    elsewhere = set(groups.values())
    rest = elsewhere.pop() if len(elsewhere) == 1 else AMBIGUOUS
    return {r.rank: groups.get(r.rank, rest) for r in ranks} if groups else {}


def _check_communicators(traces: Sequence[TraceMetadata]) -> None:
    """NsysanError if the traces fall into parts that share no communicator."""
    known = [(trace.name, {init.communicator for init in trace.inits}) for trace in traces]
    rest = [(name, ids) for name, ids in known if ids]
    numbers = {(r.environment.get("WORLD_SIZE"), r.environment.get("RANK")) for r in traces}
    launched_together = len({world for world, _ in numbers}) == 1 and len(numbers) == len(traces)
    if not rest or (launched_together and None not in {rank for _, rank in numbers}):
        return
    first, reached = rest.pop(0)
    while linked := [entry for entry in rest if entry[1] & reached]:
        reached |= set().union(*(ids for _, ids in linked))
        rest = [entry for entry in rest if entry not in linked]
    if rest:
        raise NsysanError(
            f"{rest[0][0]}: shares no NCCL communicator with {first}; these are not traces of one run",
            ExitCode.NOT_ONE_RUN,
        )
