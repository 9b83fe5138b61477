"""Which processes of NCCL's logs are ranks of this run, and why others are not (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from nsysan.model.metadata import TraceMetadata
from nsysan.model.payloads import CommunicatorRank
from nsysan.model.ranks import Rank
from nsysan.run.run import Run
from nsysan.trace.nccl_log import Communicator, NcclLog, ProcessLog

#: From this version on a log names a communicator as NCCL's NVTX ranges do.
_SAME_IDS = (2, 24)
NOT_HERE = "no process of that number is a rank"
OTHER_HOST = "another machine"
OTHER_GPU = "other GPUs"
OTHER_RANKS = "other ranks of communicators than the trace tells"
OTHER_IDS = "other communicators than the trace tells"


@dataclass(frozen=True)
class Fitting:
    """A process of a log that is of this run. ranks: number of the run's rank by communicator's place in the log."""

    log: ProcessLog
    ranks: dict[int, int]


@dataclass
class Fit:
    """The processes that fit; others: how many do not, by reason."""

    processes: list[Fitting] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def fit(run: Run, logs: Sequence[NcclLog]) -> Fit:
    """Each process that has a communicator held against the ranks; all of a process fits, or nothing.

    What several logs say of one process is that of the first.
    """
    found = Fit()
    seen: set[tuple[str, int]] = set()
    for log in (process for one in logs for process in one.processes if process.communicators):
        if (log.host, log.pid) in seen:
            continue
        seen.add((log.host, log.pid))
        own = [rank for rank in run.ranks if rank.pid == log.pid]
        why = NOT_HERE if not own else None
        if why is None:
            own = [rank for rank in own if _same_host(log.host, _trace(run, rank).host)]
            why = OTHER_HOST if not own else _differs(run, log, own)
        if why is not None:
            found.others[why] += 1
            continue
        ranks = {number: rank.rank for number, one in enumerate(log.communicators) if (rank := _rank_of(own, one))}
        found.processes.append(Fitting(log, ranks))
    return found


def _trace(run: Run, rank: Rank) -> TraceMetadata:
    return run.metadata[run.trace_of[rank.rank]]


def _same_host(said: str, host: str | None) -> bool:
    """Whether they may be one machine: a redacted trace, or log, calls it by a number or nothing."""
    own = (host or "").partition(".")[0].lower()
    return not said or not own or own == said or own.isdecimal() or said.isdecimal()


def _rank_of(ranks: list[Rank], one: Communicator) -> Rank | None:
    """The rank that a process has in a communicator: its only one, or that on the same device."""
    return ranks[0] if len(ranks) == 1 else next((rank for rank in ranks if rank.device == one.device), None)


def _differs(run: Run, log: ProcessLog, ranks: list[Rank]) -> str | None:
    """Why a process of the right number is another's; None where nothing says so."""
    buses = {_bus(_trace(run, rank), rank) for rank in ranks} - {None}
    if buses and buses.isdisjoint(one.bus for one in log.communicators):
        return OTHER_GPU
    told = [init for rank in ranks for init in _trace(run, rank).inits if init.process == rank.process]
    places = {(init.rank, init.size) for init in told}
    if places and places.isdisjoint((one.rank, one.size) for one in log.communicators):
        return OTHER_RANKS
    ids, said = _ids(told), {one.id for one in log.communicators}
    new = tuple(int(part) for part in (log.version or "0").split(".")[:2]) >= _SAME_IDS
    if new and ids and None not in said and ids.isdisjoint(said):
        return OTHER_IDS
    return None


def _bus(trace: TraceMetadata, rank: Rank) -> int | None:
    """Where the rank's GPU is on the bus, as NCCL writes it: 0000:06:00.0 is 6000."""
    found = trace.gpus.filter(pl.col("gpu").eq_missing(rank.gpu))["bus"].drop_nulls()
    digits = str(found[0]).replace(":", "").replace(".", "") if len(found) else ""
    try:
        return int(digits, 16)
    except ValueError:
        return None


def _ids(told: list[CommunicatorRank]) -> set[int]:
    numbers = (init.communicator.removeprefix("-") for init in told)
    return {int(init.communicator) % (1 << 64) for init, digits in zip(told, numbers, strict=True) if _whole(digits)}


def _whole(digits: str) -> bool:
    return digits.isascii() and digits.isdecimal() and len(digits) < 21
