"""Why a GPU idles, and what holds a late rank up: one row a cause."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class GapCause(StrEnum):
    """The one cause of an interval in which nothing runs on a rank's GPU."""

    STAGE = "stage"
    BETWEEN_STEPS = "between_steps"
    HOST_LATE = "host_late"
    LAUNCH = "launch"
    GRAPH = "graph"
    DEPENDENCY = "dependency"
    SYNC = "sync"
    UNKNOWN = "unknown"

    @property
    def words(self) -> str:
        """Its name in a sentence."""
        return self.replace("_", " ")


class Gap(NamedTuple):
    """A cause of idle time in words, and its colour: a host's, launches' and synchronise calls' wherever these are
    drawn, else of Tol's muted palette.
    """

    meaning: str
    colour: str


#: In the order in which outputs list them.
GAPS = {
    GapCause.STAGE: Gap("waited for another stage of the pipeline, which worked meanwhile", "#332288"),
    GapCause.BETWEEN_STEPS: Gap("between the last work of a step and the first of the next", "#44AA99"),
    GapCause.HOST_LATE: Gap("the launch call of the next operation began after the GPU had run dry", "#9C89B8"),
    GapCause.LAUNCH: Gap("launched in time, on the stream that ran last, and started late all the same", "#7F8790"),
    GapCause.GRAPH: Gap("between two nodes of one graph replay", "#88CCEE"),
    GapCause.DEPENDENCY: Gap("launched in time, but waited for work on another stream", "#DDCC77"),
    GapCause.SYNC: Gap("the host was waiting in a synchronise call when the GPU ran dry", "#117733"),
    GapCause.UNKNOWN: Gap(
        "the operation after it has no recorded launch call, or one on a clock that disagrees", "#CC6677"
    ),
}


class LateCause(StrEnum):
    """A part of a rank's lateness at a collective, since the collective before.

    Those that operations tell are in the order in which time that several claim is given away.
    """

    #: The end of the collective before.
    PREVIOUS = "previous"
    COMPUTE = "compute"
    #: Idle time, whatever its cause.
    HOST = "host"
    COPY = "copy"
    COMMUNICATION = "communication"
    GRAPH = "graph"


#: What holds the rank up, as a clause; which operations take the time is told by the ledger's lines.
WHY_LATE = {
    LateCause.PREVIOUS: "it leaves the collective before late",
    LateCause.COMPUTE: "it computes longer",
    LateCause.HOST: "its host launches late",
    LateCause.COPY: "it copies longer",
    LateCause.COMMUNICATION: "other communication holds it up",
    LateCause.GRAPH: "its graph replays take longer",
}
#: The same of several ranks.
WHY_LATE_TOGETHER = {
    LateCause.PREVIOUS: "they leave the collective before late",
    LateCause.COMPUTE: "they compute longer",
    LateCause.HOST: "their hosts launch late",
    LateCause.COPY: "they copy longer",
    LateCause.COMMUNICATION: "other communication holds them up",
    LateCause.GRAPH: "their graph replays take longer",
}
