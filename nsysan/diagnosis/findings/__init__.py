"""What to change: ranked findings, each with its evidence, the thresholds that drew it, the saving and the fix.

A module a subject: the ids of its findings, the functions that draw them, and both registered in its FINDERS.
"""

from __future__ import annotations

from collections.abc import Sequence

from nsysan.diagnosis.collectives import CollectiveFamily
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.expectation import Compared
from nsysan.diagnosis.findings import (
    all_hosts,
    bubble,
    chosen_by_nccl,
    communication,
    expected,
    late_ranks,
    launching,
    nodes,
    other_kinds,
    outside,
    recording,
)
from nsysan.diagnosis.findings.case import Case
from nsysan.diagnosis.findings.communication import custom_all_reduce_limit, wrong_wire
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.findings.kinds import Severity
from nsysan.diagnosis.workload import Workload
from nsysan.metrics.link import Link
from nsysan.run.nccl_choices import Nccl
from nsysan.run.run import Run
from nsysan.timings import stage

__all__ = ["FINDERS", "Finding", "Severity", "custom_all_reduce_limit", "find", "ordered", "wrong_wire"]

#: Savings within one such share of the step are alike: that of one finding differs by so much from run to run.
ALIKE = 0.05

#: What is seen to be lost comes before what another kernel or layout may save.
_SUBJECTS = (
    recording,
    expected,
    bubble,
    late_ranks,
    other_kinds,
    launching,
    all_hosts,
    outside,
    communication,
    chosen_by_nccl,
    nodes,
)
FINDERS = tuple(finder for subject in _SUBJECTS for finder in subject.FINDERS)


@stage("findings")
def find(
    run: Run,
    diagnosis: Diagnosis,
    compared: Compared | None,
    link: Link | None = None,
    nccl: Nccl | None = None,
    families: Sequence[CollectiveFamily] = (),
) -> list[Finding]:
    """All findings of a run, most severe first, then by what they save; those that save alike as FINDERS has them."""
    case = Case.of(run, diagnosis, compared, link, nccl, families)
    decodes = diagnosis.verdict.workload is Workload.DECODE
    asked = [f for f in FINDERS if (case.period or not f.of_steps) and (decodes or not f.of_decode)]
    found = [finding for finder in asked for finding in finder.draw(case)]
    return ordered(found, case.period)


def ordered(findings: Sequence[Finding], period: int) -> list[Finding]:
    """Findings of a step of period ns in the order in which they are told."""
    return sorted(findings, key=lambda finding: _place(finding, period))


def _place(finding: Finding, period: int) -> tuple[int, int]:
    """By severity, then by what is saved, in steps beyond chance; last of what that is not known, nor what of it."""
    if finding.saving is None or not finding.is_reachable:
        return finding.severity.place, 1
    return finding.severity.place, -int(finding.saving / (ALIKE * period)) if period else 0
