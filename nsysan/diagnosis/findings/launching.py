"""The host and its launches: graphs off, late, in pieces, and gaps inside them. One cause is one finding."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import polars as pl

from nsysan.diagnosis.findings.case import BETWEEN_PIECES, IDLE_SHARE, Case, Finder, free
from nsysan.diagnosis.findings.finding import Figures, Finding, by_share, severity_limits
from nsysan.diagnosis.findings.fixes import SYNC_FIX
from nsysan.diagnosis.findings.kinds import FindingId, SavingIs, Severity, SharedFinding
from nsysan.diagnosis.late_words import by_host, outermost, ranks_words, weight
from nsysan.diagnosis.os_told import os_traced, said_of_host
from nsysan.diagnosis.verdict import BOUNDS, VerdictKind
from nsysan.diagnosis.verdict_says import CAPTURE_OSRT
from nsysan.diagnosis.workload import Workload
from nsysan.metrics.causes import GapCause
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.tally import EAGER_SHARE
from nsysan.run.host_stalls import longest_stalls_of, looked_at
from nsysan.run.questions import together
from nsysan.run.run import Run
from nsysan.text import counted, duration, numbered, pct, plain, us

#: Steps vary by 1 to 2 % in a quiet run; what late hosts cost beyond that is told.
BETWEEN_SHARE = 0.03
#: One stretch of idle time that takes this share of the period is no matter of launching.
STALL_SHARE = 0.10
_BY_HOST = (GapCause.HOST_LATE, GapCause.BETWEEN_STEPS, GapCause.SYNC)
#: Of several stretches, one that is so much of them is told by itself.
_MOST_OF_IDLE = 0.5
#: In so many of the steps the host is in the same range.
_SAME_RANGE = 0.5


class LaunchingFinding(FindingId):
    """What the host and its launches may cost."""

    GRAPHS_OFF = "graphs_off"
    LATE_BETWEEN_STEPS = "late_between_steps"
    PIECEWISE_GRAPHS = "piecewise_graphs"
    GRAPH_GAPS = "graph_gaps"
    HOST_STALL = "host_stall"


def _is_in_the_step(case: Case) -> bool:
    """Whether the GPUs idle for their hosts rather within a step than between two."""
    return case.worst_idle(GapCause.HOST_LATE, GapCause.SYNC)[1] > case.worst_idle(GapCause.BETWEEN_STEPS)[1]


def late_host(case: Case) -> Iterator[Finding]:
    """The GPU waits for its host: for want of graphs, or because all hosts are late all the same."""
    if case.wants_graphs:
        yield _graphs_off(case)
    elif case.in_pieces or any(by_host(one) for one in case.diagnosis.late):
        # A finding of its own tells of the same time.
        return
    elif _is_in_the_step(case) and (stall := stall_of(case, most=True)):
        yield stall
    elif case.worst_idle(GapCause.HOST_LATE)[1] >= IDLE_SHARE * case.measured:
        yield _all_hosts(case)
    else:
        yield from _late_between_steps(case)


def _graphs_off(case: Case) -> Finding:
    rank, late = case.worst_idle(GapCause.HOST_LATE)
    saving = case.saving(Scenario.GRAPHS)
    spent = case.on_the_path(case.period, *BOUNDS[VerdictKind.HOST].path)
    told = [f"the critical path of a step of {duration(case.period)} spends {duration(spent)} on hosts and launches"]
    if late >= IDLE_SHARE * case.measured:
        step = "it" if case.measured == case.period else case.of_measured
        told.append(f"rank {rank} is idle for {us(late)} µs of {step} because launch calls came late")
    told.append("no CUDA graph replays the steady steps")
    # A host that is slower than the others is part of what graphs save.
    slower = [one for one in outermost(case.diagnosis.late) if by_host(one)]
    told += [
        f"of it {ranks_words(one.ranks)} alone, whose host{'s need' if len(one.ranks) > 1 else ' needs'} more than the "
        f"others, {'are' if len(one.ranks) > 1 else 'is'} {duration(weight(one, case.period).saves)}"
        for one in slower
    ]
    inflated = case.diagnosis.untraced is None
    if saving is not None and inflated:
        told.append("the profiler inflates launch time, so the saving is an upper bound")
    return Finding(
        LaunchingFinding.GRAPHS_OFF,
        by_share(saving or late, case.period),
        "kernels are launched one by one, and the GPU idles until the host launches",
        "; ".join(told),
        case.fixes.graphs,
        saving,
        [rank],
        figures={"host_late_ns": late, "share": late / case.measured},
        thresholds={"idle_share": IDLE_SHARE, "eager_share": EAGER_SHARE, **severity_limits()},
        saving_is=SavingIs.AT_MOST,
        basis="" if saving is None else "if launching then takes one call a step",
        also="; ".join(
            ["fuse kernels (torch.compile), so that fewer are launched", *(case.host_fix(one).first for one in slower)]
        ),
    )


def _all_hosts(case: Case) -> Finding:
    rank, late = case.worst_idle(GapCause.HOST_LATE)
    saving = case.saving(Scenario.NO_HOST_LATE)
    figures: Figures = {"host_late_ns": late, "share": late / case.measured}
    fix = case.host_fix()
    return Finding(
        SharedFinding.LATE_HOST,
        by_share(saving or late, case.period),
        f"the host{'s launch' if len(case.run.ranks) > 1 else ' launches'} too late",
        f"rank {rank} is idle for {us(late)} µs of a step of {case.of_measured} because launch calls came late",
        fix.first,
        saving,
        [rank],
        figures=figures,
        thresholds={"idle_share": IDLE_SHARE, "eager_share": EAGER_SHARE, **severity_limits()},
        saving_is=case.host_saving_is,
        basis=free(case.period, saving),
        also=fix.also,
    )


def _late_between_steps(case: Case) -> Iterator[Finding]:
    """The GPUs wait between two steps for the launch of the next."""
    rank, between = case.worst_idle(GapCause.BETWEEN_STEPS)
    saving = case.saving(Scenario.NO_HOST_LATE)
    if saving is None or saving < BETWEEN_SHARE * case.period:
        return
    fix = case.host_fix()
    yield Finding(
        LaunchingFinding.LATE_BETWEEN_STEPS,
        by_share(saving, case.period),
        "the host launches the next step late",
        f"rank {rank} is idle for {us(between)} µs of a step of {case.of_measured} between two steps, most of all "
        f"ranks; what is saved is what a step is longer by than if hosts took no time",
        fix.first,
        saving,
        [rank],
        figures={"between_steps_ns": between, "share": saving / case.period},
        thresholds={"between_share": BETWEEN_SHARE, **severity_limits()},
        saving_is=case.host_saving_is,
        basis=free(case.period, saving),
        also=fix.also,
    )


def graph_gaps(case: Case) -> Iterator[Finding]:
    """Idle time between the graph replays of a step, and inside them."""
    if case.in_pieces:
        rank, between = case.worst_idle(*BETWEEN_PIECES)
        saving = case.saving(Scenario.NO_HOST_LATE)
        yield Finding(
            LaunchingFinding.PIECEWISE_GRAPHS,
            by_share(saving or between, case.period),
            "the step is cut into several graph replays with idle time between them",
            f"{case.replays_a_step} replays a step; outside of them rank {rank} is idle for {us(between)} µs of "
            f"{case.of_measured}",
            case.fixes.whole,
            saving,
            [rank],
            figures={"replays": case.replays_a_step, "idle_ns": between, "share": between / case.measured},
            thresholds={"idle_share": IDLE_SHARE, **severity_limits()},
            saving_is=case.host_saving_is,
        )
    inside = round(median(case.idle.get((rank.rank, GapCause.GRAPH), 0) for rank in case.run.ranks))
    if inside >= IDLE_SHARE * case.measured:
        kernels = _kernels_a_step(case.run)
        yield Finding(
            LaunchingFinding.GRAPH_GAPS,
            # Gaps between nodes are the hardware's: they shrink with fewer kernels and do not go.
            Severity.MEDIUM if inside >= 2 * IDLE_SHARE * case.measured else Severity.LOW,
            "many small kernels: the GPU idles between the nodes of the graph",
            f"{us(inside)} µs of {case.of_measured} ({pct(inside / case.measured)}, median over the ranks) are idle "
            f"between the {counted(kernels, 'kernel')} of a step, {us(inside / max(kernels, 1), 2)} µs a kernel",
            "fuse small kernels (norm, rotary embedding, activation and quantisation; torch.compile does)",
            case.on_the_path(inside, "launch"),
            figures={"graph_idle_ns": inside, "share": inside / case.measured, "kernels": kernels},
            thresholds={"idle_share": IDLE_SHARE, "medium_share": 2 * IDLE_SHARE},
            saving_is=SavingIs.PART_OF,
            also="use programmatic dependent launch, which prepares the next kernel while one ends",
        )


def host_stall(case: Case) -> Iterator[Finding]:
    """The longest stretch in which the host launches nothing; of decode steps it is drawn where the hosts' are."""
    if case.diagnosis.verdict.workload is not Workload.DECODE and (stall := stall_of(case)):
        yield stall


def stall_of(case: Case, *, most: bool = False) -> Finding | None:
    """The longest idle stretch of a step, for which the host had launched nothing, and what the host did in it.

    most: only where it is most of what the GPU idles for its host.
    """
    idle = sum(ns for (_, cause), ns in case.idle.items() if cause in _BY_HOST)
    if idle < STALL_SHARE * case.measured:
        return None
    steps = [step for step in case.run.steady_steps if step not in case.run.open_steps]
    if not steps:
        return None
    stalls = together(case.run.ask(longest_stalls_of, steps))
    # Means over all steps, of which some have none: a loader that serves two batches at once makes every second step
    # wait for both.
    per_rank = stalls.group_by("rank").agg(pl.sum("ns") / len(looked_at(steps)))
    per_rank = per_rank.sort(["ns", "rank"], descending=[True, False])
    period = float(case.steady.filter(pl.col("step").is_in(steps))["period_ns"].mean() or 0)  # type: ignore[arg-type]
    if per_rank.is_empty() or per_rank["ns"][0] < STALL_SHARE * period:
        return None
    rank, length = int(per_rank["rank"][0]), round(per_rank["ns"][0])
    if most and length < _MOST_OF_IDLE * sum(case.idle.get((rank, cause), 0) for cause in _BY_HOST):
        return None
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
        LaunchingFinding.HOST_STALL,
        by_share(length, round(period)),
        f"the host gives the GPU nothing to do for {duration(length)} on end, a step{where}",
        f"rank {rank}: the longest idle stretch of a step takes {us(length)} µs of {duration(period)} (means over "
        f"the steady steps; {pct(length / period)}); {'; '.join([told, *said_of_host(case.diagnosis.pace, rank)])}",
        (
            SYNC_FIX.format(numbered("rank", [rank]))
            if case.idle.get((rank, GapCause.SYNC), 0) >= _MOST_OF_IDLE * length
            else "do that work ahead of time and beside the GPU's (loader workers, prefetching, pinned memory), and "
            "what waits for others while kernels run"
            if known
            else f"mark what the host does with NVTX ranges{_or_osrt(case)}; then do that work ahead of time and "
            "beside the GPU's"
        ),
        length if saved is None else min(length, saved),
        [rank],
        figures={"stall_ns": length, "share": length / period},
        thresholds={"stall_share": STALL_SHARE, **severity_limits()},
        saving_is=SavingIs.AT_MOST,
    )


def _or_osrt(case: Case) -> str:
    return "" if os_traced(case.run, case.diagnosis.pace) else f", or {CAPTURE_OSRT}"


def _kernels_a_step(run: Run) -> int:
    steady = run.tally.by_step.filter(pl.col("step").is_in(run.steady_steps) & (pl.col("kernels") > 0))
    per_step = steady["kernels"].median()
    return round(per_step) if isinstance(per_step, int | float) else 0


FINDERS = (
    Finder(host_stall, (LaunchingFinding.HOST_STALL,), of_decode=False),
    Finder(
        late_host,
        (
            LaunchingFinding.GRAPHS_OFF,
            SharedFinding.LATE_HOST,
            LaunchingFinding.LATE_BETWEEN_STEPS,
            LaunchingFinding.HOST_STALL,
        ),
    ),
    Finder(graph_gaps, (LaunchingFinding.PIECEWISE_GRAPHS, LaunchingFinding.GRAPH_GAPS)),
)
