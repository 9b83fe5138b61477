"""Kernels that are named like a collective, but are not in the catalogue (DEFINITIONS.md, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from nsysan.metrics.tally import Tally

_NAMED = 5


@dataclass(frozen=True)
class Lookalike:
    """A kernel that is named like a collective but is not in the catalogue, with its share of kernel time."""

    name: str
    calls: int
    share: float


def find_lookalikes(tally: Tally) -> list[Lookalike]:
    """Unknown kernels of a run that are named like collectives, longest first."""
    return ranked(tally.lookalikes, tally.kernel_ns)


def ranked(sums: pl.DataFrame, kernel_ns: int) -> list[Lookalike]:
    """The same from their sums (see tally.lookalike_sums) and the ns of all kernels."""
    found = sums.select("name", "calls", "ns").sort(["ns", "name"], descending=[True, False])
    return [Lookalike(name, calls, ns / max(kernel_ns, 1)) for name, calls, ns in found.iter_rows()]


def unknown_share(tally: Tally) -> float:
    """Of the time of all kernels, that of those."""
    return sum(kernel.share for kernel in find_lookalikes(tally))


def named(kernels: Sequence[Lookalike]) -> str:
    """The names of the longest."""
    return ", ".join(kernel.name for kernel in kernels[:_NAMED])
