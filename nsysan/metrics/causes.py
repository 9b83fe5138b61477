"""Why a GPU idles, and what holds a late rank up: one row a cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nsysan.metrics.lines import Line
from nsysan.model.classes import COMMUNICATION, WorkClass


class GapCause(StrEnum):
    """The one cause of an interval in which nothing runs on a rank's GPU."""

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


@dataclass(frozen=True)
class Gap:
    """A cause of idle time in words, and its colour (of Tol's muted palette)."""

    meaning: str
    colour: str


#: In the order in which outputs list them.
GAPS = {
    GapCause.BETWEEN_STEPS: Gap("between the last work of a step and the first of the next", "#44AA99"),
    GapCause.HOST_LATE: Gap("the launch call of the next operation began after the GPU had run dry", "#882255"),
    GapCause.LAUNCH: Gap("launched in time, on the stream that ran last, and started late all the same", "#CC6677"),
    GapCause.GRAPH: Gap("between two nodes of one graph replay", "#88CCEE"),
    GapCause.DEPENDENCY: Gap("launched in time, but waited for work on another stream", "#DDCC77"),
    GapCause.SYNC: Gap("the host was waiting in a synchronise call when the GPU ran dry", "#117733"),
    GapCause.UNKNOWN: Gap(
        "the operation after it has no recorded launch call, or one on a clock that disagrees", "#999999"
    ),
}


class LateCause(StrEnum):
    """A part of a rank's lateness at a collective, since the collective before."""

    #: The end of the collective before.
    PREVIOUS = "previous"
    COMPUTE = "compute"
    #: Idle time, whatever its cause.
    HOST = "host"
    COPY = "copy"
    COMMUNICATION = "communication"
    GRAPH = "graph"


@dataclass(frozen=True)
class Lateness:
    """A cause of lateness. why: what holds the rank up, as a clause; classes: whose operations take the time."""

    why: str
    classes: tuple[WorkClass, ...] = ()


LATENESS = {
    LateCause.PREVIOUS: Lateness("it leaves the collective before late"),
    LateCause.COMPUTE: Lateness("it computes longer", (WorkClass.COMPUTE,)),
    LateCause.HOST: Lateness("its host launches late"),
    LateCause.COPY: Lateness("it copies longer", (WorkClass.COPY,)),
    LateCause.COMMUNICATION: Lateness("other communication holds it up", COMMUNICATION),
    LateCause.GRAPH: Lateness("its graph replays take longer", (WorkClass.OPAQUE,)),
}
#: Those that operations tell, in the order in which time that several claim is given away.
OF_OPERATIONS = tuple(cause for cause, row in LATENESS.items() if row.classes)


class TailCause(StrEnum):
    """What makes a step longer than the usual one."""

    HOST = "host"
    IDLE = "idle"
    COMPUTE = "compute"
    COPY = "copy"
    WIRE = "wire"
    COMMUNICATION = "communication"
    GRAPH = "graph"
    SPREAD = "spread"


@dataclass(frozen=True)
class Tail:
    """A cause of long steps in words, and the line of the ledger that it lengthens; None for what is of no line."""

    meaning: str
    line: Line | None = None


TAILS = {
    TailCause.HOST: Tail("its host launched later than usual", Line.IDLE),
    TailCause.IDLE: Tail("its GPU idled longer than usual, and nothing tells whether for its host", Line.IDLE),
    TailCause.COMPUTE: Tail("it computed longer than usual", Line.COMPUTE),
    TailCause.COPY: Tail("it copied longer than usual", Line.COPY),
    TailCause.WIRE: Tail("data took longer than usual after the last rank had arrived", Line.WIRE),
    TailCause.COMMUNICATION: Tail("other communication held it up", Line.COMM_UNSPLIT),
    TailCause.GRAPH: Tail("its graph replays took longer than usual", Line.GRAPH),
    TailCause.SPREAD: Tail("steps near the median, and what is too small or untold"),
}
#: What a part of a lateness is as a cause of a long step; the host's is told from other idle time by its gaps.
TAIL_OF = {
    LateCause.COMPUTE: TailCause.COMPUTE,
    LateCause.HOST: TailCause.IDLE,
    LateCause.COPY: TailCause.COPY,
    LateCause.COMMUNICATION: TailCause.COMMUNICATION,
    LateCause.GRAPH: TailCause.GRAPH,
}
