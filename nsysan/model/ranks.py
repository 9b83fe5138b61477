"""Which rank each (process, device) of a trace is, and on which GPU it ran (DEFINITIONS.md, section 2)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.model.launchers import places
from nsysan.model.payloads import CommunicatorRank, communicator_ranks
from nsysan.trace.globals import pid_of
from nsysan.trace.trace import Trace

BY_ORDER = "order of process and device"
_IN_NAME = re.compile(r"rank[_.-]?(\d{1,9})(?!\d)", re.IGNORECASE)


class Numbered(NamedTuple):
    """A rank's number by one source; world: processes that its launcher started, where it is one that tells."""

    number: int
    source: str
    world: int | None = None
    is_launcher: bool = False


@dataclass(frozen=True)
class Rank:
    """One rank of the run; `source` says how its number is known, `device` is the CUDA ordinal it used.

    world: processes that its launcher started, None where its number is not a launcher's, or that does not tell.
    ways: its number by every source, the best first. host: number of its machine among those of the run, None where
    that is not told.
    """

    rank: int
    trace: str
    process: int
    device: int
    gpu: int | None
    model: str | None
    source: str
    world: int | None = None
    ways: tuple[Numbered, ...] = ()
    host: int | None = None

    @property
    def pid(self) -> int:
        """The operating system's process id."""
        return pid_of(self.process)


def identify_ranks(trace: Trace, keys: list[tuple[int, int]]) -> list[Rank]:
    """Number the (globalPid, deviceId) keys, in rank order; each source numbers all of them or none."""
    keys = sorted(keys)
    ranks = [_rank(trace, key, ways) for key, ways in zip(keys, _ways(trace, keys), strict=True)]
    return sorted(ranks, key=lambda rank: rank.rank)


def merge_ranks(traces: list[list[tuple[int, Rank]]]) -> list[tuple[int, Rank]]:
    """The ranks of all traces in rank order; ranks numbered by order alone are numbered over all traces.

    A launcher that gives each of several traces the same number is that of the shell around them, and does not count.
    NsysanError if two traces hold the same rank.
    """
    alike = _alike([rank for trace in traces for _, rank in trace])
    ranks = [(key, _without(rank, alike)) for trace in traces for key, rank in trace]
    if len(traces) > 1 and any(rank.source == BY_ORDER for _, rank in ranks):
        ranks = [(key, replace(rank, rank=i, source=BY_ORDER)) for i, (key, rank) in enumerate(ranks)]
    twice = [number for number, n in Counter(rank.rank for _, rank in ranks).items() if n > 1]
    if twice:
        names = [rank.trace for _, rank in ranks if rank.rank == twice[0]]
        raise NsysanError(
            f"{names[1]}: is rank {twice[0]}, as {names[0]} is; these are not the traces of one run's ranks",
            ExitCode.NOT_ONE_RUN,
        )
    return sorted(ranks, key=lambda entry: entry[1].rank)


def _alike(ranks: list[Rank]) -> set[str]:
    """Sources that are launchers' and number every rank alike."""
    by_source: dict[str, list[int]] = {}
    for way in (way for rank in ranks for way in rank.ways if way.is_launcher):
        by_source.setdefault(way.source, []).append(way.number)
    return {source for source, numbers in by_source.items() if len(numbers) > 1 and len(set(numbers)) == 1}


def _without(rank: Rank, sources: set[str]) -> Rank:
    """The rank by the best source that is none of these."""
    if rank.source not in sources:
        return rank
    best = next(way for way in rank.ways if way.source not in sources)
    return replace(rank, rank=best.number, source=best.source, world=best.world)


def _ways(trace: Trace, keys: list[tuple[int, int]]) -> list[tuple[Numbered, ...]]:
    """The numbers of each key, the best source first; the same sources for all keys."""
    by_order: list[tuple[Numbered, ...]] = [(Numbered(number, BY_ORDER),) for number in range(len(keys))]
    inits = communicator_ranks(trace.ranges, trace.payload_entries)
    by_init = [Numbered(number, "NCCL CommInit") for number in _from_communicators(inits, keys) or ()]
    if len(keys) != 1:
        return [(own, *rest) for own, rest in zip(by_init, by_order, strict=True)] if by_init else by_order
    launched = [
        Numbered(place.number, f"environment {place.variable}", place.world, is_launcher=True)
        for place in places(trace.environment)
    ]
    # With data parallelism every group has a rank 0; the launcher's number is the run's, if it is no shell's.
    largest = max((init.size for init in inits), default=0)
    first = [
        way
        for way, place in zip(launched, places(trace.environment), strict=True)
        if place.is_own and place.world is not None and place.world > largest
    ]
    match = _IN_NAME.search(trace.name)
    by_name = [Numbered(int(match[1]), "file name")] if match else []
    return [(*first, *by_init, *(way for way in launched if way not in first), *by_name, *by_order[0])]


def _from_communicators(inits: list[CommunicatorRank], keys: list[tuple[int, int]]) -> list[int] | None:
    if not inits:
        return None
    largest = max(init.size for init in inits)
    numbers = []
    for process, device in keys:
        # With one device a process, the payload's ordinal need not be checked; it may be a visible-devices one.
        only = sum(p == process for p, _ in keys) == 1
        own = [i for i in inits if i.process == process and i.size == largest and (only or i.device == device)]
        if not own:
            return None
        numbers.append(own[0].rank)
    return numbers if len(set(numbers)) == len(numbers) else None


def _rank(trace: Trace, key: tuple[int, int], ways: tuple[Numbered, ...]) -> Rank:
    process, device = key
    best = ways[0]
    gpu = physical_gpu(trace, pid_of(process), device)
    models = trace.gpus.filter(pl.col("gpu").eq_missing(gpu))["model"]
    model = str(models[0]) if len(models) and models[0] else None
    return Rank(best.number, trace.name, process, device, gpu, model, best.source, best.world, ways)


def physical_gpu(trace: Trace, pid: int, device: int) -> int | None:
    """nsys' number of the GPU behind a CUDA ordinal: by process, else by cuDevice, else the ordinal itself."""
    mapped = trace.cuda_devices.filter((pl.col("pid") == pid) & (pl.col("device") == device)).drop_nulls("gpu")
    if len(mapped):
        return int(mapped["gpu"][0])
    gpus = trace.gpus
    ordinals = gpus["cuda_device"].drop_nulls()
    # Old recordings leave cuDevice 0 in every row.
    if len(ordinals) and ordinals.n_unique() == len(gpus):
        same = gpus.filter(pl.col("cuda_device") == device)
    else:
        same = gpus.filter(pl.col("gpu") == device)
    return int(same["gpu"][0]) if len(same) else None
