"""Which findings there are, how severe one can be, and what its saving is."""

from __future__ import annotations

from enum import StrEnum


class FindingId(StrEnum):
    """What a finding says, by the name that outlives its wording; FINDERS tells who draws it."""

    GRAPH_LEVEL_TRACE = "graph_level_trace"
    MISSING_RANKS = "missing_ranks"
    LOST_EVENTS = "lost_events"
    UNKNOWN_COLLECTIVES = "unknown_collectives"
    COUNT_DIFFERS = "count_differs"
    BYTES_DIFFER = "bytes_differ"
    PREFILL_MIXED_IN = "prefill_mixed_in"
    OTHER_STEPS = "other_steps"
    WRONG_WIRE = "wrong_wire"
    STRAGGLER = "straggler"
    UNEVEN_SPLIT = "uneven_split"
    LATE_HOST = "late_host"
    GRAPHS_OFF = "graphs_off"
    LATE_BETWEEN_STEPS = "late_between_steps"
    PIECEWISE_GRAPHS = "piecewise_graphs"
    GRAPH_GAPS = "graph_gaps"
    PIPELINE_BUBBLE = "pipeline_bubble"
    UNEVEN_STAGES = "uneven_stages"
    NO_OVERLAP = "no_overlap"
    NCCL_FOR_SMALL = "nccl_for_small"
    TP_TOO_WIDE = "tp_too_wide"


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

    #: From the what-if.
    CLOSED_FORM = "closed form"
    ESTIMATE = "estimate"
    #: All of the loss, of which a fix takes a part.
    AT_MOST = "at most"
