"""What NCCL's log says of the link, which outranks what latency and bandwidth suggest (DEFINITIONS.md, section 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from nsysan.metrics.link import Link
from nsysan.model.gpu_links import LinkKind
from nsysan.text import counted

_OVER = {None: "P2P", LinkKind.HOST_MEMORY: "SHM", LinkKind.NETWORK: "NET"}


class ToldPairs(NamedTuple):
    """Pairs of ranks of one machine by what NCCL's log says that data goes over; None: from GPU to GPU, which NCCL
    calls P2P whatever link it is. A pair is of the slowest that it has.

    without_nvlink: pairs that no NVLink connects, by the topology.
    """

    pairs: Mapping[LinkKind | None, int]
    without_nvlink: int = 0

    @property
    def slowest(self) -> LinkKind | None:
        """What more pairs go over than have no NVLink; None where that is P2P."""
        slow = [kind for kind in (LinkKind.NETWORK, LinkKind.HOST_MEMORY) if self.pairs.get(kind)]
        return slow[0] if sum(self.pairs.get(kind, 0) for kind in slow) > self.without_nvlink else None

    @property
    def sentence(self) -> str:
        """How many pairs go over what."""
        told = [f"{_OVER[kind]} between {counted(n, 'pair')} of ranks" for kind, n in self.pairs.items() if n]
        return f"NCCL's log says {' and '.join(told)}"


def as_told(link: Link, told: ToldPairs) -> Link:
    """The link as NCCL's log has it; itself where the log tells of no pair, or the GPU's own link is not known."""
    if link.kind is None or not any(told.pairs.values()):
        return link
    slow = told.slowest
    # P2P may be NVLink or PCIe: which of them, the figures tell.
    direct = link.looks_like if link.looks_like in (LinkKind.NVLINK, LinkKind.PCIE) else link.kind
    looks_like = slow or direct
    against = link.looks_like if link.looks_like not in (None, looks_like) else None
    said = told.sentence
    if against is not None:
        said += f", where latency and bandwidth suggest {against.words}"
    return replace(link, looks_like=looks_like, evidence=(said, *link.evidence), told=True, against=against)
