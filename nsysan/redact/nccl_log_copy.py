"""The logs of NCCL beside a trace, written anew: what a report reads of them, machines by number, and nothing else."""

from __future__ import annotations

from pathlib import Path

from nsysan.trace.nccl_files import Budget, lines_of, logs_beside
from nsysan.trace.nccl_lines import parse_line
from nsysan.trace.nccl_said import (
    Called,
    Channels,
    Connected,
    Joined,
    Multicast,
    Nodes,
    Ring,
    Said,
    Setting,
    TableHead,
    TableRow,
    Trees,
    Version,
)


def nccl_logs_of(copy: Path, source: Path) -> list[Path]:
    """The files that copies of the logs of the trace `source` are beside its copy."""
    return [_beside(copy, number) for number in range(len(logs_beside(source)))]


def copy_nccl_logs(source: Path, target: Path) -> list[Path]:
    """Write what a report reads of the logs of the trace `source` beside `target`; the files that were written."""
    hosts: dict[str, int] = {}
    left = Budget()
    written = []
    for number, log in enumerate(logs_beside(source)):
        copy = _beside(target, number)
        if not log.is_file():  # as a report leaves it out
            continue
        with copy.open("w", encoding="ascii") as file:
            for line in lines_of(log, left):
                origin, said = parse_line(line)
                text = _text(said)
                if origin is None and text:
                    file.write(f"{text}\n")
                elif origin is not None and text:
                    host = hosts.setdefault(origin.host, len(hosts))
                    file.write(f"{host}:{origin.pid}:{origin.tid} [0] NCCL INFO {text}\n")
        written.append(copy)
    return written


def _beside(trace: Path, number: int) -> Path:
    return trace.with_name(f"{trace.stem}.nccl.{number}.log")


def _text(said: Said) -> str:
    """The line in NCCL's words, from what is known of it alone; "" for nothing."""
    match said:
        case Joined() | Nodes() | Channels():
            return _of_communicator(said)
        case Connected():
            ends = (
                f"{rank}{'' if gpu is None else f'[{gpu}]'}"
                for rank, gpu in zip((said.source, said.target), said.gpus, strict=True)
            )
            return f"Channel {said.channel:02d}/0 : {' -> '.join(ends)} via {said.via}"
        case Ring():
            return f"Channel {said.channel:02d}/00 : 0"
        case Trees():
            return "Trees" + "".join(f" [{n}] -1->0->-1" for n in range(min(said.count, 64)))
        case TableHead() | TableRow():
            return _of_table(said)
        case _:
            return _plain(said)


def _of_communicator(said: Joined | Nodes | Channels) -> str:
    if isinstance(said, Nodes):
        return f"comm {said.address} rank 0 nRanks 1 nNodes {said.nodes} localRanks 1"
    if isinstance(said, Channels):
        comm = "" if said.address is None else f"comm {said.address}, "
        nvls = "" if said.nvls is None else f"{said.nvls} nvls channels, "
        return f"{comm}{said.collective} coll channels, {nvls}{said.messages} p2p channels"
    nvml = "" if said.nvml is None else f"nvmlDev {said.nvml} "
    id_ = "" if said.id is None else f"commId 0x{said.id:x} "
    own = (
        f"comm {said.address} rank {said.rank} nranks {said.size} cudaDev {said.device} {nvml}busId {said.bus:x} {id_}"
    )
    return f"{own}- Init {'COMPLETE' if said.complete else 'START'}"


def _of_table(said: TableHead | TableRow) -> str:
    if isinstance(said, TableRow):
        return f"{said.function} | " + " | ".join(f"{latency}/{bandwidth}" for latency, bandwidth in said.costs) + " |"
    cells = (f"{algorithm or '-'}/{protocol or '-'}" for algorithm, protocol in said.columns)
    return "Latency/AlgBw | " + " | ".join(cells) + " |"


def _plain(said: Said) -> str:
    match said:
        case Version():
            return f"NCCL version {said.version}"
        case Multicast():
            return f"NVLS multicast support is {'' if said.available else 'not '}available on dev 0"
        case Setting():
            return f"{said.name} set by environment to {said.value or '-'}"
        case Called():
            function = "" if said.function is None else f"{said.function}: "
            return f"{function}{said.size} Bytes -> Algo {said.algorithm} proto {said.protocol} "
        case _:
            return ""
