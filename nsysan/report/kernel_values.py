"""Kernels, their groups and layers in the JSON document (DEFINITIONS.md, sections 11a and 12)."""

from __future__ import annotations

from typing import Any

from nsysan.model.classes import WorkClass
from nsysan.report.kernel_table import ComputeRow, KernelRow, OverRanks
from nsysan.report.layer_table import Beside, LayerTable
from nsysan.report.replica import Replica
from nsysan.text import plain

#: Letters of a full name.
_FULL = 1_000


def kernel_values(replicas: list[Replica]) -> dict[str, Any]:
    """The keys kernels, compute and layers."""
    return {
        "kernels": [_kernel(row, r.id, one.population) for r in replicas for one in r.compute for row in one.kernels],
        "compute": [_compute(one, r.id) for r in replicas for one in r.compute],
        "layers": [_layers(one, r) for r in replicas for one in r.layers],
    }


def _kernel(row: KernelRow, replica: int, population: str) -> dict[str, Any]:
    return {
        "replica": replica,
        "population": population,
        "name": row.name,
        "full_name": None if row.full == row.name else plain(row.full, _FULL),
        "class": WorkClass.COMPUTE,
        "group": row.group,
        "calls_per_step": row.calls,
        "ns_per_step": _spread(row.ns),
        "share": row.share,
        "call_ns_p50": row.call,
    }


def _compute(one: ComputeRow, replica: int) -> dict[str, Any]:
    return {
        "replica": replica,
        "population": one.population,
        "compute_ns": _spread(one.compute),
        "kernels_ns": _spread(one.summed),
        "overlap_ns": _spread(one.overlap),
        "beyond_ns": _spread(one.beyond),
        "kernels": one.names,
        "groups": [
            {
                "group": row.group,
                "calls_per_step": row.calls,
                "ns_per_step": _spread(row.ns),
                "share": row.share,
                "share_of_compute": row.of_compute,
                "kernels": row.kernels,
            }
            for row in one.groups
        ],
    }


def _spread(ns: OverRanks) -> dict[str, int]:
    return {"median": ns.median, "min": ns.min, "max": ns.max}


def _layers(one: LayerTable, replica: Replica) -> dict[str, Any]:
    return {
        "replica": replica.id,
        "population": replica.populations[0].id,
        "rank": one.rank,
        "count": one.count,
        "kernels": [
            {
                "name": kernel.name,
                "class": kernel.cls,
                "group": kernel.group,
                "ns": kernel.ns,
                "first": kernel.first and {"name": kernel.first[0], "ns": kernel.first[1]},
                "last": kernel.last and {"name": kernel.last[0], "ns": kernel.last[1]},
            }
            for kernel in one.kernels
        ],
        "before": [_beside(row) for row in one.before],
        "after": [_beside(row) for row in one.after],
    }


def _beside(row: Beside) -> dict[str, Any]:
    return {"name": row.name, "class": row.cls, "group": row.group, "calls": row.calls, "ns": row.ns}
