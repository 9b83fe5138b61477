"""NCCL's logs, a file a process or one for all: what each process says of its communicators, within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nsysan.trace.nccl_lines import parse_line
from nsysan.trace.nccl_said import (
    Called,
    Channels,
    Connected,
    Joined,
    Multicast,
    Nodes,
    Origin,
    Ring,
    Said,
    Setting,
    TableHead,
    TableRow,
    Trees,
    Version,
)

#: Of one process; more of any is not remembered, and the log counts as cut.
_MOST = 4096


@dataclass
class Communicator:
    """What a process says of one of its communicators, whose number in it is `rank`, of `size`.

    bus: of its GPU. id: None where not told; nodes, channels (for collectives, NVLS, messages): likewise. rings, trees:
    how many are told, rings by rank 0 alone. costs: latency (us) and bandwidth (GB/s) of a call by function, algorithm
    and protocol, as the tuning table has them.
    """

    rank: int
    size: int
    device: int
    nvml: int | None
    bus: int
    id: int | None
    nodes: int | None = None
    channels: tuple[int, int | None, int] | None = None
    rings: set[int] = field(default_factory=set)
    trees: int = 0
    costs: dict[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)


#: A connection by number of its communicator in the process, source and target rank, and transport.
Connection = tuple[int, int, int, str]


@dataclass
class ProcessLog:
    """What one process says. host: for comparing only, "" where the log was masked.

    connections: their channels. calls: how many by function (None where the version does not tell), bytes, algorithm
    and protocol. unplaced: connections of which it is not told what communicator they are of.
    """

    host: str
    pid: int
    version: str | None = None
    multicast: bool | None = None
    communicators: list[Communicator] = field(default_factory=list)
    connections: dict[Connection, set[int]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    calls: dict[tuple[str | None, int, str, str], int] = field(default_factory=dict)
    unplaced: int = 0


@dataclass
class NcclLog:
    """The logs that were read together. files: how many; lines: how many NCCL wrote; long: lines that are none of its.

    cut: whether more was there than is read. unread: files that cannot be.
    """

    files: int = 0
    lines: int = 0
    long: int = 0
    cut: bool = False
    unread: int = 0
    processes: list[ProcessLog] = field(default_factory=list)


class LogReader:
    """Puts lines into processes. A line is of the communicator that its thread sets up, where it is told no other."""

    def __init__(self, found: NcclLog) -> None:
        self._found = found
        self._process: dict[tuple[str, int], ProcessLog] = {}
        self._address: dict[tuple[str, int, str], int] = {}
        self._thread: dict[Origin, int] = {}
        self._columns: dict[Origin, TableHead] = {}
        self._version: str | None = None

    def read(self, lines: Iterable[str]) -> None:
        self._version = None
        before = len(self._found.processes)
        for line in lines:
            origin, said = parse_line(line)
            if origin is None:
                self._version = said.version if isinstance(said, Version) else self._version
                continue
            self._found.lines += 1
            if said is not None and (process := self._of(origin)) is not None:
                self._put(process, origin, said)
        for process in self._found.processes[before:]:
            process.version = process.version or self._version

    def _of(self, origin: Origin) -> ProcessLog | None:
        host = "" if origin.host == "<host>" else origin.host.partition(".")[0].lower()
        key = (host, origin.pid)
        if key not in self._process:
            if len(self._process) >= _MOST:
                self._found.cut = True
                return None
            self._process[key] = ProcessLog(*key)
            self._found.processes.append(self._process[key])
        return self._process[key]

    def _put(self, process: ProcessLog, origin: Origin, said: Said) -> None:
        match said:
            case Joined():
                self._join(process, origin, said)
            case Connected():
                self._connect(process, origin, said)
            case Multicast():
                process.multicast = said.available
            case Version():
                process.version = said.version
            case Setting():
                process.settings[said.name] = said.value
            case Called():
                self._count(process, said)
            case TableHead():
                self._columns[origin] = said
            case _:
                own = self._communicator(process, origin, getattr(said, "address", None))
                if own is not None:
                    _tell(own, said, self._columns.get(origin))

    def _join(self, process: ProcessLog, origin: Origin, said: Joined) -> None:
        key = (process.host, process.pid, said.address)
        known = self._address.get(key)
        own = None if known is None else process.communicators[known]
        # An address serves again once its communicator is gone.
        if own is None or (own.rank, own.size) != (said.rank, said.size) or not (said.complete or own.id == said.id):
            if len(process.communicators) >= _MOST:
                self._found.cut = True
                return
            self._address[key] = known = len(process.communicators)
            own = Communicator(said.rank, said.size, said.device, said.nvml, said.bus, said.id)
            process.communicators.append(own)
        own.id = own.id or said.id
        if said.complete:
            self._thread.pop(origin, None)
        elif len(self._thread) < 16 * _MOST and known is not None:
            self._thread[origin] = known

    def _communicator(self, process: ProcessLog, origin: Origin, address: str | None = None) -> Communicator | None:
        number = None if address is None else self._address.get((process.host, process.pid, address))
        number = self._thread.get(origin) if number is None else number
        if number is None and process.communicators:
            number = len(process.communicators) - 1
        return None if number is None else process.communicators[number]

    def _connect(self, process: ProcessLog, origin: Origin, said: Connected) -> None:
        number = self._thread.get(origin)
        if number is None:
            number = _only(process.communicators, said)
        if number is None:
            process.unplaced += 1
            return
        key = (number, said.source, said.target, said.via)
        if key not in process.connections and len(process.connections) >= _MOST:
            self._found.cut = True
            return
        channels = process.connections.setdefault(key, set())
        if len(channels) < _MOST:
            channels.add(said.channel)

    def _count(self, process: ProcessLog, said: Called) -> None:
        key = (said.function, said.size, said.algorithm, said.protocol)
        if key in process.calls or len(process.calls) < _MOST:
            process.calls[key] = process.calls.get(key, 0) + 1
        else:
            self._found.cut = True


def _tell(own: Communicator, said: Said, columns: TableHead | None) -> None:
    """What a line says of a communicator."""
    match said:
        case Nodes():
            own.nodes = said.nodes
        case Channels():
            own.channels = (said.collective, said.nvls, said.messages)
        case Ring() if len(own.rings) < _MOST:
            own.rings.add(said.channel)
        case Trees():
            own.trees = said.count
        case TableRow() if columns is not None:
            for (algorithm, protocol), cost in zip(columns.columns, said.costs, strict=False):
                if algorithm and protocol:
                    own.costs[said.function, algorithm, protocol] = cost


def _only(communicators: list[Communicator], said: Connected) -> int | None:
    """The communicator that a connection is of, made after it was set up: the last that fits; None where none does."""

    def fits(own: Communicator) -> bool:
        ends = ((said.source, said.gpus[0]), (said.target, said.gpus[1]))
        mine = [gpu for rank, gpu in ends if rank == own.rank]
        inside = max(said.source, said.target) < own.size
        return inside and bool(mine) and (mine[0] is None or mine[0] in (str(own.nvml), f"{own.bus:x}"))

    return next((n for n in range(len(communicators) - 1, -1, -1) if fits(communicators[n])), None)
