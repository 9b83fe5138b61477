"""Why nsys stats and nsys' recipes say otherwise: their figures of this trace beside ours."""

from __future__ import annotations

from nsysan.metrics.lines import Line
from nsysan.page.elements import table
from nsysan.report.report import Report
from nsysan.text import duration, percent

_WHY_SHARE = (
    "Theirs is how long NCCL's kernels are resident, waiting for the last rank included, as a share of the time of all "
    "kernels, over the whole capture and all ranks. Ours is the time after the last arrival, as a share of the step, "
    "idle time included, median over steady steps and ranks. Kernels of other libraries are compute to them."
)
_WHY_OVERLAP = (
    "To them communication is what is named nccl..., and what runs beside it is all else; a kernel that starts "
    "before the one before it ends (programmatic dependent launch) overlaps it. Ours is communication of every "
    "library with compute beside it, of the period, and such an early start is none."
)
_WHY_PROJECTED = (
    "Theirs ends with the last operation that the range launched, and is a mean over all steps, start-up included. "
    "Ours ends where the next step begins, so that the host's gap between tokens is in it, and is a median over the "
    "steady ones."
)
_WHY_HOST = (
    "Theirs is how long calls of NCCL take on the host. They launch and return, and in a graph they ran when it was "
    "captured; how long data moves is not in them."
)


def beside(report: Report) -> str:
    """HTML: a table of what NVIDIA's tools say, what is said here, and why the two differ; nothing where no step is."""
    theirs, period = report.nsys, report.headline["period_ns"]
    if theirs is None or not period or not theirs.kernels:
        return ""
    head = report.headline
    rows = []
    if theirs.nccl:
        ours = f"wire {percent(head['wire_ns'], period)}, wait {percent(head['wait_ns'], period)} of the step"
        share = f"NCCL {percent(theirs.nccl, theirs.kernels)} of the kernels' time"
        rows.append(["cuda_gpu_kern_sum", share, ours, _WHY_SHARE])
        shared = f"{percent(theirs.beside, theirs.resident)} of NCCL's time overlapped"
        overlap = f"overlap {percent(head['overlap_ns'], period)} of the step"
        rows.append(["nccl_gpu_overlap_trace, nccl_gpu_time_util_map", shared, overlap, _WHY_OVERLAP])
    if theirs.steps:
        mean = f"{duration(round(theirs.projected / theirs.steps))} a range"
        rows.append(["nvtx_gpu_proj_sum", mean, f"{duration(period)} a step", _WHY_PROJECTED])
    if theirs.calls:
        host = f"{duration(round(theirs.host / theirs.calls))} a call on the host"
        ours = f"{Line.WIRE} {duration(head['wire_ns'])} a step" if head["wire_ns"] is not None else "not split here"
        rows.append(["nccl_sum", host, ours, _WHY_HOST])
    caption = "Why nsys stats and nsys' recipes say otherwise, with their figures of this trace"
    header = ["report or recipe", "it says", "here", "why they differ"]
    return table(header, rows, text=(0, 1, 2, 3), wrap=3, caption=caption) if rows else ""
