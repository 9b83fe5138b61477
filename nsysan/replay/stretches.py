"""Which steps are replayed where all are too many: stretches that stand for every kind of them (METRICS section 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np

#: A stretch has steps in which hosts and GPUs come to their pace, those that are counted, and one to end the last.
LEAD_IN = 2
#: So many are counted: at the least, where several kinds are to be shown, and at the most.
_LEAST, _SOME, _MOST = 1, 3, 8
#: A kind is seen where the median of its steps there is no further from that of all of them.
_LIKE = 0.05
#: So many places are looked at.
_PLACES = 2_000
#: Gains that are no further apart are alike.
_ALIKE = 1e-6


class Steps(NamedTuple):
    """Consecutive steps, in order: whether each is steady, its kind and its period (ns)."""

    steady: Sequence[bool]
    kinds: Sequence[str]
    periods: Sequence[float]


class _Usual(NamedTuple):
    """Of a kind: its share of the time of all steady steps, and the median of its periods."""

    share: float
    period: float


def stretches_of(steps: Steps, room: int, most: int) -> list[tuple[int, int]]:
    """The first step of each stretch and the one after its last, in order.

    room: how many steps all may have together; or `most`, where they have several kinds to show, or one would be short.
    One after the other is taken that shows most: kinds by their time, less of one for every time that it was seen, at
    its usual period. Of those that show as much it is the one nearest to where they are spread evenly.
    """
    usual = _usual(steps)
    least, some, longest = (LEAD_IN + counted + 1 for counted in (_LEAST, _SOME, _MOST))
    room = max(room, min(most, max(longest, len(usual) * some)))
    length = min(room, longest, room // min(len(usual), max(1, room // least)), len(steps.steady))
    count, free = room // length, len(steps.steady) - length
    places = np.unique(np.linspace(0, free, min(free + 1, _PLACES)).round().astype(np.int64))
    shown = np.array([_shown(steps, usual, at, at + length) for at in places.tolist()])
    # Every two steps show half of what is missing.
    new, missing = 1 - 2.0 ** (-shown / 2), np.array([one.share for one in usual.values()])
    open_to = np.ones(len(places), dtype=bool)
    found = []
    for number in range(count):
        if not open_to.any():
            break
        gains = np.where(open_to, new @ missing, -1.0)
        best = np.flatnonzero(gains >= gains.max() - _ALIKE)
        at = int(best[np.argmin(np.abs(places[best] - free * (number + 0.5) / count))])
        found.append(int(places[at]))
        missing = missing * (1 - new[at])
        open_to &= np.abs(places - places[at]) >= length
    return [(at, at + length) for at in sorted(found)]


def _usual(steps: Steps) -> dict[str, _Usual]:
    own: dict[str, list[float]] = {}
    for steady, kind, period in zip(*steps, strict=True):
        if steady:
            own.setdefault(kind, []).append(period)
    medians = {kind: median(periods) for kind, periods in own.items()}
    whole = sum(medians[kind] * len(periods) for kind, periods in own.items()) or 1.0
    return {kind: _Usual(medians[kind] * len(periods) / whole, medians[kind]) for kind, periods in own.items()}


def _shown(steps: Steps, usual: Mapping[str, _Usual], begin: int, end: int) -> list[float]:
    """Of each kind how many steps of a stretch are counted; less where they are not as they usually are."""
    own: dict[str, list[float]] = {kind: [] for kind in usual}
    for at in range(begin + LEAD_IN, end - 1):
        if steps.steady[at]:
            own[steps.kinds[at]].append(steps.periods[at])
    return [_alike(periods, usual[kind].period) for kind, periods in own.items()]


def _alike(periods: Sequence[float], usual: float) -> float:
    if not periods or not usual:
        return 0.0
    off = abs(median(periods) / usual - 1)
    return len(periods) * (1.0 if off <= _LIKE else _LIKE / off)
