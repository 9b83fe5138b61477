"""Which machine each rank is on: numbers in place of names, which are nobody's business (DEFINITIONS.md, section 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from nsysan.model.metadata import TraceMetadata
from nsysan.model.ranks import Rank


def on_hosts(
    ranks: Sequence[tuple[int, Rank]], traces: Sequence[TraceMetadata], trace_of: Mapping[int, int]
) -> list[tuple[int, Rank]]:
    """The ranks by key, in their order, each with the number of its machine: machines by their first rank.

    trace_of: number of the trace that holds a key. One session is on one machine. Of several the names tell, and of a
    trace without a name nothing does.
    """
    if len(traces) == 1:
        return [(key, replace(rank, host=0)) for key, rank in ranks]
    numbers: dict[str, int] = {}
    found = []
    for key, rank in ranks:
        name = traces[trace_of[key]].host
        host = None if name is None else numbers.setdefault(name, len(numbers))
        found.append((key, replace(rank, host=host)))
    return found


def nodes_of(ranks: Iterable[int], host_of: Mapping[int, int | None]) -> int | None:
    """On how many machines these ranks are; None where it is not told of all."""
    hosts = {host_of.get(rank) for rank in ranks}
    return None if None in hosts else len(hosts)
