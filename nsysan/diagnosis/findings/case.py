"""What findings are drawn from, and what draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import polars as pl

from nsysan.diagnosis.collectives import CollectiveFamily
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.expectation import ALL_REDUCE, Compared
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.findings.fixes import Fix, Fixes, fixes_of, host_fix
from nsysan.diagnosis.findings.kinds import FindingId, SavingIs
from nsysan.diagnosis.hotspot import Late
from nsysan.diagnosis.os_told import held_by
from nsysan.diagnosis.savings import slowed_by_nsys
from nsysan.metrics.causes import GapCause
from nsysan.metrics.link import Link
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.whatif import WhatIf
from nsysan.model.matches import Match
from nsysan.run.all_decode import typical_period
from nsysan.run.nccl_choices import Nccl
from nsysan.run.run import Run
from nsysan.text import duration, rough

#: Idle time below this share of the period is what launching and ending a graph replay takes.
IDLE_SHARE = 0.05
#: Idle between the pieces of a step, whatever keeps the next from beginning.
BETWEEN_PIECES = (GapCause.HOST_LATE, GapCause.LAUNCH, GapCause.SYNC, GapCause.DEPENDENCY, GapCause.UNKNOWN)
#: What is looked at of an all-reduce, of which a frame has many columns.
_KIND = ("name", "kind", "library", "cls", "message_bytes", "group", "members")
_OF_ALL_REDUCE = (*_KIND, "rank", "family", "step", "call", "verdict", "end", "last", "wire")


def free(period: int, saving: int | None) -> str:
    """What a saving of hosts that are never late rests on; "" of none. period: ns that a step takes with them."""
    return "" if saving is None else f"if host time fell to zero (the GPUs then need {rough(period - saving)})"


@dataclass(frozen=True)
class Case:
    """What findings are drawn from; period and idle (by rank and cause) in ns, medians over the steady steps.

    nccl: what NCCL's log says, families: the run's collectives, None and empty where they are not asked for.
    """

    run: Run
    diagnosis: Diagnosis
    compared: Compared | None
    link: Link | None
    period: int
    idle: dict[tuple[int, GapCause], int]
    nccl: Nccl | None = None
    families: Sequence[CollectiveFamily] = ()

    @classmethod
    def of(
        cls,
        run: Run,
        diagnosis: Diagnosis,
        compared: Compared | None,
        link: Link | None,
        nccl: Nccl | None = None,
        families: Sequence[CollectiveFamily] = (),
    ) -> Case:
        """From what is known of a run; the period is 0 where no step is steady."""
        what = diagnosis.what_if
        rows = diagnosis.gaps.select("rank", "cause", "ns").iter_rows()
        idle = {(rank, GapCause(cause)): ns for rank, cause, ns in rows}
        return cls(run, diagnosis, compared, link, what.period if what else 0, idle, nccl, families)

    @cached_property
    def fixes(self) -> Fixes:
        """What to do with what runs the steps."""
        return fixes_of(self.run.steps.source, self.run.names["name"].cast(pl.String))

    def host_fix(self, late: Late | None = None) -> Fix:
        """What to do of hosts that launch late: of these ranks, or of all."""
        told = self.diagnosis
        # Of batches that are in flight at one time each is launched before the results of the one before.
        ahead = told.pace is not None and told.pace.ahead and len(self.run.layout.stages) < 2
        usual = host_fix(self.fixes, len(self.run.ranks), late, self.period, told.tail, ahead=ahead)
        if late is None or len(late.ranks) > 1 or told.pace is None:
            return usual
        seen = held_by(told.pace.hosts, late.ranks[0], max(late.costs, late.mean_costs))
        return Fix(seen, usual.first) if seen else usual

    @property
    def what(self) -> WhatIf | None:
        return self.diagnosis.what_if

    @cached_property
    def measured(self) -> int:
        """ns of a step of the headline as traced, of which ledger and idle time are; period is what savings are of."""
        return typical_period(self.steady)

    @property
    def of_measured(self) -> str:
        """The step that measured figures are a part of, in words."""
        if self.measured == self.period:
            return duration(self.measured)
        untraced = self.what is not None and self.what.traced is not None
        return f"{duration(self.measured)} {'as traced' if untraced else 'of the kind that is shown'}"

    @property
    def steady(self) -> pl.DataFrame:
        return self.run.ledger.filter(pl.col("steady"))

    @cached_property
    def all_reduces(self) -> pl.DataFrame:
        """The matched ones of the steady steps."""
        return self.run.collectives.select(_OF_ALL_REDUCE).filter(
            (pl.col("verdict") == Match.MATCHED)
            & pl.col("step").is_in(self.run.steady_steps)
            & (pl.col("kind") == ALL_REDUCE)
        )

    @property
    def sequences(self) -> int | None:
        """Those of the steps' batch; None where it is not known, or steps of several are judged together."""
        return None if self.run.summed else self.run.steps.populations[0].batch

    def saving(self, scenario: Scenario) -> int | None:
        """What a period without a loss saves, None where it cannot be told or is nothing."""
        saved = None if self.what is None else self.what.saves(scenario)
        return saved if saved is not None and saved > 0 else None

    def on_the_path(self, ns: int, *classes: str) -> int:
        """Of a loss no more than the critical path spends in these classes, where there is one."""
        path = self.diagnosis.path
        return min(ns, sum(spent for (name, _), spent in path.items() if name in classes)) if path else ns

    @property
    def host_saving_is(self) -> SavingIs:
        """What a saving on the host's side is: the profiler inflates it."""
        if slowed_by_nsys(self.run, self.what):
            return SavingIs.AT_MOST
        bounded = self.what is not None and Scenario.NO_HOST_LATE in self.what.bounds
        return SavingIs.AT_LEAST if bounded else SavingIs.REPLAY

    @property
    def wants_graphs(self) -> bool:
        """Whether kernels are launched one by one and graphs would save much."""
        if not self.run.is_eager:
            return False
        if self.what is None or self.what[Scenario.GRAPHS] is None:
            return self.worst_idle(GapCause.HOST_LATE)[1] >= IDLE_SHARE * self.measured
        return (self.saving(Scenario.GRAPHS) or 0) >= IDLE_SHARE * self.period

    @cached_property
    def replays_a_step(self) -> int:
        """Graph replays a step on the rank that has most, median over its steady steps."""
        replays = self.run.tally.by_step.filter(pl.col("step").is_in(self.run.steady_steps) & (pl.col("replays") > 0))
        most = replays.group_by("rank").agg(pl.median("replays"))["replays"].max()
        return round(most) if isinstance(most, int | float) else 0

    @property
    def in_pieces(self) -> bool:
        """Whether a step is several graph replays with idle time between them."""
        return self.replays_a_step > 1 and self.worst_idle(*BETWEEN_PIECES)[1] >= IDLE_SHARE * self.measured

    def line(self, name: str) -> int:
        """Median of a ledger line over the steps of each rank, then over the ranks."""
        per_rank = self.steady.group_by("rank").agg(pl.median(f"{name}_ns"))[f"{name}_ns"].median()
        return round(per_rank) if isinstance(per_rank, int | float) else 0

    def worst_idle(self, *causes: GapCause) -> tuple[int, int]:
        """The rank with most idle time of these causes, and how much."""
        ranks = [rank.rank for rank in self.run.ranks]
        totals = {rank: sum(self.idle.get((rank, cause), 0) for cause in causes) for rank in ranks}
        worst = max(totals, key=lambda rank: totals[rank])
        return worst, totals[worst]


class Finder(NamedTuple):
    """A function that draws findings, and those that it may draw.

    of_steps: whether it needs a steady step; of_decode: whether what it advises is for decoding alone.
    """

    draw: Callable[[Case], Iterator[Finding]]
    ids: tuple[FindingId, ...]
    of_steps: bool = True
    of_decode: bool = True
