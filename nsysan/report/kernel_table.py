"""The kernels of a replica's steps, population by population, over its ranks (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        values = pl.Series(list(by_rank.values()), dtype=pl.Int64)
        middle = values.median()
        return cls(round(float(middle)), min(by_rank.values()), max(by_rank.values()), by_rank)  # type: ignore[arg-type]


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
    ranks = steps["rank"].unique().sort().to_list()
    medians = ledger.group_by("rank").agg(pl.median("period_ns"))["period_ns"].median()
    period = round(float(medians)) if medians is not None else 0  # type: ignore[arg-type]
    usual = steps.group_by("rank").agg(pl.median("union_ns", "kernels_ns", "overlap_ns", "beyond_ns").round())
    compute, summed, overlap, beyond = (
        _over(usual, ranks, column) for column in ("union_ns", "kernels_ns", "overlap_ns", "beyond_ns")
    )
    kernels = times.kernels.filter(own)
    named = kernels.group_by("group").agg(pl.col("name").n_unique())
    count = dict(named.iter_rows())
    groups = [
        GroupTotal(
            KernelGroup(str(group)),
            _calls(rows, ranks),
            ns := _over(rows, ranks, "ns"),
            ns.median / period if period else 0.0,
            ns.median / compute.median if compute.median else 0.0,
            count[group],
        )
        for (group,), rows in times.groups.filter(own).partition_by("group", as_dict=True).items()
    ]
    by_kernel = kernels.group_by(KERNEL).agg(mean=pl.sum("ns")).sort(["mean", *KERNEL], descending=[True, *[False] * 3])
    parts = kernels.partition_by(KERNEL, as_dict=True)
    told = [parts[key] for key in by_kernel.head(MOST_ROWS).select(KERNEL).iter_rows()]
    return ComputeRow(
        population=name,
        period=period,
        compute=compute,
        summed=summed,
        overlap=overlap,
        beyond=beyond,
        groups=sorted(groups, key=lambda row: (-sum(row.ns.ranks.values()), row.group)),
        kernels=[_kernel(rows, ranks, period) for rows in told],
        names=len(by_kernel),
    )


def _kernel(rows: pl.DataFrame, ranks: Sequence[int], period: int) -> KernelRow:
    ns, first = _over(rows, ranks, "ns"), rows.row(rows["rank"].arg_min() or 0, named=True)
    return KernelRow(
        name=first["name"],
        full=min(rows["demangled"].to_list()),
        group=KernelGroup(first["group"]),
        calls=_calls(rows, ranks),
        ns=ns,
        share=ns.median / period if period else 0.0,
        call=round(float(rows["call_ns"].median())),  # type: ignore[arg-type]
    )


def _over(rows: pl.DataFrame, ranks: Sequence[int], column: str) -> OverRanks:
    """A rank that has no such kernel spends nothing in it."""
    told = _by_rank(rows, column)
    return OverRanks.of({rank: int(told.get(rank, 0)) for rank in ranks})


def _calls(rows: pl.DataFrame, ranks: Sequence[int]) -> float:
    told = _by_rank(rows, "calls")
    return float(pl.Series([float(told.get(rank, 0)) for rank in ranks]).median())  # type: ignore[arg-type]


def _by_rank(rows: pl.DataFrame, column: str) -> dict[int, Any]:
    return dict(zip(rows["rank"].to_list(), rows[column].to_list(), strict=True))
