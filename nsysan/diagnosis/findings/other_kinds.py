"""Late ranks in kinds of decode steps that the report does not head with."""

from __future__ import annotations

from collections.abc import Iterator

from nsysan.diagnosis.caused import caused_by
from nsysan.diagnosis.diagnosis import OtherKind
from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.finding import Finding, by_share, severity_limits
from nsysan.diagnosis.findings.kinds import FindingId, SavingIs
from nsysan.diagnosis.late_words import by_host, outermost, ranks_of, ranks_words, weight, why_late
from nsysan.metrics.scenarios import LATE_SHARE
from nsysan.run.other_steps import MUCH
from nsysan.text import counted, duration, pct, rough

_FIX = "look at the steps of {0} by themselves (--population {0}), which tells in full what to do of who is late there"


class OtherKindFinding(FindingId):
    """What may be wrong in them."""

    LATE_IN_OTHER_STEPS = "late_in_other_steps"


def late_in_other_steps(case: Case) -> Iterator[Finding]:
    """A finding for each of those kinds in which ranks are late, or another is in each step."""
    for kind in case.diagnosis.others:
        if kind.diagnosis.late or kind.diagnosis.rotation:
            yield _finding(kind)


def _finding(kind: OtherKind) -> Finding:
    told, caused = kind.diagnosis, caused_by(kind.diagnosis)
    late, ranks = outermost(told.late), ranks_of(told.late)
    sentences = []
    for one in late:
        saves, costs, of, mean = weight(one, kind.period)
        them = "they cost" if len(one.ranks) > 1 else "it costs"
        sentences.append(
            f"{ranks_words(one.ranks)}: {why_late(one)}; {them} {duration(costs)} of {duration(of)} ({pct(costs / of)})"
            f"{' in the mean' if mean else ''}, and putting right saves {rough(saves)} of each such step"
        )
    if not late:
        sentences.append(
            f"another rank is late in each, which costs {duration(told.rotation)} of {duration(kind.period)}"
        )
    who = f"{ranks_words(ranks)} {'come' if len(ranks) > 1 else 'comes'} late" if late else "ranks are late in turn"
    saves = 0 if caused is None else round(caused.saves * kind.part)
    return Finding(
        OtherKindFinding.LATE_IN_OTHER_STEPS,
        by_share(saves or 1, kind.mean),
        f"in steps of another kind than the figures are of, {who}: {kind.id}, {pct(kind.share)} of the decode time",
        f"{counted(kind.steps, 'step')} of {kind.id}; {'; '.join(sentences)}",
        _FIX.format(kind.id),
        saves or None,
        ranks,
        figures={"population": kind.id, "share_of_decode": kind.share, "period_ns": kind.period},
        thresholds={"straggler_share": LATE_SHARE, "share_of_decode": MUCH, **severity_limits()},
        saving_is=SavingIs.AT_MOST if any(map(by_host, late)) else SavingIs.REPLAY,
        of=kind.mean,
        basis=f"over all decode steps, once {'they are' if len(ranks) != 1 else 'it is'} put right",
    )


FINDERS = (Finder(late_in_other_steps, (OtherKindFinding.LATE_IN_OTHER_STEPS,)),)
