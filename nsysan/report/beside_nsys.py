"""What NVIDIA's own reports and recipes say of a trace, by their definitions, to stand beside ours."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.in_order import changes
from nsysan.columns.intervals import I64, Covered
from nsysan.model.steps.step_kind import StepMethod
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
    work = placed.frame(("start", "end", "description"), rank)
    start, end, description = (column.to_numpy() for column in work)
    # Of the few different operations it is told what each is.
    told = placed.operations.descriptions
    is_kernel = (told["type"].cast(pl.String) == "kernel").to_numpy()
    is_nccl = told["name"].cast(pl.String).str.starts_with(PREFIX).fill_null(False).to_numpy() & is_kernel
    kernels, nccl = ((start[of], end[of]) for of in (is_kernel[description], is_nccl[description]))
    resident, beside = int((nccl[1] - nccl[0]).sum()), 0
    # On one stream none runs beside another.
    if not (kernels[0][1:] >= kernels[1][:-1]).all():
        of = (is_kernel & ~is_nccl)[description]
        resident = _covered(*nccl)
        beside = resident + _covered(start[of], end[of]) - _covered(*kernels)
    projected = _projected(placed.steps_of(rank), start, end)
    return BesideNsys(
        kernels=int((kernels[1] - kernels[0]).sum()),
        nccl=int((nccl[1] - nccl[0]).sum()),
        resident=resident,
        beside=beside,
        steps=len(projected),
        projected=int(projected.sum()),
    )


def _projected(step: npt.NDArray[np.int32], start: I64, end: I64) -> I64:
    """ns from the start of the first operation of each step to the end of its last; step: -1 for none."""
    # Steps follow one another, but for work that overlaps their bounds.
    runs = np.flatnonzero(changes([step]))
    if not len(runs):
        return runs
    first, last = np.minimum.reduceat(start, runs), np.maximum.reduceat(end, runs)
    parts = pl.DataFrame({"step": step[runs], "first": first, "last": last}).filter(pl.col("step") >= 0)
    return parts.group_by("step").agg(ns=pl.max("last") - pl.min("first"))["ns"].to_numpy()


def _covered(start: I64, end: I64) -> int:
    covered = Covered.by(start, end)
    return int((covered.ends - covered.begins).sum())
