"""What all findings are told by: an id, how severe one can be, and what its saving is."""

from __future__ import annotations

from enum import StrEnum


class FindingId(StrEnum):
    """What a finding says, by the name that outlives its wording: those of its subclasses, one beside its finders."""


class SharedFinding(FindingId):
    """What finders of several subjects may draw."""

    LATE_HOST = "late_host"


class OfTheCapture(FindingId):
    """What is of the capture itself, and no loss of a step's: those of its subclass."""


class Severity(StrEnum):
    """How much a finding matters, most first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def place(self) -> int:
        """From 0 for the most severe."""
        return list(Severity).index(self)


class SavingIs(StrEnum):
    """What a finding's saving is."""

    #: The difference that a replay without the loss makes.
    REPLAY = "replay"
    #: The same, where the trace allows more.
    AT_LEAST = "at least"
    ESTIMATE = "estimate"
    #: All of the loss, which a fix may take away.
    AT_MOST = "at most"
    #: All of what the loss is in, which no fix takes away whole: how much of it no trace tells.
    PART_OF = "part of"
