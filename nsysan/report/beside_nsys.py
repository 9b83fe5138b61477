"""What NVIDIA's own reports and recipes say of a trace, by their definitions, to stand beside ours."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import polars as pl

from nsysan.columns.intervals import Covered
from nsysan.model.steps.step_windows import StepMethod
from nsysan.run.placed import PlacedTrace
from nsysan.run.run import Run

#: By what nsys' recipes tell communication from compute.
PREFIX = "nccl"
_NCCL = "NCCL"


@dataclass(frozen=True)
class BesideNsys:
    """Sums over the whole capture and all of the run's ranks, ns.

    kernels, nccl: from start to end of all kernels, and of those whose name begins with PREFIX (cuda_gpu_kern_sum).
    resident, beside: union of the latter on each rank, and how much of it other kernels run beside
    (nccl_gpu_overlap_trace, nccl_gpu_time_util_map). calls, host: NVTX ranges of NCCL, and how long they take on the
    host (nccl_sum). steps, projected: of every step and rank from the start of its first operation to the end of its
    last (nvtx_gpu_proj_sum of the steps' range); 0 where no range tells steps.
    """

    kernels: int = 0
    nccl: int = 0
    resident: int = 0
    beside: int = 0
    calls: int = 0
    host: int = 0
    steps: int = 0
    projected: int = 0

    def __add__(self, other: BesideNsys) -> BesideNsys:
        names = [one.name for one in fields(self)]
        return BesideNsys(*(getattr(self, name) + getattr(other, name) for name in names))


def beside_nsys(run: Run) -> BesideNsys:
    """What NVIDIA's tools say of these traces."""
    found = sum(run.ask(_of_trace), BesideNsys())
    return found if run.steps.method == StepMethod.NVTX else replace(found, steps=0, projected=0)


def _of_trace(placed: PlacedTrace) -> BesideNsys:
    ranges = placed.trace.ranges.filter((pl.col("domain") == _NCCL) & (pl.col("end") > pl.col("start")))
    calls = BesideNsys(calls=len(ranges), host=int((ranges["end"] - ranges["start"]).sum()))
    return sum(placed.each(lambda rank: _of_rank(placed, rank)), calls)


def _of_rank(placed: PlacedTrace, rank: int) -> BesideNsys:
    work = placed.frame(("type", "name", "start", "end", "step"), rank)
    kernels = work.filter(pl.col("type") == "kernel").select(
        "start", "end", nccl=pl.col("name").cast(pl.String).str.starts_with(PREFIX)
    )
    both = [_covered(kernels.filter(pl.col("nccl") == nccl)) for nccl in (True, False)]
    resident = _length(both[0])
    own = work.drop_nulls("step").group_by("step").agg(ns=pl.max("end") - pl.min("start"))
    lengths = kernels["end"] - kernels["start"]
    return BesideNsys(
        kernels=int(lengths.sum()),
        nccl=int(lengths.filter(kernels["nccl"]).sum()),
        resident=resident,
        beside=resident + _length(both[1]) - _length(Covered.all_of(both)),
        steps=len(own),
        projected=int(own["ns"].sum()),
    )


def _covered(kernels: pl.DataFrame) -> Covered:
    return Covered.by(kernels["start"].to_numpy(), kernels["end"].to_numpy())


def _length(covered: Covered) -> int:
    return int((covered.ends - covered.begins).sum())
