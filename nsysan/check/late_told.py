"""The late ranks in the document of a report, all put right: what that saves."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan.diagnosis.evidence import Aspect, Status
from nsysan.metrics.scenarios import LATE_SHARE
from nsysan.report.read_back import ReportDocument
from nsysan.text import numbered, pct


@dataclass(frozen=True)
class LateTold:
    """saves: ns a step, share: of it; mean: of the mean step, not the median one. causes: as they are told."""

    ranks: list[int]
    saves: int
    share: float
    mean: bool
    causes: list[str]

    @property
    def words(self) -> str:
        """Who is late, and what that costs."""
        several = len(self.ranks) > 1
        return (
            f"{numbered('rank', self.ranks, most=16)} {'are' if several else 'is'} late; put right "
            f"{'together they save' if several else 'it saves'} {self.saves / 1e3:,.1f} µs a step ({pct(self.share)})"
            f"{' of the mean' if self.mean else ''}; cause {', '.join(self.causes)}"
        )


def late_of(document: ReportDocument) -> LateTold | None:
    """What is told of the late ranks; None where none is by itself."""
    straggler = document.straggler
    if straggler is None and not document.late:
        return None
    alone = [] if straggler is None else [straggler.rank]
    ranks = sorted({rank for one in document.late for rank in one.ranks}) or alone
    causes = [one.cause for one in document.late] or [None if straggler is None else straggler.cause]
    words = list(dict.fromkeys(cause or "unknown" for cause in causes))
    if (told := document.caused) is None:
        return _of_older(document, ranks, words)
    return LateTold(ranks, told.saves_ns, told.saves_ns / max(told.period_ns, 1), mean=told.mean, causes=words)


def _of_older(document: ReportDocument, ranks: list[int], causes: list[str]) -> LateTold:
    """Of a document that does not tell what all late ranks save: that set or rank which saves most.

    Of what makes the tail it is of the mean step, where that is more. Documents before the replay tell of one rank.
    """
    straggler, period = document.straggler, document.what_if.get("period") or 0
    saves = max(0 if straggler is None else straggler.caused_ns, *(one.saves_ns for one in document.late), 0)
    if period <= 0:
        return LateTold(ranks, saves, 0.0 if straggler is None else straggler.share, mean=False, causes=causes)
    tails = [one for one in document.late if one.costs_ns < LATE_SHARE * period <= one.mean_costs_ns]
    most = max(tails, key=lambda one: one.mean_saves_ns, default=None)
    if most is None or most.mean_saves_ns <= saves:
        return LateTold(ranks, saves, saves / period, mean=False, causes=causes)
    mean = max(most.mean_period_ns or (document.period.mean if document.period else 0), period)
    return LateTold(ranks, most.mean_saves_ns, most.mean_saves_ns / mean, mean=True, causes=causes)


def caused_of(document: ReportDocument) -> tuple[int, float] | None:
    """What all late ranks save, ns, and as a share of the step that it is of; None where that is not known.

    Of ranks that are late in turn, what balancing them saves.
    """
    found = late_of(document)
    if found is not None:
        return found.saves, found.share
    if not late_is_told(document):
        return None
    turns = document.caused
    return (0, 0.0) if turns is None else (turns.saves_ns, turns.saves_ns / max(turns.period_ns, 1))


def late_is_told(document: ReportDocument) -> bool:
    """Whether nobody being named says that nobody is late. Quality rows are of the headline."""
    if document.quality.get(Aspect.STRAGGLER) != Status.OK:
        return False
    return document.is_headline or document.what_if.get("no_skew") is not None
