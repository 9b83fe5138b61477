"""How far one aspect of a figure can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

OK = "ok"
ESTIMATED = "estimated"
NOT_MEASURABLE = "not_measurable"


@dataclass(frozen=True)
class Quality:
    """Status of one aspect of the evidence; the reason is a sentence for people."""

    id: str
    status: str
    reason: str
