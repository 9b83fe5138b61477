"""The one thing to do next, of a verdict and its findings: the same in every output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.findings.finding import HIGH_SHARE, Finding
from nsysan.diagnosis.findings.kinds import OfTheCapture, SavingIs, Severity
from nsysan.diagnosis.verdict import Doubt, Verdict, VerdictKind
from nsysan.diagnosis.workload import Workload
from nsysan.metrics.scenarios import NOTABLE, losses
from nsysan.metrics.whatif import WhatIf
from nsysan.text import pct, pct_limit, rough, sentence

_UNTRACED = (
    "time a step without nsys, and run nsysan again with --untraced TIME: tracing slows the hosts, and without it they "
    "may not bound the step at all"
)
_ALONE = (
    "capture decode steps alone (nsysan capture -c cudaProfilerApi, or --serve): steady ones are too little of this "
    "capture to be sure"
)
_SEE = (
    "capture again with --trace=cuda,nvtx,osrt: by the hosts' calls into the operating system nsysan tells whether "
    "they work or wait between their launches"
)
_FOR_WHAT = (
    "find out what hosts wait for between their launches: Nsight Systems shows the calls of their threads into the "
    "operating system, from where they are made, and what other threads do then"
)
#: What to find out before what rests on the hosts' time is acted on; and what if it is so.
_FOUND_OUT_FIRST = {
    Doubt.PROFILER: (_UNTRACED, "if they do"),
    Doubt.UNSEEN: (_SEE, "if they work"),
    Doubt.WAITS: (_FOR_WHAT, "if they wait for no other host"),
}
_LOOK = "look at the timeline and the kernels below: no finding says what to change"
_HOW = {
    SavingIs.REPLAY: "",
    SavingIs.AT_LEAST: "at least ",
    SavingIs.ESTIMATE: "about ",
    SavingIs.AT_MOST: "at most ",
    SavingIs.PART_OF: "a part of ",
}


@dataclass(frozen=True)
class NextStep:
    """do: an imperative. saves: what that gains, in words; finding: what it is of; None where it is of none.

    why: where nothing can be gained, or first something has to be found out, why that is.
    """

    do: str
    saves: str = ""
    finding: Finding | None = None
    why: str = ""

    @property
    def told(self) -> str:
        """All of it."""
        return " ".join(sentence(part) for part in (self.do, self.saves, self.why) if part)


def next_step(diagnosis: Diagnosis, findings: Sequence[Finding], faster: str) -> NextStep:
    """What to do first; where nothing is to be gained, that, and why.

    findings: as findings.find orders them. faster: what shortens the kernels' own time.
    """
    verdict, period = diagnosis.verdict, _period(diagnosis)
    first = first_finding(findings, period)
    if verdict.kind == VerdictKind.INCONCLUSIVE:
        lacks = next((one for one in findings if _is_of_the_capture(one)), None)
        return NextStep(lacks.fix if lacks else verdict.cure, finding=lacks)
    if verdict.doubted in _FOUND_OUT_FIRST and first is not None and first.saving_is is SavingIs.AT_MOST:
        find_out, if_so = _FOUND_OUT_FIRST[verdict.doubted]
        return NextStep(find_out, finding=first, why=f"{if_so}, {first.fix}; {_saves(first, period)}")
    step = _first_step(diagnosis, findings, first, faster)
    if verdict.doubted is not Doubt.FEW or not period:
        return step
    told = "; ".join(part for part in (step.do, step.saves, step.why) if part)
    return NextStep(_ALONE, finding=step.finding, why=f"as far as these tell, then: {told}")


def _first_step(diagnosis: Diagnosis, findings: Sequence[Finding], first: Finding | None, faster: str) -> NextStep:
    """What to do first of a verdict that is sure enough to act on."""
    verdict, period = diagnosis.verdict, _period(diagnosis)
    if first is not None:
        return NextStep(first.fix, _saves(first, period), first, _rest(verdict, first, period, faster))
    what = diagnosis.what_if
    if verdict.workload is not Workload.DECODE or what is None or not what.told:
        return NextStep(_LOOK)
    rest = f"{_else(findings, period)} {_little(what)}"
    return NextStep(faster, why="; ".join(part for part in (_own(verdict), rest) if part))


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
        return f"{finding.throughput} times the tokens a second"
    of = " of the mean" if finding.of else ""
    return f"{_HOW[finding.saving_is]}{rough(finding.saving)} ({pct(finding.saving / whole)}{of})"


def _saves(finding: Finding, period: int) -> str:
    told = gain(finding, period)
    if not told:
        return "what that saves no trace tells: try it"
    basis = f", {finding.basis}" if finding.basis else ""
    if finding.in_throughput:
        return f"that gives up to {told}{basis}; each token takes as long as before"
    return f"that saves {told.replace(' (', ' a step (', 1)}{basis}"


def _period(diagnosis: Diagnosis) -> int:
    return 0 if diagnosis.what_if is None else diagnosis.what_if.period


def _is_of_the_capture(finding: Finding) -> bool:
    return finding.severity == Severity.HIGH and isinstance(finding.id, OfTheCapture)


def _rest(verdict: Verdict, finding: Finding, period: int, faster: str) -> str:
    """Of steps that compute bounds, and the finding shortens a little: what shortens the rest."""
    own = "" if (finding.saving or 0) >= HIGH_SHARE * period else _own(verdict)
    return f"{own}: to shorten that, {faster}" if own else ""


def _own(verdict: Verdict) -> str:
    """Of steps that compute bounds: how much of them the kernels' own time is."""
    if verdict.kind != VerdictKind.COMPUTE:
        return ""
    return f"the kernels' own time is {pct(verdict.shares[verdict.kind] or 0)} of the step"


def _else(findings: Sequence[Finding], period: int) -> str:
    """That the rest is worth no change, as far as that is known."""
    parts = any(one.saving and not one.is_reachable and one.saving >= NOTABLE * period for one in findings)
    return "of the rest no trace tells how much can go;" if parts else "nothing else is worth a change:"


def _little(what: WhatIf) -> str:
    """What there is to gain of the losses that are told, where no finding has it."""
    saved = max(what.saves(scenario) or 0 for scenario in what.told)
    shorter = f"less than {pct_limit(NOTABLE)}" if saved < NOTABLE * what.period else pct(saved / what.period)
    return f"without {losses(what.told)} a step would be {shorter} shorter"
