"""The finished Report: plain data that every renderer shares and none changes."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.diagnosis.collectives import CollectiveFamily
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.evidence import Quality
from nsysan.diagnosis.expectation import Compared
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.lookalikes import Lookalike
from nsysan.metrics.counters import Counter
from nsysan.metrics.ledger import IDLE, LINES
from nsysan.metrics.link import Link
from nsysan.model.ranks import Rank
from nsysan.report.timeline import Timeline


@dataclass(frozen=True)
class Input:
    """One export that was read."""

    name: str
    nsys_version: str | None
    schema_version: str | None
    graph_trace: str


@dataclass(frozen=True)
class StepsSummary:
    """How steps were found and which of them count; excluded maps a step to its reason."""

    method: str
    source: str
    count: int
    steady: list[int]
    excluded: dict[int, str]
    labels: dict[int, str]
    notes: list[str]


@dataclass(frozen=True)
class Report:
    """Everything a report shows. Frames hold ns.

    per_step: the ledger (see metrics.ledger.build_ledger). per_rank: rank and the median of each figure over the
    steady steps, null where no steady step has it. headline: the median of per_rank over the ranks.
    left_out: names of traces that could not be read (the quality row `reports` says why).
    size: ranks of the largest communicator, None where the trace does not tell. expectation: what the user states
    of the model, beside the measured. findings: most severe first.
    counters: empty where no GPU metrics were captured. counter_lanes: one frame a timeline (see
    counter_lanes.counter_lanes), none without GPU metrics.
    """

    version: str
    inputs: list[Input]
    left_out: list[str]
    ranks: list[Rank]
    size: int | None
    steps: StepsSummary
    per_step: pl.DataFrame
    per_rank: pl.DataFrame
    headline: dict[str, int | None]
    collectives: list[CollectiveFamily]
    link: Link
    lookalikes: list[Lookalike]
    diagnosis: Diagnosis
    expectation: Compared | None
    findings: list[Finding]
    timelines: list[Timeline]
    quality: list[Quality]
    counters: list[Counter]
    counter_lanes: list[pl.DataFrame]


def visible_lines(report: Report) -> list[str]:
    """The ledger lines that some rank has, in ledger order; idle always."""
    present = [line for line in LINES if (report.per_rank[f"{line}_ns"].fill_null(0) > 0).any()]
    return [*present, IDLE]
