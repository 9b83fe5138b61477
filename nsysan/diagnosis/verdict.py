"""What bounds the step, in one word and one sentence, with the thresholds that decided (DEFINITIONS.md, section 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import polars as pl

from nsysan.diagnosis.doubts import SETTLED, Doubt
from nsysan.diagnosis.hotspot import Late
from nsysan.diagnosis.pipelines import Bubble
from nsysan.diagnosis.scope import MIN_BUSY, MIN_BUSY_BY_PERIOD
from nsysan.diagnosis.verdict_says import (
    BY_NODE,
    MARK,
    TOGETHER,
    WITH_OSRT,
    besides,
    explained,
    hosts_together,
    path_words,
    skew,
    unpaced,
)
from nsysan.diagnosis.workload import Workload
from nsysan.metrics.lines import Line
from nsysan.metrics.scenarios import LATE_SHARE, Scenario
from nsysan.metrics.skew import TELLING_STEPS
from nsysan.metrics.whatif import WhatIf
from nsysan.replay.results import MAX_ERROR
from nsysan.text import numbered, pct

#: Classes of the critical path: a host's own time, and launches and gaps between kernels.
_HOST, LAUNCH = "host", "launch"
#: What the critical path spends more than this share in bounds the step.
DOMINANT = 0.4
#: Late ranks bound the step if together they cost more than this share of it.
SKEW = 0.15
#: With more communication than this left unsplit, in this share of the steps, nothing is concluded.
UNSPLIT, UNSPLIT_STEPS = 0.1, 0.2
#: A pipeline bounds the step if more than this share of its ranks' time is for want of another stage.
PIPELINE = 0.15

THRESHOLDS = {
    "min_coverage": MIN_BUSY,
    "min_coverage_by_period": MIN_BUSY_BY_PERIOD,
    "dominant_share": DOMINANT,
    "skew_share": SKEW,
    "pipeline_share": PIPELINE,
    "max_unsplit_share": UNSPLIT,
    "max_unsplit_steps": UNSPLIT_STEPS,
    "max_replay_error": MAX_ERROR,
    "straggler_share": LATE_SHARE,
}


class VerdictKind(StrEnum):
    """What bounds the step, in one word."""

    PIPELINE = "pipeline"
    COMPUTE = "compute"
    WIRE = "wire"
    SKEW = "skew"
    HOST = "host"
    COPY = "copy"
    MIXED = "mixed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Bound:
    """A kind of verdict.

    says: the same as a clause. path: classes of the critical path that it is the sum of; of_path: their sum in words,
    where its name alone does not tell. line: the ledger's line that shows it, where the path does not.
    """

    says: str
    line: Line | None = None
    path: tuple[str, ...] = ()
    of_path: str = ""


BOUNDS = {
    VerdictKind.PIPELINE: Bound("", Line.WAIT),
    VerdictKind.COMPUTE: Bound(
        "the GPUs' own kernels bound the step; in small batches they mostly read weights and cache",
        path=("compute",),
    ),
    VerdictKind.WIRE: Bound("the wire bounds the step: data moves between GPUs", path=("wire", "fused")),
    VerdictKind.SKEW: Bound("", Line.WAIT),  # Its sentence names the ranks.
    VerdictKind.HOST: Bound(
        "the hosts bound the step: GPUs idle until their hosts launch, and the rest wait for those",
        path=(_HOST, LAUNCH, "sync"),
        of_path="host (CPU and launches)",
    ),
    VerdictKind.COPY: Bound("copies bound the step: memory is moved", path=("copy",)),
    VerdictKind.MIXED: Bound("no single cause bounds the step"),
    VerdictKind.INCONCLUSIVE: Bound(""),  # Its reason says what is missing.
}
#: Kinds of which a class of the critical path decides.
OF_PATH = tuple(kind for kind, bound in BOUNDS.items() if bound.path)


class Sure(StrEnum):
    """How far a verdict can be relied on."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True)
class Verdict:
    """says: what bounds the step, a sentence. path: the critical path's shares, absent: ranks that are not in the
    trace, part: of what part of the capture it is, rest: what the rest is; in words, "" where there is nothing to say.
    shares: what was weighed: of the critical path by kind; skew and unsplit of the period; pipeline of the ranks' time.
    workload: what the steps are. cure: of an inconclusive one, what to capture. sure, because: see sureness.weighed;
    doubted: what can be helped of what keeps it from being more sure.
    """

    kind: VerdictKind
    says: str
    shares: Mapping[str, float | None]
    workload: Workload = Workload.DECODE
    sure: Sure = Sure.LOW
    because: Sequence[str] = field(default_factory=tuple)
    path: str = ""
    absent: str = ""
    part: str = ""
    rest: str = ""
    cure: str = ""
    doubted: Doubt | None = None

    @property
    def surer(self) -> str:
        """What would make it surer, an imperative; "" where nothing is known to."""
        return "" if self.doubted is None else SETTLED[self.doubted]

    @property
    def reason(self) -> str:
        """All that it says."""
        path = f" ({self.path})" if self.path else ""
        part = f". That is of a part of the capture: {self.part}{_also(self.rest)}" if self.part else ""
        return f"{self.says}{path}{self.absent}{part}"


@dataclass(frozen=True)
class Paced:
    """What a replay tells that is weighed: the critical path (ns by class and rank), late ranks, what turns cost.

    in_graphs: whether what the path has of launches is mostly gaps between a graph's kernels. os_traced: see os_told;
    unlike: see Pace.
    """

    path: Mapping[tuple[str, int], int] = field(default_factory=dict)
    late: Sequence[Late] = ()
    rotation: int = 0
    in_graphs: bool = False
    os_traced: bool = False
    unlike: bool = False


def named_for(workload: Workload, verdict: Verdict) -> Verdict:
    """The verdict on steps that are not of decoding: in so many words."""
    if workload is Workload.DECODE:
        return verdict
    return replace(verdict, says=f"{workload.told}{verdict.says}", workload=workload)


def judge(
    ledger: pl.DataFrame,
    what: WhatIf | None,
    paced: Paced,
    missing: list[int],
    bubble: Bubble | None = None,
) -> Verdict:
    """The verdict on the steady steps: a pipeline's bubble, late ranks, else what most of the critical path is of.

    unsplit is no median over the steps: where it is in some of them, as after a clock's jump, what the others show is
    not the whole. bubble: of a pipeline, which comes first: for want of another stage all lines of a rank are small.
    """
    steady = ledger.filter(pl.col("steady"))
    if what is None or steady.is_empty() or not what.period:
        return _inconclusive("there is no steady decode step to judge", MARK)
    if steady[Line.GRAPH.column].sum() > 0:
        return _inconclusive(
            "compute and communication cannot be told apart: CUDA graph replays were traced as blocks (capture with "
            "--cuda-graph-trace=node), or kernels have no name",
            BY_NODE,
        )
    shares = _shares(steady, what, paced) | ({} if bubble is None else {VerdictKind.PIPELINE.value: bubble.share})
    unsplit = shares["unsplit"] or 0.0
    if unsplit > UNSPLIT:
        return _inconclusive(
            f"{pct(unsplit)} of the step is communication whose waiting cannot be told from its transfer; "
            f"capture all ranks in one session, or name all ranks' traces together",
            TOGETHER,
            shares,
        )
    piped = bubble is not None and (bubble.share or 0.0) > PIPELINE
    # A bubble is in the ledger, and rests on no replay.
    if not piped and (why := _why_no_path(what, paced)):
        return _inconclusive(why, MARK if paced.os_traced else WITH_OSRT, shares)
    weighed = {kind: shares[kind] or 0.0 for kind in OF_PATH}
    first = max(weighed, key=lambda kind: weighed[kind])
    kind = first if weighed[first] > DOMINANT else VerdictKind.MIXED
    few = steady["step"].n_unique() < TELLING_STEPS
    skewed = (shares[VerdictKind.SKEW] or 0.0) > SKEW and bool(paced.late or paced.rotation or few)
    # Hosts of which none alone is worth putting right pace the step together, and are nobody's skew.
    skewed &= not (kind == VerdictKind.HOST and hosts_together(paced.late, what.period))
    if bubble is not None and piped:
        kind = VerdictKind.PIPELINE
        within = "within a turn" if bubble.pacing is None else "within that"
        turn = f"; {within}, {first} is the limit" if weighed[first] > DOMINANT else ""
        says = f"{bubble.sentence}{bubble.by_stage}{turn}"
    elif skewed:
        kind = VerdictKind.SKEW
        paces = first == VerdictKind.HOST and weighed[first] > DOMINANT
        says = skew(paced.late, paced.rotation, what, steady["step"].n_unique(), host_paced=paces)
    else:
        says = BOUNDS[kind].says
        if kind == VerdictKind.HOST and what.why_host:
            says = "GPUs idle between kernels for most of the step, and nothing tells whether for their hosts"
        says += besides(paced.late, what.period)
    absent = f"{numbered('rank', missing)} {'are' if len(missing) > 1 else 'is'}"
    incomplete = f"; {absent} not in the trace and may be later still" if missing else ""
    path = path_words({kind: shares.get(kind) or 0.0 for kind in OF_PATH}, unsplit, _in_graphs(paced))
    return Verdict(kind, explained(says), shares, path=path if _HOST in says else explained(path), absent=incomplete)


def _in_graphs(paced: Paced) -> float:
    """Share of the critical path that lies between the kernels of graphs."""
    between = sum(ns for (name, _), ns in paced.path.items() if name == LAUNCH and paced.in_graphs)
    return between / (sum(paced.path.values()) or 1)


def _inconclusive(why: str, cure: str, shares: Mapping[str, float | None] | None = None) -> Verdict:
    return Verdict(VerdictKind.INCONCLUSIVE, why, shares or {}, cure=cure)


def _why_no_path(what: WhatIf, paced: Paced) -> str:
    """Why nothing tells what paces the steps; "" where a replay does."""
    if what.error is not None and what.error > MAX_ERROR:
        return what.why if paced.unlike else unpaced(what.error, os_traced=paced.os_traced)
    return "" if paced.path else f"nothing tells what paces the steps: {what.why or 'they could not be replayed'}"


def on_path(kind: str) -> str:
    """What the critical path spends on, in words: a kind, or a class that is none."""
    return next((BOUNDS[one].of_path for one in OF_PATH if one == kind and BOUNDS[one].of_path), kind)


def of_what(verdict: Verdict, part: str, rest: str, *, too_little: bool) -> Verdict:
    """The verdict on steps that are less than half of the capture: with what it is of, or none on too little.

    part, rest: as scope.part_words and scope.rest_words.
    """
    if too_little:
        return _inconclusive(f"too little of the capture is steady decode steps to judge it: {part}{_also(rest)}", MARK)
    return replace(verdict, part=part, rest=rest)


def _also(rest: str) -> str:
    return f"; the rest of the time: {rest}" if rest else ""


def _shares(steady: pl.DataFrame, what: WhatIf, paced: Paced) -> dict[str, float | None]:
    """What is weighed; None where it could not be told."""
    whole = sum(paced.path.values())
    of_class: dict[str, int] = {}
    for (name, _), ns in paced.path.items():
        of_class[name] = of_class.get(name, 0) + ns
    skew = what.saves(Scenario.NO_SKEW)
    parts: dict[str, float | None] = {
        kind.value: sum(of_class.get(name, 0) for name in BOUNDS[kind].path) / whole if whole else None
        for kind in OF_PATH
    }
    if steady[Line.WIRE.column].is_null().all():
        # Of what the path has of communication nothing tells that it moved data.
        parts[VerdictKind.WIRE.value] = None
    return {
        **parts,
        VerdictKind.SKEW.value: None if skew is None else skew / what.period,
        "unsplit": _unsplit(steady) / what.period,
    }


def _unsplit(steady: pl.DataFrame) -> float:
    """What the worst steps of the median rank have of unsplit communication, in ns."""
    worst = pl.col(Line.COMM_UNSPLIT.column).fill_null(0).quantile(1 - UNSPLIT_STEPS, "higher")
    return float(steady.group_by("rank").agg(ns=worst)["ns"].median() or 0)  # type: ignore[arg-type]
