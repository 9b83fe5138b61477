"""What draws findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nsysan.diagnosis.findings.case import Case
from nsysan.diagnosis.findings.finding import Finding
from nsysan.diagnosis.findings.kinds import FindingId


@dataclass(frozen=True)
class Finder:
    """A function that draws findings, and those that it may draw.

    of_steps: whether it needs a steady step; of_decode: whether what it advises is for decoding alone.
    """

    draw: Callable[[Case], Iterator[Finding]]
    ids: tuple[FindingId, ...]
    of_steps: bool = True
    of_decode: bool = True
