"""Hosts that pace the step together, some of them later than others."""

from __future__ import annotations

from collections.abc import Iterator

from nsysan.diagnosis.findings.case import IDLE_SHARE, Case, Finder, free
from nsysan.diagnosis.findings.finding import Finding, by_share, severity_limits
from nsysan.diagnosis.findings.kinds import FindingId
from nsysan.diagnosis.late_words import by_host
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.metrics.scenarios import Scenario
from nsysan.text import duration


class HostsFinding(FindingId):
    """Of all hosts."""

    HOSTS_PACE = "hosts_pace"


def hosts_pace(case: Case) -> Iterator[Finding]:
    """All hosts pace the step, beyond what those of late ranks cost, which a finding of its own tells."""
    if case.wants_graphs or case.in_pieces or not any(by_host(one) for one in case.diagnosis.late):
        return
    saving, skew = case.saving(Scenario.NO_HOST_LATE), case.saving(Scenario.NO_SKEW) or 0
    if case.diagnosis.verdict.kind != VerdictKind.HOST or saving is None or saving - skew < IDLE_SHARE * case.period:
        return
    fix = case.host_fix()
    yield Finding(
        HostsFinding.HOSTS_PACE,
        by_share(saving, case.period),
        "the hosts pace the step: they need longer to launch it than the GPUs to run it",
        f"without late launches a step of {duration(case.period)} would take {duration(case.period - saving)}, with "
        f"late ranks alone put right {duration(case.period - skew)}",
        fix.first,
        saving,
        figures={"saves_ns": saving, "share": saving / case.period},
        thresholds={"idle_share": IDLE_SHARE, **severity_limits()},
        saving_is=case.host_saving_is,
        basis=free(case.period, saving),
        also=fix.also,
    )


FINDERS = (Finder(hosts_pace, (HostsFinding.HOSTS_PACE,)),)
