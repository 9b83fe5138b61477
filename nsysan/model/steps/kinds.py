"""What a step does; apart from how that is found, as capture asks for engines without any of it."""

from __future__ import annotations

from enum import StrEnum


class StepKind(StrEnum):
    """What a step does for its sequences."""

    DECODE = "decode"
    PREFILL = "prefill"
    MIXED = "mixed"
