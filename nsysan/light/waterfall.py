"""Where a measured step is above its floor: a partition of the period (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

import polars as pl

from nsysan.metrics.causes import GapCause
from nsysan.metrics.whatif import call_wires, over_floors
from nsysan.run.run import Run


class Loss(StrEnum):
    """What a step has above its floor, by its name in every output; its key in the JSON."""

    KERNELS = "kernels"
    GAPS = "gaps"
    WIRE = "wire"
    WAIT = "wait"
    HOST = "host"


class LossRow(NamedTuple):
    """A loss in words, and the ledger line whose colour it has."""

    meaning: str
    line: str


LOSSES = {
    Loss.KERNELS: LossRow("compute kernels and copies beyond what reading and computing takes at the least", "compute"),
    Loss.GAPS: LossRow("nothing runs between two operations that the host had launched in time", "graph"),
    Loss.WIRE: LossRow("calls beyond their floor, once all ranks are there", "wire"),
    Loss.WAIT: LossRow("waiting for the last rank, or for another stage of a pipeline", "wait"),
    Loss.HOST: LossRow("nothing runs for want of a launch, or between two steps", "idle"),
}
#: Idle time that the host answers for, and that which another stage does; the rest is gaps.
OF_HOST = (GapCause.BETWEEN_STEPS, GapCause.HOST_LATE, GapCause.SYNC)
_OF_STAGE = GapCause.STAGE
#: Of the steady steps those nearest to the median period, by which single long ones weigh nothing.
MIDDLE = 0.5


class Spent(NamedTuple):
    """The period of a step in parts that sum to it, ns. work: compute and copies; floor_wire: calls at their floor, as
    far as they run beside no compute. unsplit: of wire, what could not be split from waiting."""

    period: int
    work: int
    floor_wire: int
    wire: int
    wait: int
    gaps: int
    host: int
    unsplit: int


def spent(run: Run, period: int) -> Spent | None:
    """The median step's parts: those of the middle steps of all ranks, as shares of the period.

    None where a line of these steps is not told.
    """
    steps = middle_steps(run)
    ledger = run.ledger.filter(pl.col("steady") & pl.col("step").is_in(steps))
    columns = ("compute_ns", "copy_ns", "wait_ns", "fused_ns", "wire_ns", "comm_unsplit_ns", "graph_ns", "idle_ns")
    known = ledger.with_columns(pl.col("wait_ns", "fused_ns", "wire_ns").fill_null(0))
    if known.is_empty() or known.select(pl.any_horizontal(pl.col(columns).is_null().any())).item():
        return None
    rows = known.join(_floors(run, steps), on=["step", "rank"], how="left").join(
        _idle(run, steps), on=["step", "rank"], how="left"
    )
    rows = rows.with_columns(pl.col("floor", "host", "stage").fill_null(0))
    exposed = pl.col("wire_ns") + pl.col("fused_ns")
    floor = pl.min_horizontal("floor", exposed)
    parts = rows.select(
        work=pl.col("compute_ns") + pl.col("copy_ns"),
        floor_wire=floor,
        wire=exposed - floor + pl.col("comm_unsplit_ns"),
        wait=pl.col("wait_ns") + pl.col("stage"),
        gaps=pl.col("idle_ns") - pl.col("host") - pl.col("stage"),
        host=pl.col("host"),
    ).sum()
    if rows["graph_ns"].sum():
        return None
    shares = dict(zip(parts.columns, apportioned(parts.row(0), period), strict=True))
    unsplit = int(rows["comm_unsplit_ns"].sum()) * period // max(1, sum(parts.row(0)))
    return Spent(period=period, unsplit=unsplit, **shares)


def middle_steps(run: Run) -> list[int]:
    """The half of the steady steps whose period is nearest to the median, one at least."""
    periods = run.periods()
    middle = periods["period_ns"].median() or 0
    near = periods.with_columns(off=(pl.col("period_ns") - middle).abs()).sort("off", "step")
    return sorted(near.head(max(1, round(MIDDLE * len(near))))["step"].to_list())


def apportioned(parts: Sequence[int], whole: int) -> list[int]:
    """The parts as shares of the whole, to which they sum exactly."""
    total = sum(parts)
    if total <= 0:
        raise ValueError("nothing to share out by")
    ends = [taken * whole // total for taken in accumulate(parts, initial=0)]
    return [end - begin for begin, end in pairwise(ends)]


def _floors(run: Run, steps: list[int]) -> pl.DataFrame:
    """step, rank, floor: the floors of the calls that a rank takes part in, summed."""
    wires = over_floors(call_wires(run.collectives, run.steady_steps)).filter(pl.col("step").is_in(steps))
    calls = run.collectives.select("family", "step", "call", "rank").unique()
    own = calls.join(wires.select("family", "step", "call", "floor"), on=["family", "step", "call"])
    return own.group_by("step", "rank").agg(pl.sum("floor"))


def _idle(run: Run, steps: list[int]) -> pl.DataFrame:
    """step, rank, host, stage: idle time that the host answers for, and that for want of another stage."""
    gaps = run.gaps.filter(pl.col("step").is_in(steps)).with_columns(pl.col("cause").cast(pl.String))
    of_host = pl.col("cause").is_in(list(map(str, OF_HOST)))
    return gaps.group_by("step", "rank").agg(
        host=pl.col("ns").filter(of_host).sum(), stage=pl.col("ns").filter(pl.col("cause") == _OF_STAGE).sum()
    )
