"""Speed of the collectives: the floor in this trace, and algbw and busbw as nccl-tests defines them (GB = 1e9).

From the wire alone: residency holds waiting for the last rank, which is no speed of a link. DEFINITIONS.md, section 9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

#: busbw is shown against the link's peak for messages from this size on; below it latency counts.
PEAK_FROM_BYTES = 1_000_000

#: Times the message's size that is moved in all, per kind: these calls pass the size of one rank's part.
_PER_RANK = ("all_gather", "reduce_scatter", "all_to_all")
_FACTOR: dict[str, Callable[[int], float]] = {
    "all_reduce": lambda n: 2 * (n - 1) / n,
    "all_gather": lambda n: (n - 1) / n,
    "reduce_scatter": lambda n: (n - 1) / n,
    "all_to_all": lambda n: (n - 1) / n,
    "broadcast": lambda _: 1.0,
    "reduce": lambda _: 1.0,
    "send_recv": lambda _: 1.0,
}


class Speed(NamedTuple):
    """GB/s of one call; busbw is what a link in use has to carry, whatever the number of ranks."""

    algbw: float
    busbw: float


def total_bytes(kind: str, message_bytes: int, ranks: int) -> int:
    """S of nccl-tests: the message, or all ranks' parts of it where a call passes one rank's."""
    return message_bytes * ranks if kind in _PER_RANK else message_bytes


def speed(kind: str | None, message_bytes: int | None, ranks: int, wire: float | None) -> Speed | None:
    """Speed of a call that took `wire` ns after its last arrival; None where kind, size or time is not known."""
    if kind is None or kind not in _FACTOR or not message_bytes or not wire or ranks < 2:
        return None
    algbw = total_bytes(kind, message_bytes, ranks) / wire
    return Speed(algbw, algbw * _FACTOR[kind](ranks))


def peak_share(found: Speed | None, message_bytes: int | None, peak_gbps: float | None) -> float | None:
    """busbw as a share of the link's peak, for messages that are large enough to be held to it."""
    if found is None or not peak_gbps or (message_bytes or 0) < PEAK_FROM_BYTES:
        return None
    return found.busbw / peak_gbps
