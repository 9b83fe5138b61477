"""Kernels that are named like a collective, but are not in the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

_NAMED = 5


@dataclass(frozen=True)
class Lookalike:
    """A kernel that is named like a collective but is not in the catalogue, with its share of kernel time."""

    name: str
    calls: int
    share: float


def find_lookalikes(work: pl.DataFrame) -> list[Lookalike]:
    """Unknown kernels named like collectives, longest first; work: that of a run."""
    columns = work.select("name", "type", "lookalike", ns=pl.col("end") - pl.col("start"))
    unknown = columns.filter("lookalike")
    if unknown.is_empty():
        return []
    total = int(columns.filter(pl.col("type") == "kernel")["ns"].sum())
    found = (
        unknown.with_columns(pl.col("name").cast(pl.String))
        .group_by("name")
        .agg(pl.sum("ns"), calls=pl.len())
        .select("name", "calls", "ns")
        .sort(["ns", "name"], descending=[True, False])
    )
    return [Lookalike(name, calls, ns / max(total, 1)) for name, calls, ns in found.iter_rows()]


def named(kernels: Sequence[Lookalike]) -> str:
    """The names of the longest."""
    return ", ".join(kernel.name for kernel in kernels[:_NAMED])
