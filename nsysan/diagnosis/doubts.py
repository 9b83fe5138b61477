"""What keeps a verdict from being more sure, and what would settle it."""

from __future__ import annotations

from enum import StrEnum


class Doubt(StrEnum):
    """What keeps a verdict from being more sure, where that can be helped by another capture."""

    #: The steady steps are a small part of the capture's time: of its GPUs' busy time, too, or not.
    FEW = "few"
    COVERAGE = "coverage"
    #: The profiler slows the hosts, and without it they may not bound the step.
    PROFILER = "profiler"
    #: It slows them, by how much is not known, but hardly so much.
    TRACING = "tracing"
    #: The hosts may be waiting where they seem to work; or do, and nothing tells for what.
    UNSEEN = "unseen"
    WAITS = "waits"
    #: The profiler says that it may have lost events.
    EVENTS = "events"


#: What is said of hosts under the profiler where the verdict rests on them.
UNMEASURED = "how much tracing slows the hosts is not measured"
_UNTRACED = "time a step without nsys, and run nsysan again with --untraced TIME"
_ALONE = "trace decode steps alone (nsysan capture -c cudaProfilerApi, or --serve)"
#: What settles each.
SETTLED = {
    Doubt.FEW: _ALONE,
    Doubt.COVERAGE: _ALONE,
    Doubt.PROFILER: _UNTRACED,
    Doubt.TRACING: _UNTRACED,
    Doubt.UNSEEN: "capture with --trace=cuda,nvtx,osrt, which tells that",
    Doubt.WAITS: "find out what the hosts wait for between their launches: Nsight Systems shows the calls of their "
    "threads into the operating system, from where they are made, and what other threads do then",
    Doubt.EVENTS: "capture a shorter window; let the workload end by itself, so that buffers are flushed",
}
