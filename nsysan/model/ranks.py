"""Which rank each (process, device) of a trace is, and on which GPU it ran (DEFINITIONS.md, section 2)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.model.payloads import CommunicatorRank, communicator_ranks
from nsysan.trace.globals import pid_of
from nsysan.trace.trace import Trace

_ENVIRONMENT = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
BY_ORDER = "order of process and device"
_IN_NAME = re.compile(r"rank[_.-]?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Rank:
    """One rank of the run; `source` says how its number is known, `device` is the CUDA ordinal it used."""

    rank: int
    trace: str
    process: int
    device: int
    gpu: int | None
    model: str | None
    source: str

    @property
    def pid(self) -> int:
        """The operating system's process id."""
        return pid_of(self.process)


def identify_ranks(trace: Trace, keys: list[tuple[int, int]]) -> list[Rank]:
    """Number the (globalPid, deviceId) keys, in rank order; each source numbers all of them or none."""
    keys = sorted(keys)
    numbers, source = _numbers(trace, keys)
    ranks = [_rank(trace, key, number, source) for key, number in zip(keys, numbers, strict=True)]
    return sorted(ranks, key=lambda rank: rank.rank)


def merge_ranks(traces: list[list[tuple[int, Rank]]]) -> list[tuple[int, Rank]]:
    """The ranks of all traces in rank order; ranks numbered by order alone are numbered over all traces.

    NsysanError if two traces hold the same rank.
    """
    ranks = [entry for trace in traces for entry in trace]
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


def _numbers(trace: Trace, keys: list[tuple[int, int]]) -> tuple[list[int], str]:
    inits = communicator_ranks(trace.ranges, trace.payload_entries)
    by_init = _from_communicators(inits, keys)
    world = trace.environment.get("WORLD_SIZE", "")
    # With data parallelism every group has a rank 0; the launcher's number is the run's.
    is_part = len(keys) == 1 and world.isdecimal() and int(world) > max((init.size for init in inits), default=0)
    if by_init is not None and not (is_part and trace.environment.get("RANK", "").isdecimal()):
        return by_init, "NCCL CommInit"
    if len(keys) == 1:
        for name in _ENVIRONMENT:
            if trace.environment.get(name, "").isdecimal():
                return [int(trace.environment[name])], f"environment {name}"
        if match := _IN_NAME.search(trace.name):
            return [int(match[1])], "file name"
    return list(range(len(keys))), BY_ORDER


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


def _rank(trace: Trace, key: tuple[int, int], number: int, source: str) -> Rank:
    process, device = key
    gpu = physical_gpu(trace, pid_of(process), device)
    models = trace.gpus.filter(pl.col("gpu").eq_missing(gpu))["model"]
    model = str(models[0]) if len(models) and models[0] else None
    return Rank(number, trace.name, process, device, gpu, model, source)


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
