"""The topology beside a trace, written anew: what a report reads of it, and nothing that names a machine."""

from __future__ import annotations

from pathlib import Path

from nsysan.trace.topology import Topology, read_topology, topology_file


def copy_topology(source: Path, target: Path) -> None:
    """Write the topology of the trace `source`, where it has one, beside `target`."""
    topology = read_topology(source)
    if topology is not None:
        topology_file(target).write_text(topology_text(topology), encoding="utf-8")


def topology_text(topology: Topology) -> str:
    """What a report reads of a topology, in the words of nvidia-smi: no GPU's serial number, no network card."""
    count = max((j for _, j, _ in topology.pairs), default=0) + 1
    kinds = {(i, j): _kind(kind) for i, j, kind in topology.pairs}
    rows = [
        "\t".join([f"GPU{i}", *("X" if i == j else kinds.get((min(i, j), max(i, j)), "?") for j in range(count))])
        for i in range(count)
    ]
    rows += [f"Link {i}: {speed:g} GB/s" for i, speed in enumerate(topology.speeds)]
    rows += [f"Link {len(topology.speeds) + i}: <inactive>" for i in range(topology.inactive)]
    return "\n".join(rows) + "\n"


def _kind(told: str) -> str:
    """How two GPUs are connected, as nvidia-smi has it; what it never says is not passed on."""
    known = told in ("X", "SYS", "NODE", "PHB", "PXB", "PIX", "C2C") or (told[:2] == "NV" and told[2:].isdigit())
    return told if known and len(told) < 6 else "?"
