"""Between GPUs: the link that a model has, its peak, and what messages take over each kind of link.

DEFINITIONS.md, section 9.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class LinkKind(StrEnum):
    """What messages between GPUs go over."""

    NVLINK = "nvlink"
    PCIE = "pcie"
    HOST_MEMORY = "host_memory"
    NETWORK = "network"

    @property
    def words(self) -> str:
        """Its name in a sentence."""
        return _LINK_WORDS[self]


_LINK_WORDS = {
    LinkKind.NVLINK: "NVLink",
    LinkKind.PCIE: "PCIe",
    LinkKind.HOST_MEMORY: "host memory",
    LinkKind.NETWORK: "a network",
}

#: Size of the messages whose latencies the table holds.
MEASURED_BYTES = 8192
#: What a link carries each way through host memory or a network card, as a share of the GPU's PCIe: it is crossed
#: once to get there and once to get back.
_DETOUR = 0.5


@dataclass(frozen=True)
class GpuLink:
    """One row of the table: the link of a GPU model; gbps and pcie_gbps are per GPU and direction."""

    name: str
    match: re.Pattern[str]
    kind: LinkKind
    generation: int | None
    links: int | None
    gbps: float
    board: str
    pcie_gbps: float
    source: str
    examples: tuple[str, ...]
    pcie_source: str | None = None
    chip: str | None = None
    memory_gbps: tuple[float, float] = (0.0, 0.0)
    sms: tuple[int, int] = (0, 0)


class Latency(NamedTuple):
    """What a small all-reduce takes over a kind of link: ns, and whether it was measured or is NCCL's model."""

    ns: float
    measured: bool
    source: str


class _Measured(NamedTuple):
    kind: LinkKind
    generation: int | None
    us: Mapping[int, float]
    source: str


class _Nccl(NamedTuple):
    source: str
    base_us: Mapping[str, float]
    share: Mapping[str, float]
    link_share: float
    step_us: Mapping[str, Mapping[str, float]]


class LinkTable(NamedTuple):
    """The table of data/links.toml."""

    gpus: tuple[GpuLink, ...]
    latencies: tuple[_Measured, ...]
    nccl: _Nccl

    def find(
        self, name: str | None, chip: str | None = None, memory_bandwidth: int | None = None, sms: int | None = None
    ) -> GpuLink | None:
        """The row of a GPU, by its name, else by chip, memory bandwidth (bytes/s) and number of SMs."""
        for row in self.gpus:
            if name and row.match.search(name):
                return row
        for row in self.gpus:
            if row.chip is None or row.chip != chip or not memory_bandwidth or not sms:
                continue
            fits = row.memory_gbps[0] <= memory_bandwidth / 1e9 <= row.memory_gbps[1]
            if fits and row.sms[0] <= sms <= row.sms[1]:
                return row
        return None

    def small_latency(self, kind: LinkKind, generation: int | None, ranks: int, size: int, gbps: float) -> Latency:
        """An all-reduce of a few KB: as measured for this link and rank count, else by NCCL's model.

        gbps: what the link carries. What is beyond the measured size is added by NCCL's LL protocol.
        """
        for row in self.latencies:
            if row.kind == kind and row.generation in (None, generation) and ranks in row.us:
                more = max(size - MEASURED_BYTES, 0) * 2 * (ranks - 1) / ranks / (self.nccl.share["LL"] * gbps)
                return Latency(row.us[ranks] * 1e3 + more, True, row.source)
        return Latency(self.ring("all_reduce", kind, ranks, size, gbps) or 0.0, False, self.nccl.source)

    def ring(self, kind: str, link: LinkKind, ranks: int, total: float, gbps: float) -> float | None:
        """NCCL's model of a ring on one node: ns for `total` bytes (as busbw counts them), None for other calls.

        The fastest of its three protocols, over a link of this peak.
        """
        rounds = {"all_reduce": 2, "all_gather": 1, "reduce_scatter": 1}.get(kind)
        if rounds is None or ranks < 2:
            return None
        steps = rounds * (ranks - 1)
        step_us = self.nccl.step_us[link]
        return min(
            1e3 * (self.nccl.base_us[protocol] + steps * step_us[protocol])
            + total * steps / ranks / (share * self.nccl.link_share * gbps)
            for protocol, share in self.nccl.share.items()
        )


def carried(row: GpuLink, kind: LinkKind) -> float:
    """GB/s in one direction that a GPU of this row has over a kind of link, at the most."""
    if kind == LinkKind.NVLINK:
        return row.gbps
    return row.pcie_gbps if kind == LinkKind.PCIE else _DETOUR * row.pcie_gbps


def bridged(row: GpuLink, count: int, per_link: float | None) -> GpuLink:
    """The row for GPUs that a topology shows on `count` bonded NVLinks of `per_link` GB/s."""
    if row.kind == LinkKind.NVLINK and row.links == count:
        return row
    each = row.gbps / row.links if row.kind == LinkKind.NVLINK and row.links else (per_link or 25.0)
    told = f"{count} {'NVLink' if count == 1 else 'NVLinks'} by the capture's topology, {each:g} GB/s each"
    return replace(row, kind=LinkKind.NVLINK, links=count, gbps=round(each * count, 1), source=told)


@cache
def load_links() -> LinkTable:
    """The table that comes with the package."""
    document = tomllib.loads(files("nsysan.data").joinpath("links.toml").read_text("utf-8"))
    gpus = tuple(
        GpuLink(
            **{
                **row,
                "kind": LinkKind(row["kind"]),
                "match": re.compile(row["match"]),
                "generation": row.get("generation"),
                "links": row.get("links"),
                "examples": tuple(row["examples"]),
                "memory_gbps": tuple(row.get("memory_gbps", (0.0, 0.0))),
                "sms": tuple(row.get("sms", (0, 0))),
            }
        )
        for row in document["gpu"]
    )
    latencies = tuple(
        _Measured(
            LinkKind(row["kind"]), row.get("generation"), {int(n): us for n, us in row["us"].items()}, row["source"]
        )
        for row in document["latency"]
    )
    return LinkTable(gpus, latencies, _Nccl(**document["nccl"]))
