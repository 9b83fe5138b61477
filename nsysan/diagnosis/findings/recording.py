"""What is wrong with the capture itself."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from nsysan.diagnosis.doubts import SETTLED, Doubt
from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.findings.kinds import OfTheCapture, Severity
from nsysan.diagnosis.lookalikes import find_lookalikes, named
from nsysan.diagnosis.lost_ranks import CURE, lost_workers
from nsysan.text import counted, duration, numbered, pct
from nsysan.trace.graph_mode import GraphMode

#: Unknown kernels with less of the kernel time than this cannot change the verdict.
UNKNOWN_SHARE = 0.01
#: Of a capture, what a window that begins and ends with the steps does not have.
OUTSIDE_SHARE = 0.20


class RecordingFinding(OfTheCapture):
    """What may be wrong with the capture itself."""

    GRAPH_LEVEL_TRACE = "graph_level_trace"
    MISSING_RANKS = "missing_ranks"
    LOST_EVENTS = "lost_events"
    UNKNOWN_COLLECTIVES = "unknown_collectives"
    IDLE_OUTSIDE = "idle_outside"


_OF_ANY = tuple(one for one in RecordingFinding if one is not RecordingFinding.IDLE_OUTSIDE)


def of_the_capture(case: Case) -> Iterator[Finding]:
    """Graphs traced as blocks, ranks and events that are missing, kernels that the catalogue does not know."""
    run = case.run
    if run.graph_mode == GraphMode.GRAPH:
        yield Finding(
            RecordingFinding.GRAPH_LEVEL_TRACE,
            Severity.HIGH,
            "CUDA graphs were traced as blocks: what happens inside is not visible",
            f"{counted(sum(trace.replays for trace in run.metadata), 'replay')}, each one row",
            "capture again with --cuda-graph-trace=node (nsysan capture does)",
        )
    if run.missing_ranks:
        waited_for = bool(run.missing_peers)
        lost = lost_workers(run)
        together = (
            "name all ranks' traces together, or capture all ranks in one session (nsysan capture -- LAUNCHER ...)"
        )
        yield Finding(
            RecordingFinding.MISSING_RANKS,
            Severity.HIGH if waited_for else Severity.LOW,
            f"{counted(len(run.missing_ranks), 'rank')} of {run.size} not in the trace",
            f"missing: {numbered('rank', run.missing_ranks)}; "
            + ("waiting cannot be told from transfer" if waited_for else "those that are here do not wait for them")
            + (f"; {lost}" if lost else ""),
            f"{CURE}; if each rank has its own trace, {together}" if lost else together,
            ranks=run.missing_ranks,
        )
    events = {text.rstrip(".") for text in run.lost_events}
    if events:
        yield Finding(
            RecordingFinding.LOST_EVENTS,
            Severity.LOW,
            "the profiler says that events may be missing",
            "; ".join(sorted(events)),
            SETTLED[Doubt.EVENTS],
        )
    unknown = find_lookalikes(run.tally)
    if unknown:
        calls, share = sum(kernel.calls for kernel in unknown), sum(kernel.share for kernel in unknown)
        yield Finding(
            RecordingFinding.UNKNOWN_COLLECTIVES,
            Severity.MEDIUM if share >= UNKNOWN_SHARE else Severity.LOW,
            "kernels that look like collectives are not in the catalogue",
            f"{counted(calls, 'call')}, {pct(share)} of kernel time, counted as compute: {named(unknown)}",
            "add them to nsysan/data/kernels.toml",
            figures={"share": share, "calls": calls},
            thresholds={"medium_share": UNKNOWN_SHARE},
        )


def idle_outside(case: Case) -> Iterator[Finding]:
    """GPUs that idle for much of the capture before its first step or after its last: steps tile the time between."""
    span, idle = _outside(case)
    if not span or idle < OUTSIDE_SHARE * span:
        return
    yield Finding(
        RecordingFinding.IDLE_OUTSIDE,
        Severity.LOW,
        f"the GPUs idle for {pct(idle / span)} of the capture outside of its steps",
        f"{duration(idle)} of {duration(span)}, over all ranks, lie before the first step or after the last: start-up, "
        "or a server without requests; no figure of a step has them",
        "capture decode steps alone: begin once they run, and end before the load does (nsysan capture "
        "-c cudaProfilerApi, or --serve for a server)",
        figures={"idle_ns": idle, "share": idle / span},
        thresholds={"outside_share": OUTSIDE_SHARE},
    )


def _outside(case: Case) -> tuple[int, int]:
    """ns over all ranks: from the first work to the last, and what of it is idle outside of steps."""
    steps = case.run.ledger.group_by("rank").agg(
        steps=pl.sum("period_ns"), worked=(pl.col("period_ns") - pl.col("idle_ns")).sum()
    )
    ranks = case.run.extents.join(steps, on="rank")
    outside = pl.col("span") - pl.col("steps") - (pl.col("busy") - pl.col("worked"))
    span, idle = ranks.select(pl.sum("span"), idle=outside.clip(lower_bound=0).sum()).row(0)
    return int(span), int(idle)


FINDERS = (
    Finder(of_the_capture, _OF_ANY, of_steps=False, of_decode=False),
    Finder(idle_outside, (RecordingFinding.IDLE_OUTSIDE,), of_decode=False),
)
