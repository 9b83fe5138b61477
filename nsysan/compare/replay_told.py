"""What is changed of a step for another number of ranks, and what a replay tells of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsysan.metrics.lines import Line
from nsysan.replay.results import Timed

#: Of a call: kind, and bytes over all ranks; None for an unknown size.
Key = tuple[str, int | None]


@dataclass(frozen=True)
class Change:
    """What is other than measured: factors of the times of each place, ns that calls take longer, and ns that come
    behind each place, of calls that there are none of."""

    factors: npt.NDArray[np.float64]
    longer: Mapping[Key, float]
    behind: npt.NDArray[np.float64] | None = None


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
