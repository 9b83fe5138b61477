"""Copies that keep the GPUs from computing (DEFINITIONS.md, section 8)."""

from __future__ import annotations

from collections.abc import Iterator

from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.finding import Finding, by_share, severity_limits
from nsysan.diagnosis.findings.kinds import FindingId, SavingIs
from nsysan.text import duration, pct, us

#: Copies above this share of the period are worth a look.
COPY_SHARE = 0.20


class OutsideFinding(FindingId):
    """Of what keeps the GPUs from working."""

    COPIES = "copies"


def copies(case: Case) -> Iterator[Finding]:
    """Copies that take much of the step while nothing else runs."""
    copied = case.line("copy")
    if copied < COPY_SHARE * case.period:
        return
    yield Finding(
        OutsideFinding.COPIES,
        by_share(copied, case.period),
        f"copies and memory sets take {pct(copied / case.period)} of the step, with nothing beside them",
        f"{us(copied)} µs of {duration(case.period)} (median over the ranks)",
        "copy from pinned memory on a stream of its own while kernels run, and keep on the GPU what is used again",
        case.on_the_path(copied, "copy"),
        figures={"copy_ns": copied, "share": copied / case.period},
        thresholds={"copy_share": COPY_SHARE, **severity_limits()},
        saving_is=SavingIs.AT_MOST,
        also="put small copies together",
    )


FINDERS = (Finder(copies, (OutsideFinding.COPIES,), of_decode=False),)
