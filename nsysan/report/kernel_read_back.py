"""Kernels and their groups of a report's JSON, read back: those of the headline population of the headline replica."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan.report.json_values import Fields


@dataclass(frozen=True)
class KernelFigures:
    """A kernel, or a group of them (name: that of the group).

    ns, calls: of a step, median over the ranks; call_ns: of a call, 0 of a group; share: of the period.
    """

    name: str
    group: str
    ns: int
    calls: float
    share: float
    call_ns: int


def kernels_from(fields: Fields, replica: int | None, population: str | None) -> list[KernelFigures]:
    """Kernels of a document; none in documents that have no such list."""
    return [
        KernelFigures(
            name=row.text("name"),
            group=row.text("group"),
            ns=row.below("ns_per_step").whole("median"),
            calls=row.number("calls_per_step"),
            share=row.number("share"),
            call_ns=row.whole("call_ns_p50"),
        )
        for row in _own(fields, "kernels", replica, population)
    ]


def kernel_groups_from(fields: Fields, replica: int | None, population: str | None) -> list[KernelFigures]:
    """Groups of a document, likewise."""
    return [
        KernelFigures(
            name=row.text("group"),
            group=row.text("group"),
            ns=row.below("ns_per_step").whole("median"),
            calls=row.number("calls_per_step"),
            share=row.number("share"),
            call_ns=0,
        )
        for one in _own(fields, "compute", replica, population)
        for row in one.rows("groups")
    ]


def _own(fields: Fields, key: str, replica: int | None, population: str | None) -> list[Fields]:
    if key not in fields.values or replica is None or population is None:
        return []
    rows = fields.rows(key)
    return [row for row in rows if row.whole("replica") == replica and row.text("population") == population]
