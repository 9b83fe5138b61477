"""From the summaries of its reports to the run: one clock, ranks, steps, matched calls, and each report's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from nsysan import progress
from nsysan._errors import ExitCode, NsysanError
from nsysan.model.loaded import Summary
from nsysan.model.ranks import Rank, merge_ranks
from nsysan.model.selection import WHOLE, Narrow
from nsysan.model.steps.numbering import Steps, combine_steps
from nsysan.model.steps.step_windows import Found
from nsysan.model.trace_facts import ReportFacts
from nsysan.run.clock import Clock, check_one_run, refine, shifted, utc_offsets
from nsysan.run.matching import AMBIGUOUS, match_collectives
from nsysan.run.placed import Placement


@dataclass(frozen=True)
class Merged:
    """A run as its reports' summaries tell it.

    ranks: in rank order. bystanders: (process, device) with GPU work but without a step. size: ranks of the largest
    communicator, None where no report tells. clock: how several reports came onto one clock, None for one report.
    windows: step, rank, begin, finish, label, excluded (see steps.Steps).
    collectives: calls inside steps with the columns of match_collectives.
    """

    ranks: list[Rank]
    bystanders: list[tuple[int, int]]
    size: int | None
    clock: Clock | None
    steps: Steps
    windows: pl.DataFrame
    collectives: pl.DataFrame


def merge(summaries: Sequence[Summary], narrow: Narrow = WHOLE) -> tuple[Merged, list[Placement]]:
    """The run that these are the reports of, and the place of each; NsysanError where they are not of one."""
    facts = [summary.facts for summary in summaries]
    first_keys = _running([summary.keys for summary in summaries])
    first_rows = _running([summary.rows for summary in summaries])
    keyed = [[(first + key, rank) for key, rank in s.ranks] for first, s in zip(first_keys, summaries, strict=True)]
    ranks = merge_ranks(keyed)
    _check_communicators(facts)
    several = len(summaries) > 1
    offsets = utc_offsets(facts) if several else [0]
    if several:
        spans = [(s.span[0] + offset, s.span[1] + offset) for s, offset in zip(summaries, offsets, strict=True)]
        check_one_run([report.name for report in facts], spans)
    places = list(zip(summaries, first_keys, first_rows, offsets, strict=True))
    found = [_found(s.found, key, offset) for s, key, _, offset in places]
    counts = pl.concat(
        [shifted(s.counts, offset).with_columns(pl.col("rank_key") + key) for s, key, _, offset in places]
    )
    # A column of which a report has nothing is of no type in it.
    calls = pl.concat([_calls(*place, report) for report, place in enumerate(places)], how="vertical_relaxed")
    steps = narrow.of_steps(combine_steps(found, calls, counts))
    rank_of = {key: rank.rank for key, rank in ranks}
    report_of = {key: report for report, own in enumerate(keyed) for key, _ in own}
    known = {"rank": _mapped(rank_of), "report": _mapped(report_of)}
    calls = calls.with_columns(rank=known["rank"]).drop("rank_key", "member")
    calls = calls.join(steps.membership, on="row", maintain_order="left")
    windows = steps.windows.with_columns(**known)
    groups = _groups(facts, [rank for _, rank in ranks])
    clock = None
    if several:
        clock = refine(calls, len(ranks), len(facts), groups)
        calls, windows = _corrected(calls, clock.offsets), _corrected(windows, clock.offsets)
        clock = replace(clock, offsets=[a + b for a, b in zip(offsets, clock.offsets, strict=True)])
    progress.stage("matching collectives")
    collectives = match_collectives(calls, len(ranks), groups).sort("rank", "begin")
    final = windows.drop("rank_key").sort("step", "rank")
    placements = [
        Placement(
            number=report,
            offset=clock.offsets[report] if clock else 0,
            first_row=row,
            keys=[k - key for k, _ in ranks if report_of[k] == report],
            ranks=[rank for k, rank in ranks if report_of[k] == report],
            opened=_opened(steps.windows, [k for k, _ in keyed[report]], key, offset),
            passing=_own_rows(steps.passing, row, summary.rows),
            last=_own_rows(collectives.select("row", "last").drop_nulls().sort("row"), row, summary.rows),
            windows=final.filter(pl.col("report") == report).drop("report"),
        )
        for report, (summary, key, row, offset) in enumerate(places)
    ]
    merged = Merged(
        ranks=[rank for _, rank in ranks],
        bystanders=[key for summary in summaries for key in summary.bystanders],
        size=max((init.size for report in facts for init in report.inits), default=None),
        clock=clock,
        steps=steps,
        windows=final.drop("report"),
        collectives=collectives,
    )
    return merged, placements


def _running(sizes: list[int]) -> list[int]:
    """Where each begins if they lie one behind the other."""
    return [sum(sizes[:number]) for number in range(len(sizes))]


def _mapped(known: dict[int, int]) -> pl.Expr:
    return pl.col("rank_key").replace_strict(known, return_dtype=pl.Int64)


def _found(found: Found, first_key: int, offset: int) -> Found:
    return replace(found, windows=shifted(found.windows, offset).with_columns(pl.col("rank_key") + first_key))


def _calls(summary: Summary, first_key: int, first_row: int, offset: int, report: int) -> pl.DataFrame:
    return shifted(summary.calls, offset).with_columns(
        pl.col("row") + first_row,
        pl.col("rank_key") + first_key,
        pl.col("member") + offset,
        report=pl.lit(report, dtype=pl.Int64),
    )


def _corrected(frame: pl.DataFrame, corrections: list[int]) -> pl.DataFrame:
    """The frame with each report's correction added to its times."""
    own = [frame.filter(pl.col("report") == report) for report in range(len(corrections))]
    return pl.concat([shifted(part, correction) for part, correction in zip(own, corrections, strict=True)])


def _opened(windows: pl.DataFrame, keys: list[int], first_key: int, offset: int) -> pl.DataFrame:
    own = windows.filter(pl.col("rank_key").is_in(keys))
    return own.select(pl.col("rank_key") - first_key, pl.col("begin") - offset, "step")


def _own_rows(frame: pl.DataFrame, first: int, count: int) -> pl.DataFrame:
    """The rows of one report, by their numbers there."""
    return frame.filter(pl.col("row").is_between(first, first + count, closed="left")).with_columns(
        pl.col("row") - first
    )


def _groups(reports: Sequence[ReportFacts], ranks: list[Rank]) -> dict[int, str]:
    """For each rank the group of ranks that its communicators are of, or AMBIGUOUS where they are of several."""
    members: dict[str, set[int]] = {}
    own: dict[int, set[str]] = {}
    for report in reports:
        for init in report.inits:
            if init.size < 2:
                continue
            of_process = [r for r in ranks if r.report == report.name and r.process == init.process]
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


def _check_communicators(reports: Sequence[ReportFacts]) -> None:
    """NsysanError if the reports fall into parts that share no communicator."""
    known = [(report.name, {init.communicator for init in report.inits}) for report in reports]
    rest = [(name, ids) for name, ids in known if ids]
    numbers = {(r.environment.get("WORLD_SIZE"), r.environment.get("RANK")) for r in reports}
    launched_together = len({world for world, _ in numbers}) == 1 and len(numbers) == len(reports)
    if not rest or (launched_together and None not in {rank for _, rank in numbers}):
        return
    first, reached = rest.pop(0)
    while linked := [entry for entry in rest if entry[1] & reached]:
        reached |= set().union(*(ids for _, ids in linked))
        rest = [entry for entry in rest if entry not in linked]
    if rest:
        raise NsysanError(
            f"{rest[0][0]}: shares no NCCL communicator with {first}; these are not reports of one run",
            ExitCode.NOT_ONE_RUN,
        )
