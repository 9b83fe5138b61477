"""Where a finding stands on the page, and the kernels."""

from __future__ import annotations

from collections.abc import Sequence

from nsysan.diagnosis.findings.finding import Finding

KERNELS = "kernels"


def finding_anchor(findings: Sequence[Finding], finding: Finding) -> str:
    """Where a finding stands on the page: by its id, and a number where several have it."""
    before = sum(one.id == finding.id for one in findings[: findings.index(finding)])
    return f"finding-{finding.id}{f'-{before + 1}' if before else ''}"
