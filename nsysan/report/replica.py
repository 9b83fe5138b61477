"""The replicas of a run, each with its own steps, period, late rank and verdict (DEFINITIONS.md, section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from nsysan.diagnosis.collectives import CollectiveFamily
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.scope import covered_words
from nsysan.metrics.coverage import Coverage
from nsysan.metrics.percentiles import Spread
from nsysan.model.ranks import Rank
from nsysan.report.kernel_table import ComputeRow
from nsysan.report.layer_table import LayerTable
from nsysan.run.groups import Members
from nsysan.run.layout import Layout
from nsysan.text import counted, duration, numbered, pct


@dataclass(frozen=True)
class GroupRow:
    """A group as the report tells it; calls_per_step: None where no step makes any."""

    id: str
    kind: str
    ranks: Members
    source: str
    size: int
    calls_per_step: float | None


@dataclass(frozen=True)
class PopulationRow:
    """Steps of one kind of work. count: all, steady: those that its period is of (ns, None without any).

    tokens_per_s: of all sequences of the batch, or of one where the batch is not known, from the mean period; None for
    steps that are not decode steps, and where experts join several batches that are not all told. share_of_time: of the
    time of all steps of the replica.
    """

    id: str
    kind: str
    batch: int | None
    count: int
    steady: int
    period: Spread | None
    tokens_per_s: float | None
    share_of_time: float
    headline: bool

    @property
    def sentence(self) -> str:
        """What they are and take, in words."""
        takes = "none of them steady" if self.period is None else f"{duration(self.period.p50)} (median)"
        return f"{self.id}: {counted(self.count, 'step')}, {pct(self.share_of_time)} of the time, {takes}"


@dataclass(frozen=True)
class Replica:
    """One replica. id: its number; steps: how many, steady: how many of them count.

    populations: the headline first. period: ns, over its steady steps, None without any. per_step, per_rank,
    collectives: as Report has them. compute: what it is, by population, the headline first; none where no kernel is
    seen. layers: of its usual step.
    """

    id: int
    ranks: list[Rank]
    layout: Layout
    steps: int
    steady: int
    populations: list[PopulationRow]
    coverage: Coverage | None
    period: Spread | None
    diagnosis: Diagnosis
    per_step: pl.DataFrame
    per_rank: pl.DataFrame
    collectives: list[CollectiveFamily]
    compute: list[ComputeRow] = field(default_factory=list)
    layers: list[LayerTable] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What it is and takes, in words."""
        of = numbered("rank", [rank.rank for rank in self.ranks], most=16)
        if self.period is None:
            return f"replica {self.id} ({of}): no steady decode step"
        return (
            f"replica {self.id} ({of}): {duration(self.period.mean)} a step (mean of "
            f"{counted(self.steady, 'steady step')}), "
            f"{self.diagnosis.verdict.kind}"
        )


def coverage_words(replica: Replica) -> str:
    """What the steady steps cover, as the end of a sentence; "" where there are none."""
    if replica.coverage is None:
        return ""
    whose = ", all kinds of decode steps" if replica.diagnosis.summed else ","
    return f"{whose} covering {covered_words(replica.coverage)}"


def layout_sentence(replicas: list[Replica]) -> str:
    """Such as "TP=4, 2 replicas"; layouts that differ are each told."""
    names = [replica.layout.name for replica in replicas]
    told = [f"{name}, {counted(names.count(name), 'replica')}" for name in dict.fromkeys(names)]
    return "; ".join(told)
