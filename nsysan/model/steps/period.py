"""The repeating period of a sequence of symbols, found without knowing what they mean (DEFINITIONS.md, section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: A period must repeat at least so often to be called one.
MIN_REPEATS = 3
_MAX_CANDIDATES = 256
#: A gap that parts steps is this many times the longest gap within them ...
_STANDS_OUT = 3.0
#: ... of which less than this counts as this: so short a gap is the hardware's.
_LEAST_GAP_NS = 1_000


@dataclass(frozen=True)
class Repetition:
    """`count` copies of the same `length` symbols, one after the other, from index `first` on."""

    first: int
    length: int
    count: int


def find_repetition(symbols: npt.NDArray[np.int64]) -> Repetition | None:
    """The shortest period whose longest unbroken run covers most of the sequence, or None.

    Layers repeat within steps, so a short period covers a step at most; the step's own period covers the run.
    """
    best = Repetition(0, 0, 0)
    for length in _candidates(symbols):
        first, run = _longest_run(symbols[length:] == symbols[:-length])
        count = (run + length) // length
        # A longer period must win by more than its own rounding: multiples of the right one cover as much.
        if count >= MIN_REPEATS and count * length > best.count * best.length + length:
            best = Repetition(first, int(length), int(count))
    return best if best.count else None


def step_marks(gaps: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """Where steps begin that are several repetitions long and parted by nothing but a larger gap; empty if none are.

    gaps: time before each symbol of a repetition, ns, length * count of them. The larger gaps have to be one
    multiple of `length` apart throughout, from the first symbols to the last.
    """
    none = np.empty(0, dtype=np.int64)
    within = np.maximum(gaps, 0)
    within[:1] = 0
    most = len(gaps) // (2 * length)
    if most < MIN_REPEATS:
        return none
    ordered = np.sort(within)[::-1]
    larger, next_ones = ordered[MIN_REPEATS - 1 : most], ordered[MIN_REPEATS : most + 1]
    ratios = larger / np.maximum(next_ones, _LEAST_GAP_NS)
    cut = int(np.argmax(ratios))
    if ratios[cut] < _STANDS_OUT:
        return none
    marks = np.flatnonzero(within >= larger[cut])
    apart = int(marks[1] - marks[0])
    even = bool((np.diff(marks) == apart).all()) and apart >= 2 * length and apart % length == 0
    throughout = marks[0] <= apart and len(gaps) - marks[-1] <= apart
    if not (even and throughout):
        return none
    return np.asarray(np.concatenate(([0], marks)) if marks[0] == apart else marks, dtype=np.int64)


def _candidates(symbols: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Distances between neighbouring equal symbols, most frequent symbol distances first kept, ascending."""
    if len(symbols) < MIN_REPEATS:
        return np.empty(0, dtype=np.int64)
    order = np.argsort(symbols, kind="stable")
    same = symbols[order][1:] == symbols[order][:-1]
    distances, counts = np.unique(np.diff(order)[same], return_counts=True)
    kept = distances[np.argsort(-counts, kind="stable")[:_MAX_CANDIDATES]]
    return np.sort(kept[kept * MIN_REPEATS <= len(symbols)])


def _longest_run(equal: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Start and length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], equal, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return 0, 0
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest] - starts[longest])
