"""Interval algebra on integer nanoseconds: how long each combination of classes was active in each window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.grouped import sums

I64 = npt.NDArray[np.int64]
#: More intervals than this are looked at in parts.
_AT_ONCE = 1 << 19
_SMALLER = 0.75


def atoms(
    starts: I64, ends: I64, classes: npt.NDArray[np.integer[Any]], windows: tuple[I64, I64], class_count: int
) -> I64:
    """Time for which exactly each set of classes is active, per window.

    starts, ends: half-open intervals [start, end) in ns, in any order, overlapping at will; an interval that
      ends before it starts counts as empty. classes: 0 .. class_count - 1, one per interval.
    windows: begins and ends of disjoint windows, ascending.
    Returns int64 of shape (windows, 2 ** class_count): entry [w, mask] is the ns of window w in which class c
    is active exactly for the bits c of mask. Every row sums to its window's length, exactly.
    """
    window_begins, window_ends = windows
    count, combinations = len(window_begins), 1 << class_count
    if len(starts) > _AT_ONCE and count > 1:
        halves = slice(0, count // 2), slice(count // 2, count)
        parts = [(half, _near(starts, ends, window_begins[half], window_ends[half])) for half in halves]
        # Intervals that reach into all windows would be looked at in each part.
        if all(near.sum() <= _SMALLER * len(starts) for _, near in parts):
            found = [
                atoms(starts[near], ends[near], classes[near], (window_begins[half], window_ends[half]), class_count)
                for half, near in parts
            ]
            return np.concatenate(found)
    times, masks = sweep(starts, ends, classes, np.concatenate((window_begins, window_ends)), class_count)
    if not count:
        return np.zeros((0, combinations), dtype=np.int64)
    # Window bounds are among the times, so no segment straddles one; what lies between windows is in a row of its own.
    first = np.searchsorted(times, np.stack((window_begins, window_ends), axis=1).ravel())
    owner = np.full(2 * count + 1, count, dtype=np.int64)
    owner[1:-1:2] = np.arange(count)
    bounds = np.concatenate(([0], np.maximum.accumulate(np.minimum(first, len(masks))), [len(masks)]))
    place = np.repeat(owner * combinations, np.diff(bounds)) + masks
    return sums(place, np.diff(times), (count + 1) * combinations).reshape(count + 1, combinations)[:count]


def _near(starts: I64, ends: I64, window_begins: I64, window_ends: I64) -> npt.NDArray[np.bool_]:
    """Which intervals are not all before or all behind the windows."""
    return np.asarray((ends > window_begins.min()) & (starts < window_ends.max()))


def sweep(
    starts: I64, ends: I64, classes: npt.NDArray[np.integer[Any]], cuts: I64, class_count: int
) -> tuple[I64, I64]:
    """times, masks: from times[i] to times[i + 1] class c is active exactly for the bits c of masks[i].

    starts, ends, classes: as for `atoms`. cuts: further times to be among `times`, which ascend and may repeat.
    """
    lasting = ends > starts
    if not lasting.all():
        starts, ends, classes = starts[lasting], ends[lasting], classes[lasting]
    times = np.concatenate((starts, ends, cuts))
    order = np.argsort(times, kind="stable")
    times = times[order]
    masks: npt.NDArray[Any] = np.zeros(max(len(times) - 1, 0), dtype=np.uint8 if class_count <= 8 else np.int64)
    n = len(starts)
    for cls in range(class_count):
        own = classes == cls
        if not own.any():
            continue
        steps = np.zeros(len(times), dtype=np.int8)
        steps[:n] = own
        steps[n : 2 * n] -= own
        active = np.cumsum(steps[order], dtype=np.int32)[:-1] > 0
        masks |= active.astype(masks.dtype) << masks.dtype.type(cls)
    return times, masks.astype(np.int64)


def line_of_mask(class_count: int) -> I64:
    """For each mask the class that owns it, the lowest set bit: classes are numbered by precedence.

    Entry 0 (nothing active) is class_count.
    """
    masks = np.arange(1 << class_count)
    lowest = np.full(1 << class_count, class_count, dtype=np.int64)
    for cls in reversed(range(class_count)):
        lowest[(masks >> cls) & 1 == 1] = cls
    return lowest


class Covered(NamedTuple):
    """Time that any of some intervals covers. begins, ends: of what they are together, disjoint and ascending, ns."""

    begins: I64
    ends: I64

    @classmethod
    def by(cls, begins: I64, ends: I64) -> Covered:
        """The union of half-open intervals, in any order and overlapping at will."""
        ends = np.maximum(ends, begins)
        if (begins[1:] < begins[:-1]).any():
            order = np.argsort(begins, kind="stable")
            begins, ends = begins[order], ends[order]
        ends = np.maximum.accumulate(ends)
        first = np.append(True, begins[1:] > ends[:-1])[: len(begins)]
        last = np.append(first[1:], True)[: len(begins)]
        return cls(begins[first], ends[last])

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Covered:
        """The union of the intervals of a frame: begin, end."""
        return cls.by(frame["begin"].to_numpy(), frame["end"].to_numpy())

    @classmethod
    def all_of(cls, parts: Sequence[Covered]) -> Covered:
        """What any of them covers."""
        return cls.by(*cls.joined(parts))

    @staticmethod
    def joined(parts: Sequence[Covered]) -> tuple[I64, I64]:
        """The begins and the ends of all, one behind the other."""
        none = np.zeros(0, dtype=np.int64)
        return np.concatenate([none, *(p.begins for p in parts)]), np.concatenate([none, *(p.ends for p in parts)])

    @property
    def total(self) -> int:
        """The ns that are covered."""
        return int((self.ends - self.begins).sum())

    def without(self, other: Covered) -> Covered:
        """The time that these cover and the other does not."""
        times = np.unique(np.concatenate((self.begins, self.ends, other.begins, other.ends)))
        since, until = times[:-1], times[1:]
        kept = (self.between(since, until) > 0) & (other.between(since, until) == 0)
        return Covered.by(since[kept], until[kept])

    def between(self, since: I64, until: I64) -> I64:
        """The ns covered between each two times."""
        return self._before(until) - self._before(since)

    def _before(self, times: I64) -> I64:
        lengths = np.concatenate(([0], np.cumsum(self.ends - self.begins)))
        place = np.searchsorted(self.begins, times, side="right")
        if not len(self.begins):
            return np.zeros(len(times), dtype=np.int64)
        beyond = np.maximum(self.ends[place - 1] - times, 0)
        return np.asarray(np.where(place > 0, lengths[place] - beyond, 0))
