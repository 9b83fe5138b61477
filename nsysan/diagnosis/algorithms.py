"""Algorithm and protocol of NCCL's calls by size: as its log prints them, else as its tuning table has the fastest.

DEFINITIONS.md, section 11a.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nsysan.diagnosis.collectives import CollectiveFamily
from nsysan.metrics.bandwidth import total_bytes
from nsysan.metrics.link import Link
from nsysan.metrics.told_link import ToldPairs, as_told
from nsysan.model.gpu_links import LinkKind
from nsysan.run.nccl_choices import Costs, Nccl, TransportKind
from nsysan.run.run import Run

#: More sizes than this are listed of no log.
_MOST = 256
_LINK_OF = {TransportKind.P2P: None, TransportKind.SHM: LinkKind.HOST_MEMORY, TransportKind.NET: LinkKind.NETWORK}
_SLOWEST_FIRST = (LinkKind.NETWORK, LinkKind.HOST_MEMORY, None)


class AlgorithmSource(StrEnum):
    """Where an algorithm is from: printed for the calls themselves, or the fastest of the tuning table."""

    CALLS = "calls"
    TABLE = "table"


@dataclass(frozen=True)
class Algorithm:
    """What calls of a kind and size use. bytes: as a call passes them; calls: how many the log prints, else None.

    kind: None where the version prints none and the trace has several of the size. us: what the table has for a call
    of the trace, None where there is none; best: the same of the fastest (algorithm, protocol, us).
    """

    kind: str | None
    bytes: int
    algorithm: str
    protocol: str
    calls: int | None
    source: AlgorithmSource
    us: float | None = None
    best: tuple[str, str, float] | None = None


def algorithms_of(nccl: Nccl | None, families: Sequence[CollectiveFamily]) -> list[Algorithm]:
    """By kind, size and then number of calls: what was printed, then of the table what the trace calls beyond that."""
    if nccl is None:
        return []
    own = [f for f in families if f.library == "NCCL" and f.kind and f.message_bytes and "Sym" not in f.name]
    sizes = {(f.kind, f.message_bytes): f.communicator_size or f.ranks for f in own}
    printed = [_printed(nccl, sizes, *call, n) for call, n in nccl.calls.items()]
    done = {(row.kind, row.bytes) for row in printed}
    rest = [_by_table(nccl.costs.get(ranks, {}), *key, ranks) for key, ranks in sizes.items() if key not in done]
    rows = [*printed, *(row for row in rest if row is not None)]
    return sorted(rows, key=lambda row: (row.kind or "", row.bytes, -(row.calls or 0), row.algorithm, row.protocol))[
        :_MOST
    ]


def _printed(
    nccl: Nccl,
    sizes: Mapping[tuple[str | None, int | None], int],
    kind: str | None,
    size: int,
    algorithm: str,
    protocol: str,
    n: int,
) -> Algorithm:
    same = {(of, ranks) for (of, bytes_), ranks in sizes.items() if bytes_ == size and kind in (None, of)}
    of, ranks = next(iter(same)) if len(same) == 1 else (kind, 0)
    costs = nccl.costs.get(ranks, {})
    if of is None or not costs:
        return Algorithm(of, size, algorithm, protocol, n, AlgorithmSource.CALLS)
    total = total_bytes(of, size, ranks)
    own = _us(costs.get((of, algorithm, protocol)), total)
    return Algorithm(of, size, algorithm, protocol, n, AlgorithmSource.CALLS, own, _fastest(costs, of, total))


def _by_table(costs: Costs, kind: str | None, size: int | None, ranks: int) -> Algorithm | None:
    if kind is None or size is None:
        return None
    best = _fastest(costs, kind, total_bytes(kind, size, ranks))
    return None if best is None else Algorithm(kind, size, best[0], best[1], None, AlgorithmSource.TABLE, best[2], best)


def _fastest(costs: Costs, kind: str, total: int) -> tuple[str, str, float] | None:
    found = [
        (us, algorithm, protocol)
        for (of, algorithm, protocol), cost in costs.items()
        if of == kind and (us := _us(cost, total)) is not None
    ]
    us, algorithm, protocol = min(found, default=(0.0, "", ""))
    return (algorithm, protocol, us) if found else None


def _us(cost: tuple[float, float] | None, total: int) -> float | None:
    """What NCCL reckons with: latency and bytes over bandwidth (GB/s are 1000 bytes a us); None where it may not be."""
    return None if cost is None or cost[1] <= 0 else cost[0] + total / (1000 * cost[1])


def told_link(link: Link, run: Run, nccl: Nccl | None, families: Sequence[CollectiveFamily]) -> Link:
    """The link as NCCL's log has it between ranks of this run on one machine; itself where NCCL does no collective."""
    if nccl is None or not any(family.library == "NCCL" for family in families):
        return link
    own, hosts = {rank.rank for rank in run.ranks}, run.host_of
    slowest: dict[tuple[int, int], LinkKind | None] = {}
    for transport in nccl.transports:
        first, second = transport.ranks
        if {first, second} <= own and hosts[first] is not None and hosts[first] == hosts[second]:
            both = (_LINK_OF[transport.kind], slowest.get(transport.ranks))
            slowest[transport.ranks] = min(both, key=_SLOWEST_FIRST.index)
    pairs = {kind: list(slowest.values()).count(kind) for kind in reversed(_SLOWEST_FIRST)}
    topology = next((trace.topology for trace in run.metadata if trace.topology), None)
    without = len(topology.without_nvlink) if topology and link.kind is LinkKind.NVLINK else 0
    return as_told(link, ToldPairs(pairs, without))
