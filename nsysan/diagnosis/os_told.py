"""What calls into the operating system tell of hosts, in words; and what to capture where they were not traced.

DEFINITIONS.md, section 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nsysan.diagnosis.verdict_says import CAPTURE_OSRT
from nsysan.replay.results import HostTime, Pace
from nsysan.replay.unseen import SEEN
from nsysan.run.run import Run
from nsysan.text import duration

#: So much of what a late host costs tells what to do.
_MOST = 0.5


def os_traced(run: Run, pace: Pace | None) -> bool:
    """Whether the capture was to trace these calls, or has some of the hosts': to capture again tells no more."""
    return bool(pace and pace.hosts) or any(trace.os_calls_asked for trace in run.metadata)


def or_capture(run: Run, pace: Pace | None) -> str:
    """In brackets, with a space before: to capture with these calls; "" where that was done."""
    return "" if os_traced(run, pace) else f" ({CAPTURE_OSRT})"


def host_of(pace: Pace | None, rank: int) -> HostTime | None:
    """What the host of a rank does, None where that was not traced."""
    hosts = () if pace is None else pace.hosts
    return next((host for host in hosts if host.rank == rank), None)


def pacing_host(pace: Pace | None, path: Mapping[tuple[str, int], int]) -> HostTime | None:
    """That of the rank whose host the critical path is on for most of a step; None where that was not traced."""
    of_rank: dict[int, int] = {}
    for (name, rank), ns in path.items():
        if name == "host":
            of_rank[rank] = of_rank.get(rank, 0) + ns
    return host_of(pace, max(of_rank, key=lambda rank: of_rank[rank])) if of_rank else None


def waits_untold(host: HostTime) -> str:
    """Clause: that it waits for long, and nothing tells for what; "" where it does not."""
    whole = host.cuda + host.works + host.waits + host.sleeps
    if host.untold < SEEN * whole:
        return ""
    return (
        f"the host of rank {host.rank} waits for {duration(host.untold)} of a step between its CUDA calls (mostly in "
        f"{host.call}), and nothing tells for what"
    )


def said_of_host(pace: Pace | None, rank: int) -> list[str]:
    """Clause: how the host of a rank spends a step; none where that was not traced."""
    host = host_of(pace, rank)
    if host is None:
        return []
    parts = (("works", host.works), ("is in CUDA calls", host.cuda), ("waits", host.waits), ("sleeps", host.sleeps))
    told = ", ".join(f"{what} for {duration(ns)}" for what, ns in parts if ns)
    mostly = f" (mostly in {host.call})" if host.call else ""
    return [f"of a step its host {told}{mostly}, by its calls into the operating system"]


def held_by(hosts: Sequence[HostTime], rank: int, costs: int) -> str:
    """What to do, an imperative, of a late host that sleeps, or waits for what nothing tells, longer than the others by
    half of what it costs (ns) or more; "" of others.
    """
    own = next((host for host in hosts if host.rank == rank), None)
    others = [host for host in hosts if host.rank != rank]
    if own is None:
        return ""
    sleeps, waits = (
        getattr(own, part) - min((getattr(host, part) for host in others), default=0) for part in ("sleeps", "untold")
    )
    if max(sleeps, waits) < _MOST * costs or not own.call:
        return ""
    if sleeps >= waits:
        return (
            f"take the sleep out of the thread that launches on rank {rank}: it sleeps for {duration(own.sleeps)} of a "
            f"step (mostly in {own.call})"
        )
    return (
        f"find out what the thread that launches on rank {rank} waits for: {duration(own.untold)} of a step, mostly in "
        f"{own.call} (Nsight Systems shows from where it is called)"
    )
