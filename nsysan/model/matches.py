"""Whether a collective call found its counterparts on the other ranks."""

from __future__ import annotations

from enum import StrEnum


class Match(StrEnum):
    """The verdict on a call; only matched ones are split into waiting and what comes after."""

    MATCHED = "matched"
    #: Some rank lacks the call, it is a send or receive among more than two, or its group is not known.
    UNMATCHED = "unmatched"
    #: One rank ended before another had begun, which no such collective can.
    REJECTED = "rejected"
    #: Its communicator has one rank in the trace.
    SINGLE = "single"
    #: Its communicator has ranks that no trace shows, any of which may have come last.
    PARTIAL = "partial"


#: Halves of a message, and of an exchange that is two kernels of one name.
SENDS, RECEIVES = "send", "receive"
