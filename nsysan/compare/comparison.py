"""A comparison of two runs or more: plain data that every output shares."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.compare.kinds_of_steps import PopulationOnSides
from nsysan.compare.modelled import ModelledStep
from nsysan.compare.prediction import Prediction
from nsysan.compare.step_work import StepWork
from nsysan.compare.widths import Scaling
from nsysan.diagnosis.evidence import Aspect, Status
from nsysan.diagnosis.workload import Workload
from nsysan.metrics.change_rule import Change
from nsysan.report.replica import PopulationRow
from nsysan.report.report import Report
from nsysan.text import plain, size

F64 = npt.NDArray[np.float64]
NS, TOKENS, GBPS, PERCENT = "ns", "tokens/s", "GB/s", "%"
UNKNOWN_GPU = "unknown"

#: Quality rows that tell why a figure is null, by the first word of its id; the most telling first.
_REASONS = {
    "throughput": (Aspect.STEPS,),
    "ledger": (Aspect.GRAPH_CONTENTS, Aspect.WAIT_WIRE, Aspect.MISSING_RANKS),
    "skew": (Aspect.GRAPH_CONTENTS, Aspect.WAIT_WIRE, Aspect.STRAGGLER),
    "idle": (Aspect.GAPS, Aspect.GRAPH_CONTENTS),
    "whatif": (Aspect.GRAPH_CONTENTS, Aspect.WAIT_WIRE, Aspect.WHAT_IF),
    "collective": (Aspect.GRAPH_CONTENTS, Aspect.WAIT_WIRE),
    "compute": (Aspect.GRAPH_CONTENTS,),
}


@dataclass(frozen=True)
class Measured:
    """A figure of one side: its value as the report has it (None: not measured), and that of each steady step."""

    value: float | None
    steps: F64

    @classmethod
    def over_ranks(cls, rows: pl.DataFrame, column: str) -> Measured:
        """From a row a step and rank: the median over the ranks, of each rank's median over the steps, and per step."""
        known = rows.filter(pl.col(column).is_not_null())
        if known.is_empty():
            return cls(None, np.zeros(0))
        value = known.group_by("rank").agg(pl.median(column))[column].median()
        per_step = known.group_by("step").agg(pl.median(column)).sort("step")[column]
        return cls(float(value), per_step.to_numpy())  # type: ignore[arg-type]


@dataclass(frozen=True)
class ComparedRun:
    """One run that is compared. ranks: how many it is split over. figures: by id, such as ledger.wire.

    calls: communication of the steady steps: step, rank, kind, message_bytes, members, name, wire (ns after the
    last arrival, null where not matched). work: how often each compute kernel runs in a step, by name. calls_a_step:
    communication of a replica by kind, over its stages. units: steps of the other sides whose work one of its steps
    does, by which its figures are divided. kernels: ns a step by name; kernels_of_ranks: of one
    rank, in whichever replica, by group or name and rank. batch_stated: whether the user says the batch; of_batches:
    sequences of a step where the ranks work on several batches, None where they do not or that is not told.
    work_of_step: what a prediction starts from, None where none was asked for or nothing shows. by_model: the same
    step by a model, or why it cannot be told; None where no model is stated.
    """

    label: str
    name: str
    report: Report
    batch: int
    ranks: int
    figures: dict[str, Measured]
    calls: pl.DataFrame
    work: dict[str, float] = field(default_factory=dict)
    calls_a_step: dict[str, float] = field(default_factory=dict)
    units: int = 1
    kernels: dict[str, Measured] = field(default_factory=dict)
    kernels_of_ranks: dict[tuple[str, int], Measured] = field(default_factory=dict)
    batch_stated: bool = False
    of_batches: float | None = None
    work_of_step: StepWork | None = None
    by_model: ModelledStep | str | None = None

    @property
    def population(self) -> PopulationRow:
        """The steps that its figures are of."""
        return self.report.replicas[self.report.replica].populations[0]

    @property
    def population_batch(self) -> int | None:
        """Sequences that decode, by the trace."""
        return self.population.batch

    @property
    def workload(self) -> Workload:
        """What its steps are."""
        return self.report.diagnosis.verdict.workload

    @property
    def decodes(self) -> bool:
        """Whether a step of it makes tokens."""
        return self.workload is Workload.DECODE

    @property
    def made(self) -> str:
        """What a step of it makes, of each sequence."""
        return "a token" if self.decodes else "a step"

    @property
    def gpus(self) -> str:
        """Models of its GPUs, "unknown" where the trace does not tell them."""
        return ", ".join(sorted({rank.model or UNKNOWN_GPU for rank in self.report.ranks}))

    @property
    def batch_source(self) -> str:
        """Who tells the batch: "as stated", "by the steps", or "assumed", one sequence where nobody does."""
        if self.batch_stated:
            return "as stated"
        return "assumed" if self.population_batch is None else "by the steps"

    @property
    def batch_words(self) -> str:
        """The batch as a person should read it."""
        return "batch not told" if self.batch_source == "assumed" else f"batch {self.batch_told}"

    @property
    def batch_told(self) -> str:
        """The batch, or that of all ranks where they work on several."""
        return f"{self.sequences:g}" if self.sequences == self.batch else f"{self.sequences:g} in all"

    @property
    def population_key(self) -> tuple[str, int | None]:
        """Kind and batch of its steps."""
        return self.population.kind, self.population.batch

    @property
    def share_of_time(self) -> float:
        """Of all steps of the replica."""
        return self.population.share_of_time

    @property
    def mean(self) -> float:
        """ns a step on average, which tokens/s are from."""
        return self.figures["throughput.mean"].value or 0.0

    @property
    def period(self) -> float:
        """ns a step."""
        return self.figures["ledger.period"].value or 0.0

    @property
    def tokens_per_second(self) -> float:
        """Over all sequences of its batches: a step makes one token of each."""
        return self.sequences * 1e9 / self.mean

    @property
    def sequences(self) -> float:
        """Of a step, over all batches where the ranks work on several."""
        return self.batch if self.of_batches is None or self.batch_stated else self.of_batches

    def value(self, id_: str) -> float | None:
        """A figure's value, None where it was not measured."""
        found = self.figures.get(id_)
        return None if found is None else found.value

    def why_null(self, id_: str) -> str:
        """The reason for a null figure, from the report's quality rows."""
        rows = {row.id: row for row in self.report.quality}
        named = [rows[name] for name in _REASONS[id_.partition(".")[0]] if name in rows]
        untold = sorted((row for row in named if row.status != Status.OK), key=lambda r: r.status == Status.ESTIMATED)
        return untold[0].reason if untold else "it was not measured"


@dataclass(frozen=True)
class Bandwidth:
    """GB/s by the formulas of nccl-tests, from the time after the last arrival.

    peak: busbw in per cent of the link's peak, not measured below 1 MB. reason: why there is no speed, None if
    there is one.
    """

    algbw: Measured
    busbw: Measured
    peak: Measured
    reason: str | None


@dataclass(frozen=True)
class FamilyOnSide:
    """One side's share of a family. sizes: bytes, None for unknown; kernels: names; calls: a step and rank.

    per_call, per_step: ns after the last arrival. speed: GB/s of a call.
    """

    sizes: list[int | None]
    ranks: list[int]
    kernels: list[str]
    calls: float
    per_call: Measured
    per_step: Measured
    speed: Bandwidth


@dataclass(frozen=True)
class Family:
    """Communication of one kind. parts: one a side, None where it has none. same: whether sizes are known to agree."""

    kind: str
    scope: str
    parts: list[FamilyOnSide | None]
    same: bool

    @property
    def title(self) -> str:
        """Kind, sizes, and what of all ranks takes part."""
        parts = [part for part in self.parts if part is not None]
        sizes = sorted({n for part in parts for n in part.sizes if n is not None})
        told = ", ".join(size(n) for n in sizes[:4]) + (" ..." if len(sizes) > 4 else "")
        if any(None in part.sizes for part in parts):
            told = f"{told} or unknown size" if told else "unknown size"
        within = f" within {self.scope}" if self.scope else ""
        return f"{plain(self.kind, 40)} of {told}{within}"


@dataclass(frozen=True)
class Figure:
    """One figure on all sides. values: one a side; changes: one for each side but the first."""

    id: str
    group: str
    name: str
    unit: str
    values: list[float | None]
    changes: list[Change]


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison shows. notes: what keeps it from being like for like. refused: by label, why a
    side is not of one model with the first. populations: those that two
    sides have at least. predictions: of each number of ranks that was asked for."""

    version: str
    sides: list[ComparedRun]
    figures: list[Figure]
    families: list[Family]
    scaling: Scaling | None
    notes: list[str]
    refused: dict[str, str] = field(default_factory=dict)
    populations: list[PopulationOnSides] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)

    def figure(self, id_: str) -> Figure:
        """The figure of that id, such as ledger.period."""
        return next(figure for figure in self.figures if figure.id == id_)

    def group(self, name: str) -> list[Figure]:
        """Figures that are tested together: step, ledger, collectives, bandwidth, skew, idle or whatif."""
        return [figure for figure in self.figures if figure.group == name]
