"""What the export itself lacks or holds in vain, and what to do about it."""

from __future__ import annotations

from collections import Counter

import polars as pl

from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.model.host_clock import MAX_LATENCY_NS
from nsysan.run.run import Run
from nsysan.text import counted, numbered
from nsysan.trace.graph_mode import GraphMode

_AGAIN = "export the .nsys-rep again with `nsys export --type sqlite`"
#: What follows from a column that some tool took out: the id of a quality row, and its reason.
_LACKING = {
    "process": (
        Aspect.PROCESSES,
        "GPU work names no process (globalPid was stripped from the export): ranks are the devices, and the calls of "
        "several processes cannot be told apart",
    ),
    "device": (
        Aspect.DEVICES,
        "GPU work names no device (deviceId was stripped from the export): a process counts as one rank, whatever "
        "GPUs it used",
    ),
    "stream": (
        Aspect.STREAMS,
        "GPU work names no stream (streamId was stripped from the export): an early start by programmatic dependent "
        "launch reads as overlap, and which stream an idle GPU waits for is not known",
    ),
    "graph_node": (
        Aspect.GRAPH_NODES,
        "kernels do not tell whether a CUDA graph replayed them (graphNodeId was stripped from the export): they count "
        "as launched one by one, and idle time inside a replay has another cause",
    ),
}


def assess_export(run: Run) -> list[Quality]:
    """Quality rows of what every trace should have, a row each where it does not; launches and clocks always."""
    rows = [_launches(run), _clock(run), _unusable(run), *_columns(run), _names(run), _ranges(run), _gpus(run)]
    return [row for row in [*rows, _versions(run)] if row is not None]


def _launches(run: Run) -> Quality:
    missing, known = run.tally.untold, run.tally.launched
    if known and not run.tally.named:
        why = (
            "CUDA API calls have no names in the export, so that a host that waits in a synchronise call reads as late"
        )
        return Quality(Aspect.LAUNCHES, Status.ESTIMATED, f"{why}; {_AGAIN}")
    if missing == 0:
        return Quality(Aspect.LAUNCHES, Status.OK, "every operation has the API call that launched it")
    if known == 0:
        why = "the export holds no CUDA API calls" if not _have_calls(run) else "no API call belongs to an operation"
        return Quality(
            Aspect.LAUNCHES,
            Status.NOT_MEASURABLE,
            f"{why}: steps by NVTX ranges, the causes of idle time and what late hosts cost cannot be told; capture "
            f"with --trace=cuda,nvtx, and {_AGAIN}",
        )
    return Quality(
        Aspect.LAUNCHES,
        Status.ESTIMATED,
        f"no recorded API call for {missing} of {counted(run.tally.operations, 'operation')}",
    )


def _have_calls(run: Run) -> bool:
    return any(trace.has_launch_calls for trace in run.metadata)


def _clock(run: Run) -> Quality | None:
    known = {rank: clock for rank, clock in run.host_clocks.items() if clock.shortest is not None}
    if not known:
        return None
    off = {rank: clock for rank, clock in known.items() if not clock.agrees}
    least = min(clock.shortest for clock in known.values() if clock.shortest is not None)
    if not off:
        behind = [f"rank {rank} {clock.behind / 1e3:+,.1f} µs" for rank, clock in known.items() if clock.behind]
        if behind:
            return Quality(
                Aspect.CPU_GPU_CLOCK,
                Status.ESTIMATED,
                f"taken out as an offset of the host's clock: by how much longer after each launch work starts than on "
                f"the other ranks ({'; '.join(behind)}); were it no clock, so much of that rank's lateness is not told",
            )
        unseen = all(clock.late is None for clock in known.values()) and least > MAX_LATENCY_NS
        if least < 0:
            early = (
                f"some kernels start {-least / 1e3:.1f} µs before their launch: clocks differ by little more than that"
            )
            return Quality(Aspect.CPU_GPU_CLOCK, Status.ESTIMATED, early)
        never = "; the GPU never idles before a launch, so that a GPU clock that is ahead would not show"
        return Quality(
            Aspect.CPU_GPU_CLOCK, Status.OK, f"shortest launch latency {least / 1e3:.1f} µs{never if unseen else ''}"
        )
    amounts = "; ".join(f"rank {rank} {clock.amount / 1e3:+,.1f} µs" for rank, clock in sorted(off.items()))
    return Quality(
        Aspect.CPU_GPU_CLOCK,
        Status.NOT_MEASURABLE,
        f"CPU and GPU clocks disagree (kernels start 5 to 25 µs after their launch on an idle GPU; here {amounts}): "
        f"for {numbered('rank', sorted(off))} it cannot be told whether the host is late, nor what it costs; capture "
        f"again, with a newer nsys and driver if it stays",
    )


def _unusable(run: Run) -> Quality | None:
    lost: Counter[str] = Counter()
    for trace in run.metadata:
        lost.update(trace.unusable_rows)
    if not lost:
        return None
    listed = ", ".join(f"{n} {what}" for what, n in sorted(lost.items()))
    return Quality(
        Aspect.UNUSABLE_ROWS,
        Status.ESTIMATED,
        f"left out, since such rows cannot be: {listed}; the file is damaged: copy it again, or {_AGAIN}",
    )


def _columns(run: Run) -> list[Quality]:
    """A row for each column that some tool took out of the export."""
    lacking = {column for trace in run.metadata for column in trace.lacking}
    return [
        Quality(id_, Status.ESTIMATED, f"{what}; {_AGAIN}")
        for column, (id_, what) in _LACKING.items()
        if column in lacking
    ]


def _names(run: Run) -> Quality | None:
    unnamed, total = run.tally.unnamed, run.tally.kernels
    if not unnamed:
        return None
    hidden = bool(run.ledger.select((pl.col("graph_ns") > 0).any()).item()) and run.graph_mode != GraphMode.GRAPH
    if hidden:
        return Quality(
            Aspect.KERNEL_NAMES,
            Status.NOT_MEASURABLE,
            f"the names of {unnamed} of {counted(total, 'kernel')} are not in the export (StringIds), so compute and "
            f"communication cannot be told apart; their time counts as busy; {_AGAIN}",
        )
    return Quality(
        Aspect.KERNEL_NAMES,
        Status.ESTIMATED,
        f"{unnamed} of {counted(total, 'kernel')} have no name in the export and count as compute; {_AGAIN}",
    )


def _ranges(run: Run) -> Quality | None:
    without = [trace.name for trace in run.metadata if not trace.has_ranges]
    if not without:
        return None
    where = "" if len(without) == len(run.metadata) else f" of {', '.join(without)}"
    return Quality(
        Aspect.RANGES,
        Status.ESTIMATED,
        f"no NVTX events in the export{where}: steps are found without them, and message sizes and communicators are "
        f"not known; capture with --trace=cuda,nvtx",
    )


def _gpus(run: Run) -> Quality | None:
    without = [rank.rank for rank in run.ranks if rank.model is None]
    if not without:
        return None
    return Quality(
        Aspect.GPUS,
        Status.NOT_MEASURABLE,
        f"the export does not say which GPU {numbered('rank', without)} ran on, so the link's peak is not known; give "
        f"it with --link-gbps, or {_AGAIN}",
    )


def _versions(run: Run) -> Quality | None:
    without = [trace for trace in run.metadata if trace.schema_version is None]
    if not without:
        return None
    return Quality(
        Aspect.VERSIONS,
        Status.ESTIMATED,
        f"no table says which nsys wrote the export (2021 or older, or stripped): columns were found by name; {_AGAIN}",
    )
