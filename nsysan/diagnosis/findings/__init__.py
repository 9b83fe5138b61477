"""What to change: ranked findings, each with its evidence, the thresholds that drew it, the saving and the fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.expectation import Compared
from nsysan.diagnosis.findings.case import Case
from nsysan.diagnosis.findings.communication import custom_all_reduce_limit, slow_wire, wrong_wire
from nsysan.diagnosis.findings.expected import differing_from_model, mixed_steps
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.findings.kinds import FindingId, Severity
from nsysan.diagnosis.findings.late_ranks import late_rank, uneven_split
from nsysan.diagnosis.findings.launching import graph_gaps, late_host
from nsysan.diagnosis.findings.nodes import across_nodes
from nsysan.diagnosis.findings.outside import copies, host_stall
from nsysan.diagnosis.findings.recording import of_the_capture
from nsysan.diagnosis.workload import Workload
from nsysan.metrics.link import Link
from nsysan.run.run import Run

__all__ = ["FINDERS", "Finding", "FindingId", "Severity", "custom_all_reduce_limit", "find", "wrong_wire"]


@dataclass(frozen=True)
class Finder:
    """A function that draws findings, and those that it may draw.

    of_steps: whether it needs a steady step; of_decode: whether what it advises is for decoding alone.
    """

    draw: Callable[[Case], Iterator[Finding]]
    ids: tuple[FindingId, ...]
    of_steps: bool = True
    of_decode: bool = True


FINDERS = (
    Finder(
        of_the_capture,
        (
            FindingId.GRAPH_LEVEL_TRACE,
            FindingId.MISSING_RANKS,
            FindingId.LOST_EVENTS,
            FindingId.UNKNOWN_COLLECTIVES,
        ),
        of_steps=False,
        of_decode=False,
    ),
    Finder(differing_from_model, (FindingId.COUNT_DIFFERS, FindingId.BYTES_DIFFER), of_steps=False, of_decode=False),
    Finder(mixed_steps, (FindingId.PREFILL_MIXED_IN, FindingId.OTHER_STEPS), of_steps=False, of_decode=False),
    Finder(lambda case: wrong_wire(case.link, case), (FindingId.WRONG_WIRE,), of_steps=False, of_decode=False),
    Finder(host_stall, (FindingId.HOST_STALL,), of_decode=False),
    Finder(copies, (FindingId.COPIES,), of_decode=False),
    Finder(late_host, (FindingId.GRAPHS_OFF, FindingId.LATE_HOST, FindingId.LATE_BETWEEN_STEPS)),
    Finder(graph_gaps, (FindingId.PIECEWISE_GRAPHS, FindingId.GRAPH_GAPS)),
    Finder(late_rank, (FindingId.STRAGGLER, FindingId.LATE_HOST)),
    Finder(uneven_split, (FindingId.UNEVEN_SPLIT,)),
    Finder(slow_wire, (FindingId.NO_OVERLAP, FindingId.NCCL_FOR_SMALL, FindingId.TP_TOO_WIDE)),
    Finder(across_nodes, (FindingId.TP_ACROSS_NODES,)),
)


def find(run: Run, diagnosis: Diagnosis, compared: Compared | None, link: Link | None = None) -> list[Finding]:
    """All findings of a run, most severe first, then by what they save."""
    case = Case.of(run, diagnosis, compared, link)
    decodes = diagnosis.verdict.workload is Workload.DECODE
    asked = [f for f in FINDERS if (case.period or not f.of_steps) and (decodes or not f.of_decode)]
    found = [finding for finder in asked for finding in finder.draw(case)]
    return sorted(found, key=lambda f: (f.severity.place, -(f.saving or 0), f.id))
