"""What is said of a predicted step that hosts pace (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from nsysan.compare.prediction import Ends
from nsysan.text import duration


def both_ends(alone: Ends, as_now: float) -> str:
    """What it takes by GPUs alone, and with hosts as now."""
    return (
        f"GPUs alone {duration(alone.ns)} ({duration(alone.low)} to {duration(alone.high)}); with hosts as now "
        f"{duration(as_now)}"
    )


def no_one_figure(alone: Ends, as_now: float, varies: float, *, eager: bool) -> str:
    """Why a bar that says nothing is not told, and what to do instead. varies: as bars.varies gives it."""
    how = ", launching one kernel at a time" if eager else ""
    instead = "a graph capture" if eager else "a capture in which they keep ahead"
    return (
        f"hosts pace this{how}: {both_ends(alone, as_now)}, and these differ by up to {varies:g}x between captures; "
        f"predict from {instead}"
    )
