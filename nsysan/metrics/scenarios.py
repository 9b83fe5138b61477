"""What could be taken away from a step: one row a what-if, which everything that names or explains one looks up."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple


class Scenario(StrEnum):
    """A what-if: the period that a run without some loss has."""

    NO_SKEW = "no_skew"
    FLOOR_WIRE = "floor_wire"
    NO_HOST_LATE = "no_host_late"
    GRAPHS = "graphs"
    NO_BUBBLE = "no_bubble"
    UNTRACED = "untraced"
    ALL = "all"

    @property
    def column(self) -> str:
        """Its key in the JSON and its column in a history."""
        return f"{self}_ns"


class WithoutLoss(NamedTuple):
    """A what-if in words.

    title: a clause that begins with a preposition, the same in sentences, tables and legends. meaning: what it is the
    period of. loss, loss_meaning: what is taken away; None where that is what the others take. is_bound: whether it is
    more than a fix can give.
    """

    title: str
    meaning: str
    loss: str | None = None
    loss_meaning: str = ""
    is_bound: bool = False

    @property
    def name(self) -> str:
        """The title, with what it is where it is no forecast."""
        return f"{self.title} (at best)" if self.is_bound else self.title


#: Less than this share of the period goes without saying.
NOTABLE = 0.01
#: A rank is late from this share of the period on.
LATE_SHARE = 0.03
#: What takes more batches in flight: a step of one batch takes no less.
NO_BUBBLE = "without a bubble"
NO_BUBBLE_MEANING = (
    "The period if no stage of the pipeline waited for another: what the busiest takes by itself, by replay. A bound: "
    "it takes as many batches in flight as there are stages."
)

#: In the order in which outputs list them.
SCENARIOS = {
    Scenario.NO_SKEW: WithoutLoss(
        "without skew",
        "The period if no operation and no stretch of a host took longer than it does on the other ranks, by replay.",
        "skew",
        "What a step would save if no rank came late (see without skew), as a share of the period. Not the wait of the "
        "ranks: what waits may be late itself.",
    ),
    Scenario.FLOOR_WIRE: WithoutLoss(
        "with the wire at its floor",
        "The period if each collective took its floor after the last arrival, by replay.",
        "the wire's excess over its floor",
        "What collectives take after the last arrival beyond their floor.",
    ),
    Scenario.NO_HOST_LATE: WithoutLoss(
        "without host time",
        "The period if no launch were late: as if hosts took no time, by replay.",
        "late hosts",
        "Hosts whose launch call for the next operation begins only after their GPU has run dry, within a step or "
        "between two.",
    ),
    Scenario.GRAPHS: WithoutLoss(
        "with CUDA graphs",
        "The period if one launch a step replayed its kernels back to back, by replay; of eager runs.",
    ),
    Scenario.NO_BUBBLE: WithoutLoss(NO_BUBBLE, NO_BUBBLE_MEANING, is_bound=True),
    Scenario.UNTRACED: WithoutLoss(
        "without the profiler",
        "The period without what tracing each call costs its host: only where the step time without nsys is given.",
    ),
    Scenario.ALL: WithoutLoss(
        "without skew, excess wire and host time",
        "The period without skew, with the wire at its floor, and without host time, by replay.",
    ),
}


def losses(told: Collection[Scenario]) -> str:
    """The losses that these take away, as in "skew, the wire's excess and late hosts"."""
    *first, last = [row.loss for scenario, row in SCENARIOS.items() if scenario in told and row.loss is not None]
    return f"{', '.join(first)} and {last}" if first else last
