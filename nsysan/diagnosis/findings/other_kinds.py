"""Late ranks in kinds of decode steps that the report does not head with."""

from __future__ import annotations

from collections.abc import Iterator

from nsysan.diagnosis.diagnosis import OtherKind
from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.finding import Finding, by_share, severity_limits
from nsysan.diagnosis.findings.kinds import FindingId
from nsysan.diagnosis.late_words import outermost, ranks_of, ranks_words, weight, why_late
from nsysan.metrics.scenarios import LATE_SHARE
from nsysan.run.other_steps import MUCH
from nsysan.text import counted, duration, pct, rough

_FIX = "look at these steps by themselves (--population {}), where who is late there is told in full"


class OtherKindFinding(FindingId):
    """What may be wrong in them."""

    LATE_IN_OTHER_STEPS = "late_in_other_steps"


def late_in_other_steps(case: Case) -> Iterator[Finding]:
    """A finding for each of those kinds in which ranks are late, or another is in each step."""
    for kind in case.diagnosis.others:
        if kind.diagnosis.late or kind.diagnosis.rotation:
            yield _finding(kind)


def _finding(kind: OtherKind) -> Finding:
    told, lost = kind.diagnosis, kind.diagnosis.rotation
    sentences, late = [], outermost(told.late)
    for one in late:
        saves, costs, of, mean = weight(one, kind.period)
        lost = max(lost, costs)
        them = "they cost" if len(one.ranks) > 1 else "it costs"
        sentences.append(
            f"{ranks_words(one.ranks)}: {why_late(one)}; {them} {duration(costs)} of {duration(of)} ({pct(costs / of)})"
            f"{' in the mean' if mean else ''}, and putting right saves {rough(saves)} of each such step"
        )
    if not late:
        sentences.append(f"another rank is late in each, which costs {duration(lost)} of {duration(kind.period)}")
    ranks = ranks_of(told.late)
    who = f"{ranks_words(ranks)} {'come' if len(ranks) > 1 else 'comes'} late" if late else "ranks are late in turn"
    return Finding(
        OtherKindFinding.LATE_IN_OTHER_STEPS,
        # Of all decode time it is that share of its steps'.
        by_share(round(lost * kind.share), kind.period),
        f"in steps of another kind than the figures are of, {who}: {kind.id}, {pct(kind.share)} of the decode time",
        f"{counted(kind.steps, 'step')} of {kind.id}; {'; '.join(sentences)}",
        _FIX.format(kind.id),
        ranks=ranks,
        figures={"population": kind.id, "share_of_decode": kind.share, "costs_ns": lost, "period_ns": kind.period},
        thresholds={"straggler_share": LATE_SHARE, "share_of_decode": MUCH, **severity_limits()},
    )


FINDERS = (Finder(late_in_other_steps, (OtherKindFinding.LATE_IN_OTHER_STEPS,)),)
