"""Which link the collectives ran over: the one that the GPUs have, or a slower one (DEFINITIONS.md, section 9)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from nsysan.model.classes import WorkClass
from nsysan.model.gpu_links import GpuLink, LinkKind, LinkTable, bridged, carried
from nsysan.text import size
from nsysan.trace.topology import Topology

#: A small all-reduce: large enough to be timed against the table's 8 KB, small enough for latency to count.
SMALL_BYTES = (4_096, 65_536)
#: A large message: bandwidth counts.
LARGE_BYTES = 4_000_000
#: Floor of small all-reduces over the link's reference latency: up to this it is that link ...
SAME_RATIO = 1.25
#: ... from this on it is another, where the reference was measured on such a link ...
OTHER_RATIO = 1.4
#: ... or is NCCL's model, which measured latencies undercut by 5 to 20 %, on GPUs that were not at hand.
OTHER_RATIO_MODEL = 1.8
#: Fewer calls than this may all have been disturbed.
MIN_CALLS = 20
#: A latency that is off by more than this factor from every link's is none of them.
MAX_OFF = 2.0
#: busbw of large messages over the peak of the GPU's PCIe: above 1 nothing but NVLink carries it; below this
#: NVLink does not explain it.
NOT_NVLINK_SHARE = 0.75
#: Likewise where PCIe is all there is: from this share on peers reach each other directly ...
DIRECT_SHARE = 0.6
#: ... and within these it is what host memory gives (0.46 measured at two ranks on PCIe 5).
DETOUR_SHARE = (0.25, 0.5)

THRESHOLDS = {
    "small_bytes": list(SMALL_BYTES),
    "large_bytes": LARGE_BYTES,
    "same_ratio": SAME_RATIO,
    "other_ratio": OTHER_RATIO,
    "other_ratio_model": OTHER_RATIO_MODEL,
    "min_calls": MIN_CALLS,
    "max_off": MAX_OFF,
    "not_nvlink_share": NOT_NVLINK_SHARE,
    "direct_share": DIRECT_SHARE,
    "detour_share": list(DETOUR_SHARE),
}

_LARGE_KINDS = ("all_reduce", "all_gather", "reduce_scatter")


class Message(NamedTuple):
    """What the trace tells of one family's speed: floor in ns, busbw in GB/s. nodes: machines that its ranks are on."""

    kind: str | None
    library: str | None
    op_class: str
    bytes: int
    ranks: int
    calls: int
    floor: int | None
    busbw: float | None
    nodes: int = 1


class Reference(NamedTuple):
    """What an all-reduce of bytes over ranks should take on the link that the GPUs have, ns."""

    bytes: int
    ranks: int
    ns: float


#: Why latency and bandwidth tell nothing.
NOTHING_TELLS = "no all-reduce of NCCL of 4 to 64 KiB and no large message of a known size"


@dataclass(frozen=True)
class Link:
    """The link between the GPUs of a run.

    model: the GPU's row in the table. kind, peak_gbps (GB/s per GPU and direction), source: the link that they
    have. looks_like: the link that the collectives ran over, None where the trace does not tell.
    evidence: sentences, with the thresholds that they were held against. reference: of the small all-reduces whose
    latency told, None where none did. across: nodes that calls lie on which no link between GPUs of one machine
    carries, 1 where there are none. told: whether NCCL's log says what they ran over; against: what the figures
    suggest where the log says another.
    """

    model: str | None
    kind: LinkKind | None
    peak_gbps: float | None
    source: str | None
    looks_like: LinkKind | None
    evidence: tuple[str, ...]
    reference: Reference | None = None
    across: int = 1
    told: bool = False
    against: LinkKind | None = None

    @property
    def wrong(self) -> bool:
        """Whether the collectives ran over another link than the one that the GPUs have."""
        return self.kind is not None and self.looks_like is not None and self.looks_like != self.kind

    @property
    def sentence(self) -> str:
        """The link, its peak, and what the collectives say of it."""
        if self.peak_gbps is None:
            return "; ".join(("the link between the GPUs is not known", *self.evidence))
        has = f"{self.kind.words if self.kind else 'a link'} of {self.peak_gbps:g} GB/s in one direction"
        owner = f"{self.model} has {has}" if self.model else has
        if self.looks_like is None and self.across > 1:
            told = f"which ends at the node: calls over {self.across} nodes cross a network, as they must"
        elif self.looks_like is None:
            told = "what the collectives ran over cannot be told"
        elif self.wrong:
            told = f"but the collectives {'run over' if self.told else 'look like'} {self.looks_like.words}"
        else:
            told = f"and the collectives {'run over' if self.told else 'look like'} it"
        evidence = "; ".join(self.evidence) or ("" if self.across > 1 else NOTHING_TELLS)
        return f"{owner} ({self.source}), {told}{': ' if evidence else ''}{evidence}"


def judge_link(
    row: GpuLink | None,
    messages: Sequence[Message],
    table: LinkTable,
    topology: Topology | None = None,
    link_gbps: float | None = None,
) -> Link:
    """The link of GPUs of that row, and what the messages say of it; link_gbps overrides the table's peak."""
    if row is None:
        source = None if link_gbps is None else "--link-gbps"
        return Link(None, None, link_gbps, source, None, ("the GPU model is not in the table of links",))
    # Between machines the GPUs' own link leads only where all of them are on one switch; then it shows.
    across = [message for message in messages if message.nodes > 1 and not _over_link(row, message, table)]
    messages = [message for message in messages if message not in across]
    row, told = _connected(row, topology)
    if link_gbps is not None:
        row = replace(row, gbps=link_gbps, source="--link-gbps")
    by_size, large = _by_bandwidth(row, messages)
    by_time, small = _by_latency(row, messages, table)
    evidence = tuple(sentence for sentence in (told, small, large) if sentence)
    looks_like = _combined(by_size, by_time)
    reference = _reference(row, messages, table)
    nodes = max((message.nodes for message in across), default=1)
    return Link(row.name, row.kind, row.gbps, row.source, looks_like, evidence, reference, nodes)


def _combined(by_size: LinkKind | None, by_time: LinkKind | None) -> LinkKind | None:
    """One answer: bandwidth proves NVLink, and latency tells what is slower; None where they disagree."""
    if by_size is None or by_time is None:
        return by_size or by_time
    if by_size in (LinkKind.NVLINK, by_time):
        return by_size
    return LinkKind.NETWORK if by_time == LinkKind.NETWORK else None


def _connected(row: GpuLink, topology: Topology | None) -> tuple[GpuLink, str]:
    """The row as the topology of the machine has it, and what it says."""
    if topology is None:
        return row, ""
    count, pairs = topology.bonded, len(topology.pairs)
    kinds = ", ".join(topology.kinds)
    if count is not None:
        between = "the GPUs" if pairs == 1 else f"all {pairs} pairs of GPUs"
        told = f"the capture's topology shows {kinds} between {between}"
        return bridged(row, count, min(topology.speeds, default=None)), told
    slow = len(topology.without_nvlink)
    if slow < pairs:
        return row, f"the capture's topology shows {slow} of {pairs} pairs of GPUs without NVLink ({kinds})"
    source = "no NVLink by the capture's topology; PCIe of the GPU"
    bare = row if row.kind == LinkKind.PCIE else replace(row, kind=LinkKind.PCIE, gbps=row.pcie_gbps, source=source)
    return bare, f"the capture's topology shows no NVLink between the GPUs ({kinds})"


def _detour(row: GpuLink) -> LinkKind:
    """Where traffic goes that should be on NVLink: boards on PCIe may reach each other by it."""
    return LinkKind.HOST_MEMORY if row.board == "sxm" else LinkKind.PCIE


def _by_bandwidth(row: GpuLink, messages: Sequence[Message]) -> tuple[LinkKind | None, str]:
    large = [m for m in messages if m.bytes >= LARGE_BYTES and m.kind in _LARGE_KINDS and _plain(m) and m.busbw]
    if not large:
        return None, ""
    best = max(large, key=lambda m: m.busbw or 0)
    busbw = best.busbw or 0.0
    of_pcie = busbw / row.pcie_gbps
    told = f"busbw {busbw:.1f} GB/s at {best.bytes / 1e6:.1f} MB, {of_pcie:.2f} of PCIe's {row.pcie_gbps:g}"
    if of_pcie > 1:
        return LinkKind.NVLINK, f"{told}: only NVLink carries more than 1"
    if row.kind == LinkKind.NVLINK:
        return (_detour(row) if of_pcie < NOT_NVLINK_SHARE else None), f"{told} (not NVLink: below {NOT_NVLINK_SHARE})"
    bounds = f"(PCIe: from {DIRECT_SHARE}; host memory: {DETOUR_SHARE[0]} to {DETOUR_SHARE[1]})"
    if of_pcie >= DIRECT_SHARE:
        return LinkKind.PCIE, f"{told} {bounds}"
    return (LinkKind.HOST_MEMORY if DETOUR_SHARE[0] <= of_pcie <= DETOUR_SHARE[1] else None), f"{told} {bounds}"


def _by_latency(row: GpuLink, messages: Sequence[Message], table: LinkTable) -> tuple[LinkKind | None, str]:
    own = _telling(messages)
    if own is None:
        return None, ""
    floor = float(own.floor or 0)

    def expected(kind: LinkKind) -> float:
        peak = row.gbps if kind == row.kind else carried(row, kind)
        return table.small_latency(kind, row.generation, own.ranks, own.bytes, peak).ns

    reference = table.small_latency(row.kind, row.generation, own.ranks, own.bytes, row.gbps)
    ratio = floor / reference.ns
    other = OTHER_RATIO if reference.measured else OTHER_RATIO_MODEL
    basis = "measured" if reference.measured else "NCCL's model"
    told = (
        f"all-reduce of {size(own.bytes)} over {own.ranks} ranks takes {floor / 1e3:.1f} µs at its floor, {ratio:.2f} "
        f"of {row.kind.words}'s {reference.ns / 1e3:.1f} µs ({basis}; it is that link up to {SAME_RATIO}, another "
        f"from {other})"
    )
    if ratio <= SAME_RATIO:
        return row.kind, told
    if ratio < other:
        return None, told
    others = [_detour(row) if row.kind == LinkKind.NVLINK else LinkKind.HOST_MEMORY, LinkKind.NETWORK]
    off = {kind: abs(math.log(floor / expected(kind))) for kind in others}
    nearest = min(off, key=lambda kind: off[kind])
    listed = ", ".join(f"{kind.words} {expected(kind) / 1e3:.1f} µs" for kind in others)
    return (nearest if off[nearest] <= math.log(MAX_OFF) else None), f"{told}; to be expected of {listed}"


def _over_link(row: GpuLink, message: Message, table: LinkTable) -> bool:
    """Whether one message shows by itself that the GPUs' own link carries it."""
    return _combined(_by_bandwidth(row, [message])[0], _by_latency(row, [message], table)[0]) == row.kind


def _telling(messages: Sequence[Message]) -> Message | None:
    """Of the small all-reduces the one by whose latency the links are told apart; None where there is none."""
    low, high = SMALL_BYTES
    small = [
        m
        for m in messages
        if low <= m.bytes <= high and m.kind == "all_reduce" and m.library == "NCCL" and _plain(m) and m.floor
        if m.calls >= MIN_CALLS
    ]
    # The larger, the further apart the links are.
    return max(small, key=lambda m: (m.bytes, m.ranks), default=None)


def _reference(row: GpuLink, messages: Sequence[Message], table: LinkTable) -> Reference | None:
    own = _telling(messages)
    if own is None:
        return None
    expected = table.small_latency(row.kind, row.generation, own.ranks, own.bytes, row.gbps)
    return Reference(own.bytes, own.ranks, expected.ns)


def _plain(message: Message) -> bool:
    return message.op_class == WorkClass.COLLECTIVE
