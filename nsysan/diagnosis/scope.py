"""What of a capture a report is of, in words, and whether that is enough for a verdict.

DEFINITIONS.md, sections 4 and 11.
"""

from __future__ import annotations

from dataclasses import replace

from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.metrics.coverage import WORDS, Coverage, Rest, coverage, rest_of
from nsysan.metrics.tail import Hump
from nsysan.model.steps.step_kind import StepKind, StepMethod
from nsysan.run.questions import outside_of
from nsysan.run.run import Run
from nsysan.text import counted, duration, pct

#: Steps that cover less of the GPUs' busy time are too little to judge ...
MIN_BUSY = 0.05
#: ... and so are those that nothing but a repeated sequence of kernels tells, if they cover less than this.
MIN_BUSY_BY_PERIOD = 0.25
#: So many kinds of steps, none of which is half of all steps, are few of one kind.
_KINDS = 4
_LISTED = 0.01
#: A median over the ranks that is so far off that of the steps, as a share of it, is of none.
_APART = 0.02
_OF_KIND = {StepKind.DECODE: Rest.DECODE, StepKind.MIXED: Rest.MIXED, StepKind.PREFILL: Rest.PREFILL}


def cover(run: Run) -> Coverage | None:
    """What the steady steps of a replica cover; below one half with what the rest is."""
    found = coverage(run.ledger, run.extents)
    if found is None or found.is_half:
        return found
    parts: dict[Rest, int] = {}
    for answer in run.ask(outside_of):
        for rest, ns in answer.items():
            parts[rest] = parts.get(rest, 0) + ns
    apart = run.steps.populations[1:]
    kinds = {one.id: _OF_KIND[one.kind] for one in apart if one.id not in run.summed}
    return replace(found, rest=rest_of(run.windows, kinds, parts))


def too_little(run: Run, found: Coverage | None) -> bool:
    """Whether the steady steps are too little of what the GPUs did for a verdict."""
    least = MIN_BUSY_BY_PERIOD if run.steps.method == StepMethod.PERIOD else MIN_BUSY
    return found is not None and found.busy < least


def covered_words(found: Coverage) -> str:
    """The two shares."""
    return f"{_share(found.span)} of the time and {_share(found.busy)} of the GPUs' busy time"


def cover_words(found: Coverage, *, summed: bool) -> str:
    """What the steps that are judged cover; summed: whether they are of several kinds."""
    return f"the {'judged' if summed else 'steady'} steps cover {covered_words(found)}"


def rest_words(found: Coverage) -> str:
    """What the rest of the time is, largest first; "" where the steady steps are half of the capture."""
    listed = [(WORDS[rest], share) for rest, share in (found.rest or {}).items() if share >= _LISTED]
    return ", ".join(f"{words} {_share(share)}" for words, share in listed)


def coverage_sentence(run: Run, found: Coverage) -> str:
    """What the figures are of, and what the rest of the time is."""
    rest = rest_words(found)
    return part_words(run, found) + (f"; the rest of the time: {rest}" if rest else "")


def part_words(run: Run, found: Coverage) -> str:
    """What the figures are of."""
    return f"{_which(run)} cover {covered_words(found)}"


def _which(run: Run) -> str:
    populations = run.steps.populations
    steady = counted(len(run.steady_steps), "steady step")
    if len(populations) < 2:
        return steady
    if run.summed:
        said = "few of one kind: " if len(populations) >= _KINDS else ""
        return f"{said}{steady} of {counted(len(run.summed), 'kind')} of decode steps"
    few = len(populations) >= _KINDS and 2 * len(populations[0].steps) < run.windows["step"].n_unique()
    of_all = f"few of one kind: of {counted(run.windows['step'].n_unique(), 'step')} in {len(populations)} kinds, "
    return f"{of_all if few else ''}{steady} of {populations[0].id}"


def assess_coverage(run: Run, found: Coverage | None) -> Quality | None:
    """The quality row; None without a steady step."""
    if found is None:
        return None
    told = coverage_sentence(run, found)
    if too_little(run, found):
        return Quality(Aspect.COVERAGE, Status.NOT_MEASURABLE, f"{told}; that is too little for a verdict")
    if not found.is_half:
        return Quality(Aspect.COVERAGE, Status.ESTIMATED, f"{told}; verdict and savings are of the steady steps alone")
    return Quality(Aspect.COVERAGE, Status.OK, told)


def humps_sentence(humps: tuple[Hump, Hump] | None) -> str:
    """That the median is of no step, where that is so; else ""."""
    if humps is None:
        return ""
    low, high = humps
    return (
        f"two humps: {counted(low.count, 'step')} near {duration(low.p50)}, {high.count} near {duration(high.p50)}; "
        "the median stands for neither"
    )


def assess_humps(run: Run, humps: tuple[Hump, Hump] | None, period: int) -> Quality | None:
    """The quality row of a median that is of no step; None where it is of some. period: that savings are of."""
    why = humps_sentence(humps) or _of_ranks(run, period)
    return Quality(Aspect.STEADY_PERIOD, Status.ESTIMATED, why) if why else None


def _of_ranks(run: Run, ranks: int) -> str:
    """Where the median over the ranks of each one's median step is none over the steps: their own fall in two."""
    steps = run.periods()["period_ns"].median()
    if run.summed or not isinstance(steps, int | float) or not steps or abs(ranks - steps) <= _APART * steps:
        return ""
    return (
        f"the ranks' own steps take now more, now less: the median of their medians, {duration(ranks)}, which savings "
        f"are taken off, is {pct(abs(ranks - steps) / steps)} off the median step's {duration(round(steps))}"
    )


def _share(share: float) -> str:
    return pct(share)
