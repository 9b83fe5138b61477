"""The places of two steps side by side: the longest sequence of the same work that both have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

#: So many pairs of places are looked at; longer steps are not aligned.
MOST_PAIRS = 40_000_000


def aligned(one: Sequence[str], other: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """Of each place of one the place of the other, -1 where that has none; None where the steps are too long.

    The longest common subsequence, row by row over the other's places.
    """
    if len(one) * len(other) > MOST_PAIRS:
        return None
    codes = {kind: code for code, kind in enumerate(dict.fromkeys((*one, *other)))}
    a, b = (np.array([codes[kind] for kind in side], dtype=np.int64) for side in (one, other))
    length = np.zeros((len(a) + 1, len(b) + 1), dtype=np.int32)
    for row in range(len(a)):
        here = np.maximum(length[row, 1:], length[row, :-1] + (b == a[row]))
        length[row + 1, 1:] = np.maximum.accumulate(here)
    found = np.full(len(a), -1, dtype=np.int64)
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1] and length[i, j] == length[i - 1, j - 1] + 1:
            i, j = i - 1, j - 1
            found[i] = j
        elif length[i - 1, j] >= length[i, j - 1]:
            i -= 1
        else:
            j -= 1
    return found
