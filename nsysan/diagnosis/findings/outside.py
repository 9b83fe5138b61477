"""What keeps the GPUs from working at all: one long stretch of the host's, and copies (DEFINITIONS.md, section 8)."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.finding import Finding, by_share, severity_limits
from nsysan.diagnosis.findings.kinds import FindingId, SavingIs
from nsysan.diagnosis.workload import Workload
from nsysan.metrics.causes import GapCause
from nsysan.metrics.scenarios import Scenario
from nsysan.run.host_stalls import longest_stalls_of
from nsysan.run.questions import together
from nsysan.text import counted, ms, plain, us

#: One stretch of idle time that takes this share of the period is no matter of launching.
STALL_SHARE = 0.10
_BY_HOST = (GapCause.HOST_LATE, GapCause.BETWEEN_STEPS, GapCause.SYNC)
#: In so many of the steps the host is in the same range.
_SAME_RANGE = 0.5
#: Copies above this share of the period are worth a look.
COPY_SHARE = 0.20


class OutsideFinding(FindingId):
    """Of what keeps the GPUs from working."""

    HOST_STALL = "host_stall"
    COPIES = "copies"


def host_stall(case: Case) -> Iterator[Finding]:
    """The longest stretch in which the host launches nothing; of decode steps it is drawn where the hosts' are."""
    if case.diagnosis.verdict.workload is not Workload.DECODE and (stall := stall_of(case)):
        yield stall


def stall_of(case: Case) -> Finding | None:
    """The longest idle stretch of a step, for which the host had launched nothing, and what the host did in it."""
    idle = sum(ns for (_, cause), ns in case.idle.items() if cause in _BY_HOST)
    if idle < STALL_SHARE * case.period:
        return None
    steps = [step for step in case.run.steady_steps if step not in case.run.open_steps]
    if not steps:
        return None
    stalls = together(case.run.ask(longest_stalls_of, steps))
    # Means: a loader that serves two batches at once makes every second step wait for both.
    per_rank = stalls.group_by("rank").agg(pl.mean("ns"), steps=pl.len())
    per_rank = per_rank.sort(["ns", "rank"], descending=[True, False])
    period = float(case.steady.filter(pl.col("step").is_in(steps))["period_ns"].mean() or 0)  # type: ignore[arg-type]
    if per_rank.is_empty() or per_rank["ns"][0] < STALL_SHARE * period:
        return None
    rank, length = int(per_rank["rank"][0]), round(per_rank["ns"][0])
    own = stalls.filter(pl.col("rank") == rank)
    # That it is in its step is no news.
    steps_own = case.run.windows["label"].unique().implode()
    inside = (
        own.filter(~pl.col("inside").is_in(steps_own))["inside"]
        .drop_nulls()
        .str.replace_all(r"\d+", "#")
        .value_counts(sort=True)
    )
    known = len(inside) > 0 and inside["count"][0] >= _SAME_RANGE * len(own)
    name = plain(str(inside["inside"][0]), 60) if known else ""
    where = f", inside its NVTX range {name!r}" if known else ""
    told = (
        f"in {inside['count'][0]} of {counted(len(own), 'step')} its thread is in that range then"
        if known
        else ("no NVTX range tells what it does then")
    )
    saved = None if case.what is None else case.what.saves(Scenario.NO_HOST_LATE)
    return Finding(
        OutsideFinding.HOST_STALL,
        by_share(length, round(period)),
        f"the host gives the GPU nothing to do for {ms(length)} on end, a step{where}",
        f"rank {rank}: the longest idle stretch of a step takes {us(length)} us of {ms(period)} (means over the steady "
        f"steps; {length / period:.0%}); {told}",
        (
            "do that work ahead of time and beside the GPU's (loader workers, prefetching, pinned memory), and what "
            "waits for others while kernels run"
            if known
            else "mark what the host does with NVTX ranges, or capture with --trace=cuda,nvtx,osrt; then do that work "
            "ahead of time and beside the GPU's"
        ),
        length if saved is None else min(length, saved),
        [rank],
        figures={"stall_ns": length, "share": length / period},
        thresholds={"stall_share": STALL_SHARE, **severity_limits()},
        saving_is=SavingIs.AT_MOST,
    )


def copies(case: Case) -> Iterator[Finding]:
    """Copies that take much of the step while nothing else runs."""
    copied = case.line("copy")
    if copied < COPY_SHARE * case.period:
        return
    yield Finding(
        OutsideFinding.COPIES,
        by_share(copied, case.period),
        f"copies and memory sets take {copied / case.period:.0%} of the step, with nothing beside them",
        f"{us(copied)} us of {ms(case.period)} (median over the ranks)",
        "keep on the GPU what is used again, copy from pinned memory on a stream of its own while kernels run, and "
        "put small copies together",
        case.on_the_path(copied, "copy"),
        figures={"copy_ns": copied, "share": copied / case.period},
        thresholds={"copy_share": COPY_SHARE, **severity_limits()},
        saving_is=SavingIs.AT_MOST,
    )


FINDERS = (
    Finder(host_stall, (OutsideFinding.HOST_STALL,), of_decode=False),
    Finder(copies, (OutsideFinding.COPIES,), of_decode=False),
)
