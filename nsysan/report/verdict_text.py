"""The verdict and how sure it is in sentences, the same in every output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from nsysan.diagnosis.doubts import SETTLED, UNMEASURED, Doubt
from nsysan.diagnosis.scope import cover_words
from nsysan.diagnosis.verdict import Sure, Verdict
from nsysan.metrics.coverage import HALF
from nsysan.report.report import Report
from nsysan.styled import styled
from nsysan.text import counted, duration, pct, percent, plain

#: So many reasons why steps are left out are told.
_REASONS = 2


def verdict_words(report: Report) -> str:
    """What bounds the step, without the figures behind it."""
    verdict = report.diagnosis.verdict
    return f"{styled(verdict.kind, verdict.kind)}: {verdict.says}{verdict.absent}"


def verdict_sentence(verdict: Verdict) -> str:
    """The same with the critical path, without its kind; of what part it is, sure_sentence says."""
    path = f" ({verdict.path})" if verdict.path else ""
    return f"{verdict.says}{path}{verdict.absent}"


def sure_sentence(report: Report) -> str:
    """How far the verdict can be relied on, and why."""
    also, surer = also_unsure(report), surer_words(report)
    return "; ".join(part for part in (sure_in_short(report), also, surer) if part)


def sure_in_short(report: Report) -> str:
    """The same with the first of the reasons alone."""
    verdict = report.diagnosis.verdict
    return f"{verdict.sure}, because {verdict.because[0].removesuffix('.')}" if verdict.because else str(verdict.sure)


def also_unsure(report: Report) -> str:
    """The other reasons, and what the rest of the capture is where it is little of it that was judged."""
    verdict = report.diagnosis.verdict
    rest = f"the rest of the time: {verdict.rest}" if verdict.rest and verdict.part in verdict.because else ""
    return "; ".join(part for part in (*(one.removesuffix(".") for one in verdict.because[1:]), rest) if part)


def surer_words(report: Report) -> str:
    """What would make it surer, where that is not what to do next."""
    surer = report.diagnosis.verdict.surer
    return f"to be surer, {surer}" if surer and surer != report.next_step.do else ""


def judged_steps(report: Report) -> int:
    """How many steps the verdict is of."""
    summed = report.diagnosis.summed
    return sum(one.steps for one in summed) if summed else report.steps.count - len(report.steps.excluded)


def tested_words(report: Report) -> str:
    """What the verdict was tested by, in figures, but for what was said as the reason; "" where that was all."""
    told = report.diagnosis
    calls = [(family.matched, family.matched + family.unmatched) for family in report.collectives]
    matched, of = (sum(column) for column in zip(*calls, strict=True)) if calls else (0, 0)
    what, covered = told.what_if, told.coverage
    half = covered is not None and min(covered.span, covered.busy) >= HALF
    parts = (
        cover_words(covered, summed=bool(told.summed)) if half and covered is not None else "",
        f"{percent(matched, of)} of the collectives match" if of else "",
        "" if what is None or what.error is None else f"a replay of the steps misses their period by {pct(what.error)}",
        _profiler(report),
    )
    why = sure_sentence(report)
    return "; ".join(part for part in parts if part and part not in why)


def untested_sentences(report: Report) -> str:
    """The steps that it is not of, and whether what tracing costs is not known."""
    left, why = _left_out(report), sure_sentence(report)
    settled = SETTLED[Doubt.TRACING]
    if _profiler(report) or settled in why:
        return left
    if UNMEASURED in why:
        return f"{left} To measure what tracing costs, {settled}."
    # Else it would weigh on the verdict.
    little = " (little on such steps elsewhere)" if report.diagnosis.verdict.sure is Sure.HIGH else ""
    return f"{left} Not measured here: what tracing costs{little}; {settled}."


def _left_out(report: Report) -> str:
    """Of how many steps none of it is, and why; of several kinds, each of which leaves others out, how many alone."""
    steps, left = report.steps, report.steps.count - judged_steps(report)
    why = "" if report.diagnosis.summed else _by_reason(steps.excluded.values())
    return f"Left out: {left:,} of {counted(steps.count, 'step')}{why}." if left else "No step is left out."


def _by_reason(reasons: Iterable[str]) -> str:
    """In brackets: of how many each reason is, without its figures, the most first."""
    counts = Counter(plain(reason.partition(":")[0], 40) for reason in reasons).most_common()
    told = [f"{count} {reason}" for reason, count in counts[:_REASONS]]
    rest = sum(count for _, count in counts[_REASONS:])
    return f" ({', '.join([*told, f'{rest} more'] if rest else told)})"


def _profiler(report: Report) -> str:
    without, period = report.diagnosis.untraced, report.headline["period_ns"]
    if without is None or not period:
        return ""
    return f"tracing costs {duration(period - without.period)} a step ({percent(period - without.period, period)})"
