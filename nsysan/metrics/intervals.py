"""Interval algebra on integer nanoseconds: how long each combination of classes was active in each window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


def atoms(starts: I64, ends: I64, classes: I64, windows: tuple[I64, I64], class_count: int) -> I64:
    """Time for which exactly each set of classes is active, per window.

    starts, ends: half-open intervals [start, end) in ns, in any order, overlapping at will; an interval that
      ends before it starts counts as empty. classes: 0 .. class_count - 1, one per interval.
    windows: begins and ends of disjoint windows, ascending.
    Returns int64 of shape (windows, 2 ** class_count): entry [w, mask] is the ns of window w in which class c
    is active exactly for the bits c of mask. Every row sums to its window's length, exactly.
    """
    window_begins, window_ends = windows
    times, masks = sweep(starts, ends, classes, np.concatenate((window_begins, window_ends)), class_count)
    segments = np.diff(times)
    # Window bounds are among the times, so no segment straddles one.
    window = np.searchsorted(window_begins, times[:-1], side="right") - 1
    inside = (window >= 0) & (segments > 0)
    inside[inside] &= times[:-1][inside] < window_ends[window[inside]]
    table = np.zeros((len(window_begins), 1 << class_count), dtype=np.int64)
    np.add.at(table, (window[inside], masks[inside]), segments[inside])
    return table


def sweep(starts: I64, ends: I64, classes: I64, cuts: I64, class_count: int) -> tuple[I64, I64]:
    """times, masks: from times[i] to times[i + 1] class c is active exactly for the bits c of masks[i].

    starts, ends, classes: as for `atoms`. cuts: further times to be among `times`, which ascend and may repeat.
    """
    lengths = ends - starts
    starts, ends, classes = starts[lengths > 0], ends[lengths > 0], classes[lengths > 0]
    times = np.concatenate((starts, ends, cuts))
    order = np.argsort(times, kind="stable")
    times = times[order]
    masks = np.zeros(max(len(times) - 1, 0), dtype=np.int64)
    n = len(starts)
    for cls in range(class_count):
        steps = np.zeros(len(times), dtype=np.int64)
        own = np.flatnonzero(classes == cls)
        steps[own] = 1
        steps[n + own] = -1
        active = np.cumsum(steps[order])[:-1] > 0
        masks |= active.astype(np.int64) << cls
    return times, masks


def line_of_mask(class_count: int) -> I64:
    """For each mask the class that owns it, the lowest set bit: classes are numbered by precedence.

    Entry 0 (nothing active) is class_count.
    """
    masks = np.arange(1 << class_count)
    lowest = np.full(1 << class_count, class_count, dtype=np.int64)
    for cls in reversed(range(class_count)):
        lowest[(masks >> cls) & 1 == 1] = cls
    return lowest
