"""What a step does, and by what steps are found; apart from how, as capture and check ask without any of that."""

from __future__ import annotations

from enum import StrEnum


class StepKind(StrEnum):
    """What a step does for its sequences."""

    DECODE = "decode"
    PREFILL = "prefill"
    MIXED = "mixed"


class StepMethod(StrEnum):
    """A way of finding steps."""

    NVTX = "nvtx"
    GRAPH = "graph"
    PERIOD = "period"
    #: No step was found: the whole capture stands for one.
    WINDOW = "window"
