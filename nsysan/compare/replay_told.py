"""What a replay tells of a step at another number of ranks."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan.metrics.lines import Line
from nsysan.replay.results import Timed


@dataclass(frozen=True)
class Replayed:
    """now: as measured; periods: of the changes in their order; free: of these where no launch is late; ns.

    asked: of the last change, where hosts wait for whatever they ask after. hosts: what they need for a step of the
    first by themselves, a_launch: for one launch of it. ledger: ns of a step of the first change, which sum to its
    median period.
    """

    now: Timed
    periods: list[Timed]
    free: list[Timed]
    asked: Timed
    hosts: float
    a_launch: float
    ledger: dict[Line, float]
