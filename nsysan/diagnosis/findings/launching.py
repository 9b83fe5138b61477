"""The host and its launches: graphs off, late, in pieces, and gaps inside them."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import polars as pl

from nsysan.diagnosis.findings.case import HOST_FIX, Case, Finder
from nsysan.diagnosis.findings.finding import Figures, Finding, by_share, severity_limits
from nsysan.diagnosis.findings.kinds import FindingId, SavingIs, Severity, SharedFinding
from nsysan.metrics.causes import GapCause, LateCause
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.tally import EAGER_SHARE
from nsysan.run.run import Run
from nsysan.text import counted, ms, us

#: Idle time below this share of the period is what launching and ending a graph replay takes.
IDLE_SHARE = 0.05
#: Steps vary by 1 to 2 % in a quiet run; what late hosts cost beyond that is told.
BETWEEN_SHARE = 0.03


class LaunchingFinding(FindingId):
    """What the host and its launches may cost."""

    GRAPHS_OFF = "graphs_off"
    LATE_BETWEEN_STEPS = "late_between_steps"
    PIECEWISE_GRAPHS = "piecewise_graphs"
    GRAPH_GAPS = "graph_gaps"


def late_host(case: Case) -> Iterator[Finding]:
    """The GPU waits for its host: for want of graphs, or because the host is late all the same."""
    rank, late = case.worst_idle(GapCause.HOST_LATE)
    eager = case.run.is_eager
    if late < IDLE_SHARE * case.period:
        yield from _late_between_steps(case, eager)
        return
    saving = case.saving(Scenario.NO_HOST_LATE)
    figures: Figures = {"host_late_ns": late, "share": late / case.period}
    limits = {"idle_share": IDLE_SHARE, "eager_share": EAGER_SHARE, **severity_limits()}
    told = f"rank {rank} is idle for {us(late)} us of a step of {ms(case.period)} because launch calls came late"
    if eager:
        yield Finding(
            LaunchingFinding.GRAPHS_OFF,
            by_share(saving or late, case.period),
            "kernels are launched one by one, and the GPU waits for the host",
            f"{told}; no CUDA graph replays the steady steps (the profiler inflates launch time, so the saving is an "
            f"upper bound)",
            "replay decode steps as CUDA graphs: vLLM without --enforce-eager, SGLang without --disable-cuda-graph, "
            "TensorRT-LLM with cuda_graph_config; otherwise fuse kernels (torch.compile)",
            saving,
            [rank],
            figures=figures,
            thresholds=limits,
            saving_is=SavingIs.AT_MOST,
        )
    elif not _is_late_for_host(case):
        yield Finding(
            SharedFinding.LATE_HOST,
            by_share(saving or late, case.period),
            "the host launches too late",
            told,
            HOST_FIX,
            saving,
            [rank],
            figures=figures,
            thresholds=limits,
        )


def _late_between_steps(case: Case, eager: bool) -> Iterator[Finding]:
    """The GPUs wait between two steps for the launch of the next; nothing where one rank's host is the finding."""
    rank, between = case.worst_idle(GapCause.BETWEEN_STEPS)
    saving = case.saving(Scenario.NO_HOST_LATE)
    if _is_late_for_host(case) or saving is None or saving < BETWEEN_SHARE * case.period:
        return
    yield Finding(
        LaunchingFinding.LATE_BETWEEN_STEPS,
        by_share(saving, case.period),
        "the host launches the next step late",
        f"rank {rank} is idle for {us(between)} us of a step of {ms(case.period)} between two steps, most of all "
        f"ranks; what counts as saved is idle time that began before the launch call that ended it",
        HOST_FIX,
        saving,
        [rank],
        figures={"between_steps_ns": between, "share": saving / case.period},
        thresholds={"between_share": BETWEEN_SHARE, **severity_limits()},
        saving_is=SavingIs.AT_MOST if eager else SavingIs.CLOSED_FORM,
    )


def graph_gaps(case: Case) -> Iterator[Finding]:
    """Idle time between the graph replays of a step, and inside them."""
    replays = _replays_a_step(case.run)
    rank, between = case.worst_idle(
        GapCause.HOST_LATE, GapCause.LAUNCH, GapCause.SYNC, GapCause.DEPENDENCY, GapCause.UNKNOWN
    )
    if replays > 1 and between >= IDLE_SHARE * case.period:
        yield Finding(
            LaunchingFinding.PIECEWISE_GRAPHS,
            by_share(between, case.period),
            "the step is cut into several graph replays with idle time between them",
            f"{replays} replays a step; outside of them rank {rank} is idle for {us(between)} us of {ms(case.period)}",
            "capture the whole decode step as one graph: vLLM cudagraph_mode FULL_DECODE_ONLY or FULL_AND_PIECEWISE, "
            "or an attention backend that allows it",
            case.saving(Scenario.NO_HOST_LATE),
            [rank],
            figures={"replays": replays, "idle_ns": between, "share": between / case.period},
            thresholds={"idle_share": IDLE_SHARE, **severity_limits()},
        )
    inside = round(median(case.idle.get((rank.rank, GapCause.GRAPH), 0) for rank in case.run.ranks))
    if inside >= IDLE_SHARE * case.period:
        kernels = _kernels_a_step(case.run)
        yield Finding(
            LaunchingFinding.GRAPH_GAPS,
            # Gaps between nodes are the hardware's: they shrink with fewer kernels and do not go.
            Severity.MEDIUM if inside >= 2 * IDLE_SHARE * case.period else Severity.LOW,
            "many small kernels: the GPU idles between the nodes of the graph",
            f"{us(inside)} us of {ms(case.period)} ({inside / case.period:.0%}, median over the ranks) are idle "
            f"between the {counted(kernels, 'kernel')} of a step, {us(inside / max(kernels, 1), 2)} us a kernel",
            "fewer kernels (fuse norm, rotary embedding, activation and quantisation; torch.compile) or programmatic "
            "dependent launch, which prepares the next kernel while one ends",
            inside,
            figures={"graph_idle_ns": inside, "share": inside / case.period, "kernels": kernels},
            thresholds={"idle_share": IDLE_SHARE, "medium_share": 2 * IDLE_SHARE},
            saving_is=SavingIs.AT_MOST,
        )


def _is_late_for_host(case: Case) -> bool:
    late = case.diagnosis.straggler
    return late is not None and late.cause == LateCause.HOST


def _replays_a_step(run: Run) -> int:
    """Graph replays a step on the rank that has most, median over its steady steps."""
    steady = run.tally.by_step.filter(pl.col("step").is_in(run.steady_steps) & (pl.col("replays") > 0))
    most = steady.group_by("rank").agg(pl.median("replays"))["replays"].max()
    return round(most) if isinstance(most, int | float) else 0


def _kernels_a_step(run: Run) -> int:
    steady = run.tally.by_step.filter(pl.col("step").is_in(run.steady_steps) & (pl.col("kernels") > 0))
    per_step = steady["kernels"].median()
    return round(per_step) if isinstance(per_step, int | float) else 0


FINDERS = (
    Finder(late_host, (LaunchingFinding.GRAPHS_OFF, SharedFinding.LATE_HOST, LaunchingFinding.LATE_BETWEEN_STEPS)),
    Finder(graph_gaps, (LaunchingFinding.PIECEWISE_GRAPHS, LaunchingFinding.GRAPH_GAPS)),
)
