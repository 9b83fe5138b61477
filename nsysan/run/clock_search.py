"""Clocks that are off by more than a step: which ends of calls lie on one another (DEFINITIONS.md, section 6).

UTC of two hosts may differ by ms, and then the calls of one step are held against those of another. No two steps take
the same time to the ns, so that the ends of a trace's calls fall on those of another in one way only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.rows import parted
from nsysan.run.clock import MAX_CORRECTION_NS
from nsysan.run.wider_groups import TOGETHER
from nsysan.timings import stage

_I64 = npt.NDArray[np.int64]

#: Of so many calls of a trace, one after the other, each fourth is laid on those of another; of fewer nothing shows.
_SAMPLE, _EACH, _LEAST = 1_000, 4, 48
#: Ends lie together if they are so many times nearer than by UTC, and than in any other way.
_CLEARLY = 3.0
#: UTC of one host is right to within so many ns: ends that then lie within this share of a call's least duration do.
_ONE_HOST, _EXACT = 200_000, 0.03
#: Of the sample so many have to lie beside calls of the other trace.
_BESIDE = 0.5


@stage("one clock: search")
def search(calls: pl.DataFrame, offsets: list[int]) -> list[int]:
    """The traces' offsets with what their ends show beyond UTC: 0 more where that is not clear, or less than a call.

    calls: trace, rank_key, kind, barrier, communicator, begin, end, on the clock that the offsets lead to.
    """
    found = list(offsets)
    of_trace = parted(calls.filter("barrier").sort("end"), "trace")
    first = of_trace.get(0)
    if first is None:
        return found
    for trace, own in of_trace.items():
        if trace:
            found[trace] += next((by for one, other in _shared(own, first) if (by := _offset(one, other))), 0)
    return found


def _shared(own: pl.DataFrame, other: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Calls of one rank of each that may be the same: of a communicator of both, or of a kind where none is told."""
    key = "communicator" if own["communicator"].count() and other["communicator"].count() else "kind"
    both = set(own[key].drop_nulls()) & set(other[key].drop_nulls())
    counts = own.filter(pl.col(key).is_in(list(both))).group_by(key).len().sort("len", key, descending=[True, False])
    for name in counts[key].head(1):
        yield _of_one_rank(own.filter(pl.col(key) == name)), _of_one_rank(other.filter(pl.col(key) == name))


def _of_one_rank(calls: pl.DataFrame) -> pl.DataFrame:
    return calls.filter(pl.col("rank_key") == calls["rank_key"].min())


def _offset(own: pl.DataFrame, other: pl.DataFrame) -> int:
    """ns to add to the times of a trace, 0 where they lie as well by UTC or it is not clear how."""
    ends, others = own["end"].to_numpy(), other["end"].to_numpy()
    if min(len(ends), len(others)) < _LEAST:
        return 0
    middle = ends[max(0, (len(ends) - _SAMPLE) // 2) :][:_SAMPLE]
    middle = middle[:: _EACH if len(middle) == _SAMPLE else 1]
    least = float(np.median((other["end"] - other["begin"]).to_numpy()))
    pivot = middle[len(middle) // 2]
    near = others[np.abs(others - pivot) <= MAX_CORRECTION_NS]
    ways = sorted((0, *(near - pivot).tolist()), key=abs)
    tried: list[tuple[float, int]] = []
    for way in ways:
        distance, by = _laid(middle, others, int(way), least)
        # Sessions of one host begin at the same UTC but for less than this: no other way need be looked at.
        if abs(by) <= _ONE_HOST and distance <= _EXACT * least:
            return 0
        tried.append((distance, by))
    by_utc, rest = tried[0][0], sorted(tried[1:])
    if not rest:
        return 0
    apart, by = rest[0]
    other_ways = [distance for distance, way in rest if abs(way - by) > least]
    clear = apart * _CLEARLY < min([by_utc, *other_ways]) and apart <= TOGETHER * least
    return by if clear else 0


def _laid(ends: _I64, others: _I64, by: int, most: float) -> tuple[float, int]:
    """Mean distance of the ends, later by so much and then as it fits, from the nearest others; and how much later.

    None counts as further than `most`. Infinitely far where too few lie beside others.
    """
    moved = ends + by
    beside = (moved >= others[0]) & (moved <= others[-1])
    if beside.mean() < _BESIDE:
        return float("inf"), by
    shift = round(float(np.median(_nearest(moved[beside], others))))
    return float(np.minimum(np.abs(_nearest(moved[beside] + shift, others)), most).mean()), by + shift


def _nearest(ends: _I64, others: _I64) -> _I64:
    """From each end to the nearest of the others, ns."""
    after = np.clip(np.searchsorted(others, ends), 1, len(others) - 1)
    before = others[after - 1]
    nearer: _I64 = np.where(ends - before < others[after] - ends, before, others[after])
    return nearer - ends
