"""The one thing to do next, of a verdict and its findings: the same in every output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.doubts import Doubt
from nsysan.diagnosis.findings.finding import HIGH_SHARE, Finding
from nsysan.diagnosis.findings.kinds import OfTheCapture, SavingIs, Severity
from nsysan.diagnosis.late_words import by_host, outermost, ranks_of, ranks_words, weight
from nsysan.diagnosis.verdict import Verdict, VerdictKind
from nsysan.diagnosis.workload import Workload
from nsysan.metrics.scenarios import NOTABLE, Scenario, losses
from nsysan.metrics.whatif import WhatIf
from nsysan.text import pct, pct_limit, rough, sentence

_TRY = "nobody can tell: try it"
_BLOCKED = "hosts may be blocked (a lock, another process)"
_LOOK = "look at the timeline and the kernels below: no finding says what to change"
_HOW = {
    SavingIs.REPLAY: "",
    SavingIs.AT_LEAST: "at least ",
    SavingIs.ESTIMATE: "about ",
    SavingIs.AT_MOST: "at most ",
    SavingIs.PART_OF: "less than ",
}


@dataclass(frozen=True)
class NextStep:
    """do: an imperative; then: what to do after it. gains: what that gains; basis: a clause behind it; "" where nothing
    can be told; known: or it is no more than a bound of that. after: what to do beyond that. rest: what else there is
    to gain. finding: what it is of; None where it is of none. with_it: the late ranks whose delays go with it.
    """

    do: str
    then: str = ""
    gains: str = ""
    basis: str = ""
    known: bool = True
    after: str = ""
    rest: str = ""
    finding: Finding | None = None
    with_it: Sequence[int] = ()

    @property
    def saves(self) -> str:
        """What it gains, as a clause; "" where that is not spoken of."""
        told = _and(self.gains, self.basis)
        gives = "gives" if self.finding is not None and self.finding.in_throughput else "saves"
        if told == _TRY:
            return f"how much that {gives} {told}"
        if not self.known:
            return f"how much that {gives} is not known, but {told}"
        return f"that {gives} {told}" if told else ""

    @property
    def why(self) -> str:
        """What is to be known besides."""
        return "; ".join(part for part in (self.then, self.rest, self.after) if part)

    @property
    def told(self) -> str:
        """All of it."""
        return " ".join(sentence(part) for part in (self.do, self.then, self.saves, self.rest, self.after) if part)


def next_step(diagnosis: Diagnosis, findings: Sequence[Finding], faster: str) -> NextStep:
    """What to do first; where nothing is to be gained, that, and why.

    findings: as findings.find orders them. faster: what shortens the kernels' own time.
    """
    verdict, period = diagnosis.verdict, _period(diagnosis)
    first = first_finding(findings, period)
    if verdict.kind == VerdictKind.INCONCLUSIVE:
        lacks = next((one for one in findings if _is_of_the_capture(one)), None)
        return NextStep(lacks.fix if lacks else verdict.cure, finding=lacks)
    step = _advised(diagnosis, findings, first, faster)
    of_hosts = first is not None and first.saving_is is SavingIs.AT_MOST
    match verdict.doubted:
        case Doubt.PROFILER if of_hosts:
            # Without it they may not bound the step at all.
            return replace(step, do=verdict.surer, then=f"if hosts bound it then, too, {step.do}")
        case Doubt.FEW if step.finding is not None:
            return replace(step, basis=_and(step.basis, "estimated from few steps"))
        case Doubt.UNSEEN if of_hosts:
            return replace(step, basis="; ".join(filter(None, (step.basis, _BLOCKED))), known=False)
        case Doubt.WAITS if of_hosts:
            return replace(step, basis=_and(step.basis, "less as far as they wait for something else"))
    return step


def _and(*clauses: str) -> str:
    return ", ".join(clause for clause in clauses if clause)


def _advised(diagnosis: Diagnosis, findings: Sequence[Finding], first: Finding | None, faster: str) -> NextStep:
    """What to do first of a verdict that is sure enough to act on."""
    verdict, period, what = diagnosis.verdict, _period(diagnosis), diagnosis.what_if
    told = verdict.workload is Workload.DECODE and what is not None and bool(what.told)
    # What saves little is no cure of what bounds the step.
    small = first is not None and first.severity is Severity.LOW and verdict.kind == VerdictKind.COMPUTE and told
    if first is not None and not small:
        gains = gain(first, period)
        basis = "; ".join(filter(None, (first.later if first.in_throughput else "", first.basis))) if gains else _TRY
        ranks = _late_too(diagnosis, first)
        rest = _inside(diagnosis, ranks) if ranks else _together(diagnosis, first, findings)
        after = _faster(verdict, first, period, faster)
        return NextStep(first.fix, gains=gains, basis=basis, after=after, rest=rest, finding=first, with_it=ranks)
    if what is None or not told:
        return NextStep(_LOOK)
    rest = _little(what, findings)
    if verdict.kind != VerdictKind.COMPUTE:
        return NextStep(faster, basis=_TRY, rest=rest)
    return NextStep(faster, gains=f"less than {_own(verdict, period)}", known=False, rest=rest)


def first_finding(findings: Sequence[Finding], period: int) -> Finding | None:
    """The finding to act on first; None where none is of weight.

    What saves an unknown part of something says less than what there is to do of the rest.
    """
    told = [one for one in findings if one.saving is None or one.is_reachable]
    return next((one for one in told if one.severity != Severity.LOW), None) or next(
        (one for one in told if one.saving and one.saving >= NOTABLE * period), None
    )


def gain(finding: Finding, period: int) -> str:
    """What a finding saves, with its share of the step, of period ns; "" where that cannot be told."""
    whole = finding.of or period
    if finding.saving is None or not whole:
        return ""
    if finding.in_throughput:
        return f"up to {finding.throughput} times the tokens a second"
    of = " of the mean" if finding.of else ""
    return f"{_HOW[finding.saving_is]}{_of_step(finding.saving, whole, of)}"


def _of_step(ns: int, whole: int, of: str = "") -> str:
    return f"{rough(ns)} a step ({pct(ns / whole)}{of})"


def _period(diagnosis: Diagnosis) -> int:
    return 0 if diagnosis.what_if is None else diagnosis.what_if.period


def _is_of_the_capture(finding: Finding) -> bool:
    return finding.severity == Severity.HIGH and isinstance(finding.id, OfTheCapture)


def _faster(verdict: Verdict, finding: Finding, period: int, faster: str) -> str:
    """Of steps that compute bounds, and the finding shortens a little: what shortens the rest."""
    if verdict.kind != VerdictKind.COMPUTE or (finding.saving or 0) >= HIGH_SHARE * period:
        return ""
    return f"more may be in {_own(verdict, period)}, how much no trace tells: {faster}"


def _own(verdict: Verdict, period: int) -> str:
    """Of steps that compute bounds: how much of them is the time of kernels that compute."""
    return f"the {_of_step(round((verdict.shares[verdict.kind] or 0) * period), period)} that kernels compute"


def _late_too(diagnosis: Diagnosis, finding: Finding) -> list[int]:
    """Of what takes all hosts' delays away: the late ranks whose are among them."""
    late, what = outermost(diagnosis.late), diagnosis.what_if
    together = None if what is None else what.saves(Scenario.NO_SKEW)
    of_hosts = finding.saving_is is SavingIs.AT_MOST and not finding.in_throughput
    if not late or not all(map(by_host, late)) or not of_hosts or together is None:
        return []
    # What is no more than they cost is their own.
    together = max(together, *(weight(one, _period(diagnosis)).saves for one in late))
    return ranks_of(late) if (finding.saving or 0) > together else []


def _inside(diagnosis: Diagnosis, ranks: Sequence[int]) -> str:
    """That what is saved has what late ranks cost in it."""
    late, what = outermost(diagnosis.late), diagnosis.what_if
    together = 0 if what is None else what.saves(Scenario.NO_SKEW) or 0
    costs = weight(late[0], _period(diagnosis)).costs if len(late) == 1 else together
    return f"this includes the {rough(costs)} that {ranks_words(ranks)} {'cost' if len(ranks) > 1 else 'costs'}"


def _together(diagnosis: Diagnosis, finding: Finding, findings: Sequence[Finding]) -> str:
    """Of a finding of one of several late ranks: what all of them save, which is as sure as what each does."""
    what, late = diagnosis.what_if, outermost(diagnosis.late)
    saved = None if what is None else what.saves(Scenario.NO_SKEW)
    named = [set(one.ranks) for one in late]
    one_of = len(named) > 1 and set(finding.ranks) in named
    if what is None or saved is None or not one_of or finding.of or saved <= (finding.saving or 0):
        return ""
    told = {one.saving_is for one in findings if set(one.ranks) in named}
    how = next((_HOW[kind] for kind in (SavingIs.AT_MOST, SavingIs.AT_LEAST) if kind in told), "")
    return f"{ranks_words(ranks_of(late))} put right together save {how}{_of_step(saved, what.period)}"


def _little(what: WhatIf, findings: Sequence[Finding]) -> str:
    """That the losses which are told have little to gain; "" where findings have more."""
    if any(one.saving and one.saving >= NOTABLE * what.period for one in findings):
        return ""
    saved = max(what.saves(scenario) or 0 for scenario in what.told)
    share = f"less than {pct_limit(NOTABLE)}" if saved < NOTABLE * what.period else pct(saved / what.period)
    named = losses(what.told)
    return f"nothing else is worth a change: putting {named} right saves {share} of the step"
