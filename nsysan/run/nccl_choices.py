"""What NCCL says it chose: transports, channels, algorithms, of all its logs together (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from nsysan.model.payloads import CALL_KINDS
from nsysan.run.run import Run

if TYPE_CHECKING:
    from nsysan.run.nccl_fit import Fit, Fitting
    from nsysan.trace.nccl_log import NcclLog


class TransportKind(StrEnum):
    """How NCCL moves data from one rank to another: between the GPUs, by memory of the host, by a network."""

    P2P = "p2p"
    SHM = "shm"
    NET = "net"


class Transport(NamedTuple):
    """How data goes between two ranks of the run. via: in NCCL's words, as P2P/CUMEM; channels: that go this way."""

    ranks: tuple[int, int]
    kind: TransportKind
    via: str
    channels: int


@dataclass(frozen=True)
class SetUp:
    """The largest communicator of the run. channels: for collectives, NVLS, messages; all None where not told.

    rings: told by its rank 0 alone.
    """

    ranks: int
    nodes: int | None
    channels: int | None
    nvls_channels: int | None
    message_channels: int | None
    rings: int | None
    trees: int | None


#: Latency (us) and bandwidth (GB/s) by kind, algorithm and protocol.
Costs = dict[tuple[str, str, str], tuple[float, float]]


@dataclass(frozen=True)
class Nccl:
    """What NCCL says of a run.

    multicast: whether it has NVLink multicast (NVLS), None where not told. settings: variables that the environment
    sets, "" where the value is none of the known words. calls: how many were printed, by kind (None where the version
    does not tell), bytes as the call passes them, algorithm and protocol. costs: the tuning table by number of ranks.
    told: ranks whose log there is. others: processes of logs that are not of this run, by reason. doubts: what of the
    logs could not be read.
    """

    version: str | None
    multicast: bool | None
    set_up: SetUp | None
    transports: list[Transport]
    settings: dict[str, str]
    calls: dict[tuple[str | None, int, str, str], int]
    costs: dict[int, Costs]
    told: list[int]
    others: Mapping[str, int]
    doubts: list[str] = field(default_factory=list)

    def setting(self, name: str) -> str | None:
        """Value of a variable that the environment sets; None where it sets none."""
        return self.settings.get(name)

    @property
    def p2p_off(self) -> str | None:
        """The setting by which P2P is turned off, as NAME=VALUE; None where there is none."""
        disable, level = self.setting("NCCL_P2P_DISABLE"), (self.setting("NCCL_P2P_LEVEL") or "").upper()
        if disable is not None and disable != "0":
            return f"NCCL_P2P_DISABLE={disable}"
        return f"NCCL_P2P_LEVEL={level}" if level in ("LOC", "0") else None


def choices(run: Run, logs: Sequence[NcclLog]) -> Nccl | None:
    """What these logs and those beside the traces say of the run; None where there is none, or they say nothing."""
    together = [*logs, *(trace.nccl_log for trace in run.metadata if trace.nccl_log is not None)]
    if not together:
        return None
    from nsysan.run.nccl_fit import fit

    found = fit(run, together)
    if not (found.processes or found.others or any(log.unread for log in together)):
        return None
    own = found.processes
    settings = {name: value for one in own for name, value in one.log.settings.items()}
    multicast = [one.log.multicast for one in own if one.log.multicast is not None]
    return Nccl(
        version=next((one.log.version for one in own if one.log.version), None),
        multicast=all(multicast) if multicast else None,
        set_up=_set_up(own),
        transports=_transports(run, found),
        settings=dict(sorted(settings.items())),
        calls=_calls(own),
        costs=_costs(own),
        told=sorted({rank for one in own for rank in one.ranks.values()}),
        others=dict(sorted(found.others.items())),
        doubts=_doubts(together, own),
    )


def _set_up(processes: list[Fitting]) -> SetUp | None:
    own = [one for process in processes for one in process.log.communicators]
    size = max((one.size for one in own), default=0)
    same = [one for one in own if one.size == size]
    if not same:
        return None
    channels = next((one.channels for one in same if one.channels), (None, None, None))
    trees = any(one.trees for one in same)
    return SetUp(
        ranks=size,
        nodes=next((one.nodes for one in same if one.nodes), None),
        channels=channels[0],
        nvls_channels=channels[1],
        message_channels=channels[2],
        rings=max((len(one.rings) for one in same), default=0) or None,
        # NCCL cuts the line that lists them at 1 KB; there is one a channel.
        trees=(channels[0] or max(one.trees for one in same)) if trees else None,
    )


#: A communicator over its processes: by id, or where none is told by size and place among those of a size.
_Key = tuple[str, int, int]


def _keys(process: Fitting) -> list[_Key]:
    counts: Counter[int] = Counter()
    found: list[_Key] = []
    for one in process.log.communicators:
        found.append(("id", one.id, one.size) if one.id else ("nth", counts[one.size], one.size))
        counts[one.size] += 1
    return found


def _transports(run: Run, found: Fit) -> list[Transport]:
    members: dict[_Key, dict[int, int]] = {}
    for process in found.processes:
        for number, key in enumerate(_keys(process)):
            if number in process.ranks:
                known, place, rank = (
                    members.setdefault(key, {}),
                    process.log.communicators[number].rank,
                    process.ranks[number],
                )
                # Without ids, communicators of one size cannot be told apart where two claim a place.
                known[place] = rank if known.get(place, rank) == rank else -1
    everyone = {rank.rank for rank in run.ranks} | set(run.missing_ranks)
    channels: dict[tuple[int, int, str], set[int]] = {}
    for process in found.processes:
        keys = _keys(process)
        for (number, source, target, via), used in process.log.connections.items():
            of = members.get(keys[number], {})
            # A communicator of all ranks numbers them as the run does, where those that are known say so.
            as_run = keys[number][2] == len(everyone) and all(own == rank for own, rank in of.items())
            ends = [of.get(end, end if as_run and end in everyone else None) for end in (source, target)]
            pair = sorted(-1 if end is None else end for end in ends)
            if 0 <= pair[0] < pair[1]:
                channels.setdefault((pair[0], pair[1], via), set()).update(used)
    return [
        Transport((first, second), TransportKind(via.partition("/")[0].lower()), via, len(used))
        for (first, second, via), used in sorted(channels.items())
    ]


def _calls(processes: list[Fitting]) -> dict[tuple[str | None, int, str, str], int]:
    found: Counter[tuple[str | None, int, str, str]] = Counter()
    for process in processes:
        for (function, size, algorithm, protocol), n in process.log.calls.items():
            found[CALL_KINDS[function] if function else None, size, algorithm, protocol] += n
    return dict(found)


def _costs(processes: list[Fitting]) -> dict[int, Costs]:
    found: dict[int, Costs] = {}
    for one in (one for process in processes for one in process.log.communicators if one.costs):
        costs = {(CALL_KINDS[function], a, p): cost for (function, a, p), cost in one.costs.items()}
        found.setdefault(one.size, costs)
    return found


def _doubts(logs: Sequence[NcclLog], own: list[Fitting]) -> list[str]:
    unread, long = sum(log.unread for log in logs), sum(log.long for log in logs)
    unplaced = sum(process.log.unplaced for process in own)
    told = []
    if any(log.cut for log in logs):
        told.append("the logs are larger than what is read of them")
    if unread:
        told.append(f"{unread} cannot be read")
    if long:
        told.append(f"{long} lines are longer than NCCL's")
    if unplaced:
        told.append(f"of {unplaced} connections it is not told whose they are")
    return told
