"""The kernels of a replica's steps, population by population, over its ranks (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import polars as pl

from nsysan.metrics.kernel_times import KERNEL, KernelTimes
from nsysan.model.kernel_groups import KernelGroup
from nsysan.run.kernel_questions import kernels_of
from nsysan.run.run import Run
from nsysan.timings import stage

#: Kernels of a population that are told by name, those that take most; all are in the sums.
MOST_ROWS = 256
#: Ranks differ in a kernel where the largest has this much more than the least, and this share of the period.
DIFFERS, DIFFERS_OF_PERIOD = 0.1, 0.002


@dataclass(frozen=True)
class OverRanks:
    """ns of a step over the ranks, each rank's own being the median over its steady steps. ranks: by rank."""

    median: int
    min: int
    max: int
    ranks: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, by_rank: Mapping[int, int]) -> OverRanks:
        """Of at least one rank."""
        ns = by_rank.values()
        return cls(round(median(ns)), min(ns), max(ns), by_rank)


@dataclass(frozen=True)
class KernelRow:
    """One kernel. full: a full name of it. calls: a step, median over the ranks; share: of the period; call: ns of a
    call, median over the ranks' medians."""

    name: str
    full: str
    group: KernelGroup
    calls: float
    ns: OverRanks
    share: float
    call: int

    def differs(self, period: int) -> bool:
        """Whether the ranks differ in it by more than noise."""
        return differs(self.ns, period)


@dataclass(frozen=True)
class GroupTotal:
    """All kernels of a group; kernels: how many names."""

    group: KernelGroup
    calls: float
    ns: OverRanks
    share: float
    of_compute: float
    kernels: int


@dataclass(frozen=True)
class ComputeRow:
    """What the compute of one population is.

    period: ns, median over the ranks; 0 where it is not known. compute: the ledger's line. summed: durations of the
    kernels; overlap: what kernels of a step share; beyond: what reaches over the step's ends. In every step of every
    rank summed - overlap - beyond is the line, to 0 ns. names: kernels, of which `kernels` are those that take most.
    """

    population: str
    period: int
    compute: OverRanks
    summed: OverRanks
    overlap: OverRanks
    beyond: OverRanks
    groups: list[GroupTotal]
    kernels: list[KernelRow]
    names: int

    @property
    def other(self) -> float:
        """The share of compute that no pattern knows."""
        return next((row.of_compute for row in self.groups if row.group is KernelGroup.OTHER), 0.0)

    def of_group(self, group: KernelGroup) -> list[KernelRow]:
        """Its kernels, those that take most first."""
        return [row for row in self.kernels if row.group is group]


def differs(ns: OverRanks, period: int) -> bool:
    """Whether ranks differ by more than noise."""
    spread = ns.max - ns.min
    return spread >= DIFFERS * ns.max and spread >= DIFFERS_OF_PERIOD * period


@stage("kernels")
def find_compute(own: Run) -> list[ComputeRow]:
    """A row a population of this replica that has steady steps, the headline first; none where no kernel is seen."""
    found = [times for times in own.ask(kernels_of) if times is not None]
    if not found:
        return []
    times = KernelTimes.of_all(found)
    _check(times.steps, own.ledger)
    ledger = own.ledger.join(times.steps.select("rank", "step", "population"), on=["rank", "step"])
    known = set(times.kernels["population"])
    order = [one.id for one in own.steps.populations if one.id in known]
    return [_row(name, times, ledger.filter(pl.col("population") == name)) for name in order]


def _check(steps: pl.DataFrame, ledger: pl.DataFrame) -> None:
    """What the kernels cover is the ledger's compute line in every step; anything else is a bug."""
    joined = steps.join(ledger.select("rank", "step", "compute_ns"), on=["rank", "step"])
    left = pl.col("kernels_ns") - pl.col("overlap_ns") - pl.col("beyond_ns")
    wrong = joined.filter((pl.col("union_ns") != pl.col("compute_ns")) | (left != pl.col("union_ns")))
    if len(wrong):
        raise AssertionError(f"kernels do not sum to compute in {len(wrong)} rows: {wrong.head(1).to_dicts()}")


def _row(name: str, times: KernelTimes, ledger: pl.DataFrame) -> ComputeRow:
    own = pl.col("population") == name
    steps = times.steps.filter(own)
    periods = ledger.group_by("rank").agg(pl.median("period_ns"))["period_ns"].to_list()
    period = round(median(periods)) if periods else 0
    usual = steps.group_by("rank").agg(pl.median("union_ns", "kernels_ns", "overlap_ns", "beyond_ns").round())
    of_rank = {row["rank"]: row for row in usual.sort("rank").iter_rows(named=True)}
    ranks = list(of_rank)
    compute, summed, overlap, beyond = (
        _over(of_rank, ranks, column) for column in ("union_ns", "kernels_ns", "overlap_ns", "beyond_ns")
    )
    kernels = _by_rank(times.kernels.filter(own), KERNEL)
    count = Counter(group for _, group in {(name, group) for _, name, group in kernels})
    groups = [
        GroupTotal(
            KernelGroup(group),
            _calls(rows, ranks),
            ns := _over(rows, ranks, "ns"),
            ns.median / period if period else 0.0,
            ns.median / compute.median if compute.median else 0.0,
            count[group],
        )
        for (group,), rows in _by_rank(times.groups.filter(own), ("group",)).items()
    ]
    most_first = sorted(kernels, key=lambda kernel: (-sum(row["ns"] for row in kernels[kernel].values()), kernel))
    return ComputeRow(
        population=name,
        period=period,
        compute=compute,
        summed=summed,
        overlap=overlap,
        beyond=beyond,
        groups=sorted(groups, key=lambda row: (-sum(row.ns.ranks.values()), row.group)),
        kernels=[_kernel(kernels[kernel], ranks, period) for kernel in most_first[:MOST_ROWS]],
        names=len(kernels),
    )


#: A row of each rank that has one.
_OfRanks = Mapping[int, Mapping[str, Any]]


def _by_rank(rows: pl.DataFrame, key: Sequence[str]) -> Mapping[tuple[str, ...], _OfRanks]:
    """The rows of each key."""
    found: dict[tuple[str, ...], dict[int, Mapping[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        found.setdefault(tuple(row[name] for name in key), {})[row["rank"]] = row
    return found


def _kernel(rows: _OfRanks, ranks: Sequence[int], period: int) -> KernelRow:
    ns, first = _over(rows, ranks, "ns"), rows[min(rows)]
    return KernelRow(
        name=first["name"],
        full=min(row["demangled"] for row in rows.values()),
        group=KernelGroup(first["group"]),
        calls=_calls(rows, ranks),
        ns=ns,
        share=ns.median / period if period else 0.0,
        call=round(median(row["call_ns"] for row in rows.values())),
    )


def _over(rows: _OfRanks, ranks: Sequence[int], column: str) -> OverRanks:
    """A rank that has no such kernel spends nothing in it."""
    return OverRanks.of({rank: int(rows[rank][column]) if rank in rows else 0 for rank in ranks})


def _calls(rows: _OfRanks, ranks: Sequence[int]) -> float:
    return float(median(rows[rank]["calls"] if rank in rows else 0.0 for rank in ranks))
