"""What makes a step longer than the usual one: the causes, the ledger's line of each, and their words."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from nsysan.metrics.causes import LateCause
from nsysan.metrics.lines import Line


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


class Tail(NamedTuple):
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
    TailCause.SPREAD: Tail("steps near the median, and what is too small to be told"),
}
#: What a part of a lateness is as a cause of a long step; the host's is told from other idle time by its gaps.
TAIL_OF = {
    LateCause.COMPUTE: TailCause.COMPUTE,
    LateCause.HOST: TailCause.IDLE,
    LateCause.COPY: TailCause.COPY,
    LateCause.COMMUNICATION: TailCause.COMMUNICATION,
    LateCause.GRAPH: TailCause.GRAPH,
}
