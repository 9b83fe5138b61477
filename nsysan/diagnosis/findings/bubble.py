"""Pipelines: stages that wait for one another, and stages that differ."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean

from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.finding import Finding, by_share, severity_limits
from nsysan.diagnosis.findings.kinds import FindingId, SavingIs, Severity
from nsysan.diagnosis.verdict import PIPELINE
from nsysan.text import duration, numbered, pct, rough

#: GPUs of one model differ by 1 to 2 % in speed; a stage of one layer more in 16, or with the logits, by 6 to 10 %.
UNEVEN_STAGES = 1.1


class BubbleFinding(FindingId):
    """Of pipelines."""

    PIPELINE_BUBBLE = "pipeline_bubble"
    UNEVEN_STAGES = "uneven_stages"


def pipeline_bubble(case: Case) -> Iterator[Finding]:
    """Stages that want for another one."""
    bubble = case.diagnosis.bubble
    if bubble is None or bubble.share is None or bubble.share <= PIPELINE or bubble.pacing is not None:
        return
    per_stage = "; ".join(stage.sentence for stage in bubble.stages)
    now = bubble.at_once
    batches = max(len(bubble.stages), now + 1)
    fills = case.fixes.fills
    bound = None if case.what is None or case.what.no_bubble is None or not fills else case.period - case.what.no_bubble
    yield Finding(
        BubbleFinding.PIPELINE_BUBBLE,
        by_share(round(bubble.share * case.period), case.period),
        f"the pipeline's stages wait for one another: {bubble.lost}",
        f"{bubble.in_flight}; {per_stage}"
        f"{'; what is saved at most is what the busiest rank does not need of a step' if fills else ''}",
        case.fixes.batches.format(batches=batches, now=now, requests=requests(case.sequences, batches, now)),
        bound if bound is not None and bound > 0 else None,
        figures={"bubble_share": bubble.share, "stages_at_once": bubble.at_once, "stages": len(bubble.stages)},
        thresholds={"pipeline_share": PIPELINE, **severity_limits()},
        saving_is=SavingIs.AT_MOST,
        of_step=case.period if fills else 0,
        in_flight=batches if fills else 0,
        basis=""
        if bound is None
        else f"not more: the busiest rank, GPU or host, works {rough(case.period - bound)} of {duration(case.period)}",
        also="use tensor parallelism instead, where GPUs share NVLink: a pipeline makes no token of one batch faster",
    )


def requests(sequences: int | None, batches: int, now: int) -> str:
    """How many requests fill so many batches where now so many are in flight. sequences: of a batch, if known."""
    if sequences is None:
        return f"{batches / now:.3g} times as many requests at once"
    return f"{sequences * batches} requests at once instead of {sequences * now}"


def uneven_stages(case: Case) -> Iterator[Finding]:
    """A stage that works longer than another in the same step."""
    bubble = case.diagnosis.bubble
    if bubble is None or min(stage.work for stage in bubble.stages) <= 0:
        return
    busiest = max(bubble.stages, key=lambda stage: stage.work)
    lightest = min(bubble.stages, key=lambda stage: stage.work)
    ratio = busiest.work / lightest.work
    if ratio < UNEVEN_STAGES:
        return
    more = round(busiest.work - mean(stage.work for stage in bubble.stages))
    paced = bubble.at_once > 1 or bubble.pacing is not None
    told = (
        "the busiest stage paces the step: more batches in flight change nothing"
        if bubble.pacing is not None
        else "the busiest stage paces the batches in flight"
        if paced
        else "with one batch in flight its stages add up, however they are cut, and evening them saves nothing"
    )
    # Of steps of which nothing is concluded no stage is known to pace any.
    known = paced and case.what is not None and not case.what.why
    works = ", ".join(f"stage {stage.number} {duration(stage.work)}" for stage in bubble.stages)
    yield Finding(
        BubbleFinding.UNEVEN_STAGES,
        by_share(more, case.period) if paced else Severity.LOW,
        f"the pipeline's stages are uneven: stage {busiest.number} ({numbered('rank', list(busiest.ranks), most=16)}) "
        f"works {pct(ratio - 1)} longer than stage {lightest.number}",
        f"of a step, without waiting and idle time: {works}; {told}",
        case.fixes.layers.format(stage=busiest.number),
        more if known else None,
        list(busiest.ranks),
        figures={"ratio": ratio, "more_ns": more, **{f"stage_{s.number}_ns": s.work for s in bubble.stages}},
        thresholds={"uneven_stages": UNEVEN_STAGES, **severity_limits()},
        saving_is=SavingIs.AT_MOST,
        of_step=case.period if bubble.at_once > 1 else 0,
    )


FINDERS = (
    Finder(pipeline_bubble, (BubbleFinding.PIPELINE_BUBBLE,)),
    Finder(uneven_stages, (BubbleFinding.UNEVEN_STAGES,)),
)
