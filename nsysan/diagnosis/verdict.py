"""What bounds the step, in one word and one sentence, with the thresholds that decided (DEFINITIONS.md, section 11)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import polars as pl

from nsysan.diagnosis.pipelines import Bubble
from nsysan.diagnosis.scope import MIN_BUSY, MIN_BUSY_BY_PERIOD
from nsysan.diagnosis.workload import Workload
from nsysan.metrics.causes import WHY_LATE, GapCause, LateCause
from nsysan.metrics.lines import Line
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.skew import TELLING_STEPS, Straggler
from nsysan.metrics.whatif import WhatIf
from nsysan.replay.late import LATE_SHARE

#: One line bounds the step if it takes this share of it ...
DOMINANT = 0.5
#: ... or this share, and this many times the next.
LEADING, LEAD = 0.3, 1.5
#: With more communication than this left unsplit, in this share of the steps, nothing is concluded.
UNSPLIT, UNSPLIT_STEPS = 0.1, 0.2
#: A pipeline bounds the step if more than this share of its ranks' time is for want of another stage.
PIPELINE = 0.15

THRESHOLDS = {
    "min_coverage": MIN_BUSY,
    "min_coverage_by_period": MIN_BUSY_BY_PERIOD,
    "dominant_share": DOMINANT,
    "leading_share": LEADING,
    "leading_ratio": LEAD,
    "pipeline_share": PIPELINE,
    "max_unsplit_share": UNSPLIT,
    "max_unsplit_steps": UNSPLIT_STEPS,
    "straggler_share": LATE_SHARE,
}


class VerdictKind(StrEnum):
    """What bounds the step, in one word."""

    PIPELINE = "pipeline"
    COMPUTE = "compute"
    WIRE = "wire"
    SKEW = "skew"
    LAUNCH = "launch"
    COPY = "copy"
    MIXED = "mixed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Bound:
    """A kind of verdict. says: the same as a clause; line: the ledger's line behind it, None where none is."""

    says: str
    line: Line | None = None


BOUNDS = {
    VerdictKind.PIPELINE: Bound("stages that wait for one another bound the step"),
    VerdictKind.COMPUTE: Bound("compute bounds the step", Line.COMPUTE),
    VerdictKind.WIRE: Bound("the wire bounds the step: data moves for most of it", Line.WIRE),
    VerdictKind.SKEW: Bound("ranks arriving late bound the step", Line.WAIT),
    VerdictKind.LAUNCH: Bound("launching bounds the step: GPUs are idle for want of work", Line.IDLE),
    VerdictKind.COPY: Bound("copies bound the step: memory is moved for most of it", Line.COPY),
    VerdictKind.MIXED: Bound("no single cause bounds the step"),
    # Its reason says what is missing.
    VerdictKind.INCONCLUSIVE: Bound(""),
}
_LEADING = tuple(kind for kind, bound in BOUNDS.items() if bound.line is not None)


@dataclass(frozen=True)
class Verdict:
    """shares: of the period, what was weighed. workload: what the steps are."""

    kind: VerdictKind
    reason: str
    shares: dict[str, float | None]
    workload: Workload = Workload.DECODE


def named_for(workload: Workload, verdict: Verdict) -> Verdict:
    """The verdict on steps that are not of decoding: in so many words."""
    if workload is Workload.DECODE:
        return verdict
    return replace(verdict, reason=f"{workload.told}{verdict.reason}", workload=workload)


def judge(
    ledger: pl.DataFrame,
    what: WhatIf | None,
    straggler: Straggler | None,
    missing: list[int],
    bubble: Bubble | None = None,
) -> Verdict:
    """The verdict on the steady steps: shares of the period, the largest of which bounds the step.

    compute, wire (with fused) and launch (idle) are medians over the ranks, skew what no_skew would save, and
    the idle time of a straggler is not counted again under launch. unsplit is no median over the steps: where it
    is in some of them, as after a clock's jump, what the others show is not the whole. bubble: of a pipeline, which
    comes first: for want of another stage all lines of a rank are small.
    """
    steady = ledger.filter(pl.col("steady"))
    if what is None or steady.is_empty() or not what.period:
        return Verdict(VerdictKind.INCONCLUSIVE, "there is no steady decode step to judge", {})
    if steady[Line.GRAPH.column].sum() > 0:
        return Verdict(
            VerdictKind.INCONCLUSIVE,
            "compute and communication cannot be told apart: CUDA graph replays were traced as blocks (capture with "
            "--cuda-graph-trace=node), or kernels have no name",
            {},
        )
    shares = _shares(steady, what, straggler) | ({} if bubble is None else {VerdictKind.PIPELINE: bubble.share})
    unsplit = shares["unsplit"] or 0.0
    if unsplit > UNSPLIT:
        return Verdict(
            VerdictKind.INCONCLUSIVE,
            f"{unsplit:.0%} of the step is communication whose waiting cannot be told from its transfer; "
            f"capture all ranks in one session, or name all ranks' traces together",
            shares,
        )
    weighed = {name: share for name in _LEADING if (share := shares[name]) is not None}
    ordered = sorted(weighed.items(), key=lambda item: -item[1])
    (first, top), (_, second) = ordered[:2]
    leads = first in _LEADING and (top >= DOMINANT or (top >= LEADING and top >= LEAD * second))
    kind = VerdictKind(first) if leads else VerdictKind.MIXED
    listed = ", ".join(f"{_weighed(name)} {share:.0%}" for name, share in ordered)
    listed += f", {Line.COMM_UNSPLIT} {unsplit:.0%}" if unsplit else ""
    piped = bubble is not None and (bubble.share or 0.0) > PIPELINE
    absent = f"ranks {', '.join(map(str, missing))} are" if len(missing) > 1 else f"rank {(missing or [0])[0]} is"
    incomplete = f"; {absent} not in the trace and may be later still" if missing else ""
    what_bounds = BOUNDS[kind].says
    if bubble is not None and piped:
        kind = VerdictKind.PIPELINE
        what_bounds = f"{BOUNDS[kind].says}: {bubble.sentence}"
        if straggler is not None:
            what_bounds += f"; within its stage rank {straggler.rank} is late, as {why_late(straggler)}"
    elif straggler is not None:
        waited = f"the others wait for rank {straggler.rank}, as {why_late(straggler)}"
        what_bounds = waited if kind == VerdictKind.SKEW else f"{waited}; apart from that {what_bounds}"
    elif kind == VerdictKind.SKEW:
        steps = steady["step"].n_unique()
        few = f", and {steps} {'step tells' if steps == 1 else 'steps tell'} nothing of whether it is always the same"
        what_bounds += few if steps < TELLING_STEPS else ", now one and now another"
    return Verdict(kind, f"{what_bounds} ({listed}){incomplete}", shares)


def of_what(verdict: Verdict, sentence: str, *, too_little: bool) -> Verdict:
    """The verdict on steps that are less than half of the capture: with what it is of, or none on too little.

    sentence: as scope.coverage_sentence.
    """
    if too_little:
        return Verdict(
            VerdictKind.INCONCLUSIVE, f"too little of the capture is steady decode steps to judge it: {sentence}", {}
        )
    return replace(verdict, reason=f"{verdict.reason}. That is of a part of the capture: {sentence}")


def _weighed(name: str) -> str:
    """A share's name: launch is weighed by idle time."""
    return Line.IDLE if name == VerdictKind.LAUNCH else name


#: Causes of idle time that are the host's own.
_BY_HOST = (GapCause.HOST_LATE, GapCause.SYNC, GapCause.BETWEEN_STEPS)


def by_host(straggler: Straggler) -> bool:
    """Whether the rank is late for its host: it idles, and not for its own work on the GPU."""
    return straggler.cause == LateCause.HOST and next(iter(straggler.idle), GapCause.HOST_LATE) in _BY_HOST


def why_late(straggler: Straggler) -> str:
    """What holds the rank up, as a clause."""
    if straggler.cause is None:
        return "it idles longer, and nothing tells whether its host is late"
    if straggler.cause == LateCause.HOST and not by_host(straggler):
        return f"it idles longer ({next(iter(straggler.idle)).words})"
    return WHY_LATE[straggler.cause]


def _shares(steady: pl.DataFrame, what: WhatIf, straggler: Straggler | None) -> dict[str, float | None]:
    """Shares of the period, None where the lines could not be told."""
    period = what.period

    def median(*lines: Line, without: int | None = None) -> float | None:
        rows = steady.filter(pl.col("rank") != (-1 if without is None else without))
        rows = rows.filter(pl.all_horizontal(pl.col(line.column).is_not_null() for line in lines))
        total = rows.select("rank", ns=pl.sum_horizontal(line.column for line in lines))
        per_rank = total.group_by("rank").agg(pl.median("ns"))["ns"].median()
        return None if per_rank is None else float(per_rank) / period  # type: ignore[arg-type]

    late = straggler.rank if straggler else None
    skew = what.saves(Scenario.NO_SKEW)
    return {
        VerdictKind.COMPUTE: median(Line.COMPUTE, without=late),
        VerdictKind.WIRE: median(Line.WIRE, Line.FUSED),
        VerdictKind.SKEW: None if skew is None else skew / period,
        VerdictKind.LAUNCH: median(Line.IDLE, without=late),
        VerdictKind.COPY: median(Line.COPY, without=late),
        "unsplit": _unsplit(steady) / period,
    }


def _unsplit(steady: pl.DataFrame) -> float:
    """What the worst steps of the median rank have of unsplit communication, in ns."""
    worst = pl.col(Line.COMM_UNSPLIT.column).fill_null(0).quantile(1 - UNSPLIT_STEPS, "higher")
    return float(steady.group_by("rank").agg(ns=worst)["ns"].median() or 0)  # type: ignore[arg-type]
