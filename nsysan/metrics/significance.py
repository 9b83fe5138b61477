"""Whether two sets of steps differ by more than chance: a rank test, and a correction for asking often."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_F64 = npt.NDArray[np.float64]


def mann_whitney(first: _F64, second: _F64) -> float:
    """Two-sided probability that two samples of one distribution lie so far apart, by their ranks.

    By the normal approximation with corrections for ties and continuity, so it draws no random numbers; ranks,
    because one slow step must not decide. 1.0 where a sample is empty or all values are equal.
    """
    n, m = len(first), len(second)
    values, places, counts = np.unique(np.concatenate((first, second)), return_inverse=True, return_counts=True)
    if n == 0 or m == 0 or len(values) == 1:
        return 1.0
    middle_ranks = np.cumsum(counts) - (counts - 1) / 2
    statistic = float(middle_ranks[places[:n]].sum()) - n * (n + 1) / 2
    total = n + m
    ties = float((counts.astype(np.float64) ** 3 - counts).sum()) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - ties)
    distance = max(abs(statistic - n * m / 2) - 0.5, 0.0)
    return math.erfc(distance / math.sqrt(2 * variance))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Probabilities corrected for being asked together (Holm 1979): of many tests some succeed by chance."""
    count, reached = len(probabilities), 0.0
    corrected = [1.0] * count
    for place, index in enumerate(sorted(range(count), key=lambda i: probabilities[i])):
        reached = max(reached, min((count - place) * probabilities[index], 1.0))
        corrected[index] = reached
    return corrected
