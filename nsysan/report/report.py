"""The finished Report: plain data that every renderer shares and none changes."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field

import polars as pl

from nsysan import notebook
from nsysan.diagnosis.algorithms import Algorithm
from nsysan.diagnosis.answers import late_in_others, late_in_short, late_sentence, savings_sentence
from nsysan.diagnosis.collectives import CollectiveFamily
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.diagnosis.expectation import Compared
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.findings.fixes import fixes_of
from nsysan.diagnosis.lookalikes import Lookalike
from nsysan.diagnosis.next_step import NextStep, next_step
from nsysan.light.speed_of_light import Light
from nsysan.metrics.counters import Counter
from nsysan.metrics.lines import CLAIMED, Line
from nsysan.metrics.link import Link
from nsysan.model.ranks import Rank
from nsysan.model.steps.step_kind import StepMethod
from nsysan.report.beside_nsys import BesideNsys
from nsysan.report.kernel_table import ComputeRow
from nsysan.report.replica import GroupRow, Replica
from nsysan.report.timeline import Timeline
from nsysan.run.nccl_choices import Nccl
from nsysan.text import counted, duration
from nsysan.trace.graph_mode import GraphMode

#: Findings that a notebook shows.
_SHOWN = 3


#: How CUDA graphs of a run show, in words.
GRAPHS = {
    GraphMode.NODE: "CUDA graphs by node",
    GraphMode.GRAPH: "CUDA graphs as blocks",
    GraphMode.NONE: "no CUDA graph replays",
}


@dataclass(frozen=True)
class Input:
    """One export that was read. session_start: ns since 1970, None where it does not tell."""

    name: str
    nsys_version: str | None
    schema_version: str | None
    graph_trace: GraphMode
    session_start: int | None = None


@dataclass(frozen=True)
class StepsSummary:
    """How steps were found and which of them count; excluded maps a step to its reason."""

    method: StepMethod
    source: str
    count: int
    steady: list[int]
    excluded: dict[int, str]
    labels: dict[int, str]
    notes: list[str]


@dataclass(frozen=True, repr=False)
class Report:
    """Everything a report shows. Frames hold ns.

    per_step: the ledger (see metrics.ledger.build_ledger). per_rank: rank and the median of each figure over the
    steady steps, null where no steady step has it. headline: the median of per_rank over the ranks.
    left_out: names of traces that do not count (the quality row `reports` says why).
    size: ranks of the world (see Run.size), None where no trace tells. expectation: what the user states
    of the model, beside the measured. findings: most severe first.
    counters: empty where no GPU metrics were captured. counter_lanes: one frame a timeline (see
    counter_lanes.counter_lanes), none without GPU metrics. light: the speed of light, or why it is not told.
    replica: number of the one that all of this is of; replicas: every one, which has its own. groups: of all of them.
    nccl: what NCCL's log says, None where there is none; algorithms: of the calls by size, empty without one.
    nsys: what NVIDIA's tools say, None where it is not asked for.
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
    light: Light
    replica: int
    replicas: list[Replica]
    groups: list[GroupRow]
    nccl: Nccl | None = None
    algorithms: list[Algorithm] = field(default_factory=list)
    nsys: BesideNsys | None = None

    @property
    def compute(self) -> ComputeRow | None:
        """What the compute of its steps is; None where no kernel of them is seen, or none is steady."""
        head = self.replicas[self.replica]
        shown = head.populations[0].id if head.populations else None
        return next((one for one in head.compute if one.population == shown), None)

    @property
    def seen_words(self) -> str:
        """How many ranks the traces show, of all replicas, and how many are missing."""
        seen = sum(len(replica.ranks) for replica in self.replicas)
        if not self.size or self.size <= seen:
            return counted(seen, "rank")
        return f"{counted(seen, 'rank')} of {self.size} ({self.size - seen} missing)"

    @property
    def gpu_words(self) -> str:
        """The GPUs of these ranks, as in "4 x NVIDIA H200"."""
        models = collections.Counter(rank.model or "unknown GPU" for replica in self.replicas for rank in replica.ranks)
        return ", ".join(f"{n} x {model}" for model, n in models.items())

    @property
    def paced_period(self) -> int | None:
        """What verdict, late ranks and savings are of, ns: the median period, or that of the step without nsys."""
        what = self.diagnosis.what_if
        return self.headline["period_ns"] if what is None else what.period

    @property
    def next_step(self) -> NextStep:
        """The one thing to do first."""
        names = [row.name for row in self.compute.kernels] if self.compute is not None else []
        return next_step(self.diagnosis, self.findings, fixes_of(self.steps.source, names).faster)

    def late_sentence(self) -> str:
        """Who is late, by how much, and why; or why nobody is named."""
        own = late_sentence(self.diagnosis, self.quality, self.paced_period)
        return own + late_in_others(self.diagnosis, self.quality) + self._late_elsewhere()

    def late_in_short(self) -> str:
        """Who is late and by what, or that nobody is, in a few words."""
        own = late_in_short(self.diagnosis, self.quality, self.paced_period)
        return (
            own + late_in_others(self.diagnosis, self.quality) + self._late_elsewhere() if own else self.late_sentence()
        )

    def _late_elsewhere(self) -> str:
        """Clause: who is late in other replicas than the one that is shown; "" where nobody is."""
        told = [
            f"in replica {one.id}, {short}"
            for one in self.replicas
            if one.id != self.replica and (what := one.diagnosis.what_if) is not None
            if (short := late_in_short(one.diagnosis, self.quality, what.period))
        ]
        return "".join(f"; {one}" for one in told)

    def savings_sentence(self) -> str:
        """What a step takes, and would take without each loss."""
        return savings_sentence(self.diagnosis.what_if, self.quality)

    @property
    def doubts(self) -> list[Quality]:
        """What is to be read with care; not that a figure is missing which takes what was not stated."""
        unasked = () if self.light.stated else (Aspect.LIGHT_SPEED,)
        return [row for row in self.quality if row.status != Status.OK and row.id not in unasked]

    def __repr__(self) -> str:
        late, period = self.diagnosis.straggler, self.headline["period_ns"]
        told = [
            counted(len(self.ranks), "rank"),
            self.diagnosis.verdict.kind,
            "no steady step" if period is None else f"{duration(period)} a step",
            *([] if late is None else [f"rank {late.rank} late"]),
            counted(len(self.findings), "finding"),
        ]
        return f"<nsysan.Report of {notebook.names(source.name for source in self.inputs)}: {', '.join(told)}>"

    def _repr_html_(self) -> str:
        verdict = self.diagnosis.verdict
        lines = [
            ("verdict", f"{verdict.kind}: {verdict.reason}"),
            ("late", self.late_sentence()),
            ("savings", self.savings_sentence()),
            *((finding.severity, finding.title) for finding in self.findings[:_SHOWN]),
        ]
        title = f"Report of {notebook.names(source.name for source in self.inputs)}"
        return notebook.summary(title, lines, self.per_rank)


def visible_lines(report: Report) -> list[Line]:
    """The ledger lines that some rank has, in ledger order; idle always."""
    present = [line for line in CLAIMED if (report.per_rank[line.column].fill_null(0) > 0).any()]
    return [*present, Line.IDLE]
