"""How far one aspect of a figure can be trusted: the aspects, and a row of the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How far figures that rest on an aspect can be trusted."""

    OK = "ok"
    ESTIMATED = "estimated"
    NOT_MEASURABLE = "not_measurable"

    @property
    def words(self) -> str:
        """The same in a sentence."""
        return self.replace("_", " ")


class Aspect(StrEnum):
    """What a row is of; each aspect has one row at most."""

    REPORTS = "reports"
    STEPS = "steps"
    STEADY_PERIOD = "steady_period"
    COVERAGE = "coverage"
    RANK_NUMBERS = "rank_numbers"
    MISSING_RANKS = "missing_ranks"
    GROUPS = "groups"
    CLOCK = "clock"
    RANK_CLOCKS = "rank_clocks"
    GRAPH_CONTENTS = "graph_contents"
    WAIT_WIRE = "wait_wire"
    MESSAGE_BYTES = "message_bytes"
    EVENTS = "events"
    HOST_TIME = "host_time"
    PDL = "pdl"
    UNKNOWN_COLLECTIVES = "unknown_collectives"
    STRAGGLER = "straggler"
    GAPS = "gaps"
    WHAT_IF = "what_if"
    # What the export lacks or holds in vain.
    LAUNCHES = "launches"
    CPU_GPU_CLOCK = "cpu_gpu_clock"
    UNUSABLE_ROWS = "unusable_rows"
    PROCESSES = "processes"
    DEVICES = "devices"
    STREAMS = "streams"
    GRAPH_NODES = "graph_nodes"
    KERNEL_NAMES = "kernel_names"
    RANGES = "ranges"
    GPUS = "gpus"
    VERSIONS = "versions"
    # Speeds, the link, sampled counters.
    WIRE_SPEED = "wire_speed"
    LINK = "link"
    COUNTERS = "counters"
    NCCL_LOG = "nccl_log"
    LIGHT_SPEED = "light_speed"

    @property
    def words(self) -> str:
        """Its name in a sentence."""
        return self.replace("_", " ")


#: Without these the verdict is another, or none.
UNDER_THE_VERDICT = frozenset(
    {
        Aspect.STEPS,
        Aspect.STEADY_PERIOD,
        Aspect.COVERAGE,
        Aspect.MISSING_RANKS,
        Aspect.GROUPS,
        Aspect.CLOCK,
        Aspect.GRAPH_CONTENTS,
        Aspect.WAIT_WIRE,
        Aspect.EVENTS,
        Aspect.HOST_TIME,
        Aspect.STRAGGLER,
        Aspect.GAPS,
        Aspect.WHAT_IF,
    }
)


@dataclass(frozen=True)
class Quality:
    """Status of one aspect of the evidence; the reason is a sentence for people.

    limits: what of the reason limits it, where it says more; "" where it is all of it.
    """

    id: Aspect
    status: Status
    reason: str
    limits: str = ""
