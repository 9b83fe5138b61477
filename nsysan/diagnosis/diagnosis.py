"""Everything that needs matched collectives: who is late, why GPUs idle, what could be saved, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from nsysan.diagnosis.hotspot import Hotspot, Late
from nsysan.diagnosis.pipelines import Bubble
from nsysan.diagnosis.verdict import Verdict
from nsysan.diagnosis.without_nsys import WithoutNsys
from nsysan.metrics.coverage import Coverage
from nsysan.metrics.outliers import Outlier
from nsysan.metrics.skew import Straggler
from nsysan.metrics.tail import Hump, TailRow
from nsysan.metrics.whatif import WhatIf
from nsysan.replay.results import Pace
from nsysan.run.all_decode import Summed
from nsysan.run.other_steps import Kind
from nsysan.text import counted, pct

#: With more of the collectives failing the gate than this, the pairs that pass it prove nothing.
MAX_REJECTED = 0.2


@dataclass(frozen=True)
class RankSpread:
    """One rank's matched calls of the steady steps: wait and wire (ns by percentile), and how often it was last."""

    rank: int
    wait: dict[str, int]
    wire: dict[str, int]
    last_share: float
    worst_wait_step: int
    worst_wire_step: int


@dataclass(frozen=True)
class OtherKind(Kind):
    """Another kind of steps than that which a diagnosis heads with, and its own."""

    diagnosis: Diagnosis


@dataclass(frozen=True)
class Diagnosis:
    """gaps: rank, cause, ns (median a step). caused: step, rank, ns that the rank's late arrivals cost.

    arrived: as skew.arrivals gives it. rejected: share of the collectives that failed the gate. hotspot: where and by
    which kernel the straggler falls behind. late: the late ranks, of which the straggler saves most; late_as_one: all
    of them put right together, None where nobody is; late_told: whether there being none says that nobody is. rotation:
    ns a step that another rank costs in each step, 0 where it is not the same. bubble: of a pipeline, None where there
    is one stage. tail: what lies between the mean and the median period. humps: None where the median stands for some
    step. coverage: None without a steady step. pace: what a replay of the steps tells, None without a steady step.
    path: the critical path, as savings.path_of gives it. untraced: the step without nsys, where its time was given; of
    it are then pace, what_if, path, late, straggler and verdict. summed: the populations that these are a sum over,
    none where they are of one; coverage is then of all of them. headline: the population of all medians. others: other
    kinds of decode steps that take much of the time, where it is of one.
    """

    straggler: Straggler | None
    gaps: pl.DataFrame
    what_if: WhatIf | None
    verdict: Verdict
    outliers: list[Outlier]
    spreads: list[RankSpread]
    caused: pl.DataFrame
    arrived: pl.DataFrame
    rejected: float
    hotspot: Hotspot | None = None
    bubble: Bubble | None = None
    tail: list[TailRow] = field(default_factory=list)
    coverage: Coverage | None = None
    humps: tuple[Hump, Hump] | None = None
    pace: Pace | None = None
    late: list[Late] = field(default_factory=list)
    late_as_one: Late | None = None
    path: dict[tuple[str, int], int] = field(default_factory=dict)
    rotation: int = 0
    untraced: WithoutNsys | None = None
    summed: Sequence[Summed] = ()
    headline: str = ""
    late_told: bool = True
    others: Sequence[OtherKind] = ()

    @property
    def summed_sentence(self) -> str:
        """What the answers are a sum over, in words; "" where they are of one population."""
        if not self.summed:
            return ""
        most = self.summed[0]
        return (
            f"decode steps are of {counted(len(self.summed), 'kind')}, by batch and work ({most.id} takes "
            f"{pct(most.share)} of the time): verdict, critical path, late ranks and savings are means over all of "
            f"them, weighted by their steps; tables of medians are of {self.headline} alone"
        )
