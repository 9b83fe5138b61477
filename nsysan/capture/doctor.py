"""Checks before a capture: is there an nsys, what can it do, and what does the machine look like?"""

from __future__ import annotations

import os
from pathlib import Path

from nsysan._errors import NsysanError
from nsysan.capture.checks import FAIL, OK, WARN, Check
from nsysan.capture.cures import free_bytes, temporary_folder, temporary_folder_of_another
from nsysan.capture.nsys import HOW_TO_GET, Nsys, abilities_of, installed, none_found
from nsysan.capture.nvidia_smi import ask
from nsysan.capture.permissions import metrics_permission
from nsysan.trace.topology import Topology, parse_topology

_ROOM_NEEDED = 5e9


def examine(nsys: Nsys | None, folder: Path) -> list[Check]:
    """All checks; `folder` is where traces will be written. A FAIL means that no capture is possible."""
    checks = _nsys(nsys)
    checks += _gpus()
    checks.append(metrics_permission())
    temporary = temporary_folder_of_another()
    if temporary is not None:
        seen, _, remedy = temporary.partition(": ")
        checks.append(Check("temporary files of nsys", WARN, seen, remedy))
    checks += [_room(place, path) for place, path in (("output", folder), ("temporary", temporary_folder()))]
    return checks


def _nsys(nsys: Nsys | None) -> list[Check]:
    if nsys is None:
        return [Check("nsys", FAIL, none_found(), HOW_TO_GET)]
    try:
        abilities = abilities_of(nsys)
    except NsysanError as error:
        return [Check("nsys", FAIL, f"{nsys.label} at {error}", HOW_TO_GET)]
    found = [Check("nsys", OK, f"{nsys.label} at {nsys.path}")]
    newest = max(installed(), key=lambda other: other.version, default=nsys)
    if newest.version > nsys.version:
        found.append(Check("another nsys", OK, f"{newest.label}, newer: --nsys {newest.path}"))
    missing = {
        "--cuda-graph-trace": "kernels inside CUDA graphs stay invisible: use nsys 2022 or later",
        "--trace-fork-before-exec": "forked ranks stay invisible: start them by exec or spawn",
    }
    found += [
        Check(option, WARN, "not supported", remedy)
        for option, remedy in missing.items()
        if option not in abilities.profile
    ]
    found.append(
        Check("NCCL trace", OK, "supported")
        if "nccl" in abilities.trace
        else Check("NCCL trace", OK, "not supported (2025.6 and later); NCCL's own NVTX ranges serve")
    )
    if "--include-json" in abilities.export:
        found.append(Check("message sizes", OK, "this nsys exports NCCL's payloads"))
    else:
        found.append(
            Check(
                "message sizes",
                WARN,
                "this nsys drops NCCL's payloads on export",
                "export with 2025 or later to have them",
            )
        )
    return found


def _gpus() -> list[Check]:
    listing = ask("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    if not listing:
        return [Check("GPUs", WARN, "none seen (nvidia-smi gives nothing)", "NVTX can be traced all the same")]
    rows = [line.split(", ") for line in listing.strip().splitlines()]
    names = sorted({row[0] for row in rows})
    checks = [Check("GPUs", OK, f"{len(rows)} x {', '.join(names)}, driver {rows[0][-1]}")]
    if len(rows) > 1:
        topology = parse_topology(ask("nvidia-smi", "topo", "-m") + "\n" + ask("nvidia-smi", "nvlink", "--status"))
        checks += [_links(topology), _link_state(topology)]
    return checks


def _links(topology: Topology) -> Check:
    """How each pair of GPUs is connected."""
    pairs = topology.pairs
    if not pairs:
        return Check("GPU links", WARN, "nvidia-smi topo -m gives no matrix")
    slow = [f"GPU{i}-GPU{j} {kind}" for i, j, kind in topology.without_nvlink]
    if not slow:
        return Check("GPU links", OK, f"{', '.join(topology.kinds)} between all {len(pairs)} pairs")
    shown = ", ".join(slow[:6]) + (" ..." if len(slow) > 6 else "")
    return Check(
        "GPU links", WARN, f"{len(slow)} of {len(pairs)} pairs without NVLink: {shown}", "collectives will cross PCIe"
    )


def _link_state(topology: Topology) -> Check:
    speeds, inactive = topology.speeds, topology.inactive
    if not speeds:
        return Check("NVLink", WARN, "no active link", "")
    seen = f"{len(speeds)} links active, {min(speeds):g} GB/s each at the least"
    return Check("NVLink", WARN if inactive else OK, seen + (f", {inactive} inactive" if inactive else ""))


def _room(place: str, folder: Path) -> Check:
    free = free_bytes(folder) or 0
    seen = f"{free / 1e9:.0f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Check(f"{place} folder", FAIL, f"{folder} is not writable", "choose another with -o or TMPDIR")
    if free < _ROOM_NEEDED:
        return Check(f"{place} folder", WARN, seen, "a long capture takes gigabytes; shorten it with --duration")
    return Check(f"{place} folder", OK, seen)
