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
    #: The hosts may be waiting where they seem to work.
    UNSEEN = "unseen"


_ALONE = "capture decode steps alone (nsysan capture -c cudaProfilerApi, or --serve)"
#: What settles each.
SETTLED = {
    Doubt.FEW: _ALONE,
    Doubt.COVERAGE: _ALONE,
    Doubt.PROFILER: "time a step without nsys, and run nsysan again with --untraced TIME",
    Doubt.UNSEEN: "capture with --trace=cuda,nvtx,osrt, and look in Nsight Systems whether the hosts' threads work or "
    "wait between their launches: nsysan does not read those calls",
}
