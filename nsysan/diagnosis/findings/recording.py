"""What is wrong with the capture itself."""

from __future__ import annotations

from collections.abc import Iterator

from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.findings.kinds import FindingId, Severity
from nsysan.diagnosis.lookalikes import find_lookalikes, named
from nsysan.diagnosis.lost_ranks import CURE, lost_workers
from nsysan.text import counted, numbered, pct
from nsysan.trace.graph_mode import GraphMode

#: Unknown kernels with less of the kernel time than this cannot change the verdict.
UNKNOWN_SHARE = 0.01


class RecordingFinding(FindingId):
    """What may be wrong with the capture itself."""

    GRAPH_LEVEL_TRACE = "graph_level_trace"
    MISSING_RANKS = "missing_ranks"
    LOST_EVENTS = "lost_events"
    UNKNOWN_COLLECTIVES = "unknown_collectives"


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
            "capture a shorter window; let the workload end by itself, so that buffers are flushed",
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


FINDERS = (Finder(of_the_capture, tuple(RecordingFinding), of_steps=False, of_decode=False),)
