"""A late rank, and where it falls behind: at which collectives, and, where it computes longer, in which kernel.

DEFINITIONS.md, section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from nsysan.metrics.causes import GapCause, LateCause
from nsysan.text import counted, pct, plain, signed

#: One collective is named if it has this share of what the rank causes, one kernel if it has it of the compute.
MAJOR_SHARE = 0.5


@dataclass(frozen=True)
class Hotspot:
    """A late rank's worst collective, and the kernel that it runs longer than the others.

    call: number in the step (0 = first, see skew.arrivals) of the collective with most caused; call_share: its share of
    what the rank causes over the steady steps; calls: collectives of a step at which it causes any. kernel: None
    where no kernel accounts for most of the compute; more, more_calls: ns and calls a step beyond the median of the
    other ranks.
    """

    rank: int
    call: int
    call_share: float
    calls: int
    kernel: str | None
    more: int
    more_calls: int

    def where(self) -> str:
        """Clause: at which collectives the rank is waited for."""
        if self.call_share < MAJOR_SHARE:
            most = f"no more than {pct(self.call_share)} of it at any one"
            return f"spread over {counted(self.calls, 'collective')} of the step, {most}"
        which = "the step's first collective" if self.call == 0 else f"collective {self.call} of the step"
        return f"{pct(self.call_share)} of it at {which}"

    def which(self) -> str:
        """Clause: the kernel that takes longer; "" where none was found."""
        if self.kernel is None:
            return ""
        often = f", {self.more_calls:+} calls" if self.more_calls else ", as many calls"
        return f"{plain(self.kernel, 60)} {signed(self.more)}{often}"

    def sentences(self) -> list[str]:
        """What a finding says of it."""
        kernel = [] if self.kernel is None else [f"most in one kernel: {self.which()} a step"]
        return [self.where(), *kernel]

    def figures(self) -> dict[str, float | int | str | None]:
        """The same as figures of a finding."""
        place = {"call": self.call, "call_share": self.call_share, "calls": self.calls}
        return {**place, "kernel": self.kernel, "kernel_more_ns": self.more, "kernel_more_calls": self.more_calls}


@dataclass(frozen=True)
class Late:
    """A late rank, or several that are late together by one cause. ns a step.

    costs: of the step where the other late ranks are right; saves: where these alone are put right; both by the median,
    and by the mean, which has the tail; most: what is saved at most, None where saves is all; mean_period: the mean
    step, of which that is a part. cause: None where it is a host's, and nothing tells whether that is to blame. parts:
    of what it costs, by cause. kernels: those that take longer, most first, and by how much; apart: what of that no
    other rank runs there; between: whether its GPU loses most of that between kernels. where: at which calls it is
    waited for, and idle: what it idles more than the others, by cause; of one rank alone.
    """

    ranks: tuple[int, ...]
    cause: LateCause | None
    costs: int
    saves: int
    mean_costs: int
    mean_saves: int
    parts: Mapping[LateCause, int]
    kernels: Sequence[tuple[str, int]] = ()
    apart: int = 0
    between: bool = False
    where: Hotspot | None = None
    mean_period: int = 0
    most: int | None = None
    idle: Mapping[GapCause, int] = field(default_factory=dict)


def find_hotspot(
    rank: int, late: pl.DataFrame, steps: list[int], compute: int, usual_compute: Callable[[], pl.DataFrame] | None
) -> Hotspot | None:
    """Of a late rank; None where nobody waits for it alone in the steady steps.

    late: as skew.late_calls gives it. steps: the steady ones. compute: what it is late by for its kernels, ns a step;
    usual_compute: gives rank, name, ns, calls of these in such steps, None for a rank that is late by something else.
    """
    own = late.filter((pl.col("rank") == rank) & pl.col("step").is_in(steps) & (pl.col("caused") > 0))
    if own.is_empty():
        return None
    # Of calls of several streams not the same comes first in each step.
    costs = own.group_by("family", "call").agg(pl.sum("caused"), pl.col("number").mode().min())
    costs = costs.sort("caused", "family", "call")
    longer = _longer_kernel(rank, compute, usual_compute()) if usual_compute is not None else None
    kernel, more, more_calls = longer or (None, 0, 0)
    return Hotspot(
        rank=rank,
        call=int(costs["number"][-1]),
        call_share=float(costs["caused"][-1]) / float(costs["caused"].sum()),
        calls=len(costs),
        kernel=kernel,
        more=more,
        more_calls=more_calls,
    )


def _longer_kernel(rank: int, compute: int, known: pl.DataFrame) -> tuple[str, int, int] | None:
    """Name, ns and calls a step beyond the median of the other ranks; None where no kernel has most of it."""
    # A kernel that a rank does not run takes none of its time.
    grid = known.select("rank").unique().join(known.select("name").unique(), how="cross")
    usual = grid.join(known, on=["rank", "name"], how="left").with_columns(pl.col("ns", "calls").fill_null(0))
    others = usual.filter(pl.col("rank") != rank).group_by("name").agg(pl.median("ns", "calls"))
    more = usual.filter(pl.col("rank") == rank).join(others, on="name", suffix="_others")
    more = more.select("name", ns=pl.col("ns") - pl.col("ns_others"), calls=pl.col("calls") - pl.col("calls_others"))
    if more.is_empty():
        return None
    name, ns, calls = more.sort("ns", "name").row(-1)
    if ns < MAJOR_SHARE * compute or ns <= 0:
        return None
    return str(name), round(ns), round(calls)
