"""What to change: ranked findings, each with its evidence, the thresholds that drew it, the saving and the fix."""

from __future__ import annotations

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.expectation import Compared
from nsysan.diagnosis.findings.case import Case
from nsysan.diagnosis.findings.communication import custom_all_reduce_limit, slow_wire, wrong_wire
from nsysan.diagnosis.findings.expected import differing_from_model, mixed_steps
from nsysan.diagnosis.findings.finding import HIGH, LOW, MEDIUM, SEVERITIES, Finding
from nsysan.diagnosis.findings.late_ranks import late_rank, uneven_split
from nsysan.diagnosis.findings.launching import graph_gaps, late_host
from nsysan.diagnosis.findings.recording import of_the_capture
from nsysan.metrics.link import Link
from nsysan.run.run import Run

__all__ = ["HIGH", "LOW", "MEDIUM", "SEVERITIES", "Finding", "custom_all_reduce_limit", "find", "wrong_wire"]


def find(run: Run, diagnosis: Diagnosis, compared: Compared | None, link: Link | None = None) -> list[Finding]:
    """All findings of a run, most severe first, then by what they save."""
    what = diagnosis.what_if
    rows = diagnosis.gaps.select("rank", "cause", "ns").iter_rows()
    case = Case(run, diagnosis, compared, link, what.period if what else 0, {(r, c): ns for r, c, ns in rows})
    found = [*of_the_capture(case), *differing_from_model(case), *mixed_steps(case), *wrong_wire(link, case)]
    if case.period:
        found += [*late_host(case), *graph_gaps(case), *late_rank(case), *uneven_split(case), *slow_wire(case)]
    return sorted(found, key=lambda f: (SEVERITIES.index(f.severity), -(f.saving or 0), f.id))
