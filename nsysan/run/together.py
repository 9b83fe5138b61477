"""How nearly ranks end their calls together: those of one group leave a collective at once, those of others do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

_I64 = npt.NDArray[np.int64]
_F64 = npt.NDArray[np.float64]
#: begin and end of calls of a rank, by end.
Times = tuple[_I64, _I64]

#: So many calls of a rank, one after the other, tell with whom it leaves them.
_SAMPLE = 2_000
#: Fewer of many ranks, as each is held against every other: of calls of all pairs, and of a rank in any case.
_OF_PAIRS, _LEAST_SAMPLE = 64_000_000, 250
#: Ranks of one group end a call within this share of what it takes without waiting. On 15 traces of NVLink and custom
#: all-reduces the median distance of the first from the last end was 0.02 to 0.18 of it, of an all-gather over 8 0.35.
TOGETHER = 0.4
#: Beyond any distance: calls of two ranks that do not meet.
_APART = 1e9


def sampled(calls: pl.DataFrame, ranks: Sequence[int]) -> list[Times]:
    """Of each rank a run of calls in the middle; calls: rank, begin, end."""
    by_rank = calls.select("rank", "begin", "end").partition_by("rank", as_dict=True)
    most = max(_LEAST_SAMPLE, min(_SAMPLE, _OF_PAIRS // len(ranks) ** 2))
    found = []
    for rank in ranks:
        own = by_rank[(rank,)].sort("end")
        part = own.slice(max(0, (len(own) - most) // 2), most)
        found.append((part["begin"].to_numpy(), part["end"].to_numpy()))
    return found


def distances(times: Sequence[Times]) -> _F64:
    """How far apart each two ranks end calls that overlap, over what such a call takes without waiting: medians."""
    begins, ends = (np.concatenate([own[which] for own in times]) for which in (0, 1))
    first = np.cumsum([0, *(len(end) for _, end in times)])
    # An end by its place among all ends, and those of a rank after those of the one before: a search finds it in all.
    places = np.unique(ends, return_inverse=True)[1].reshape(-1).astype(np.int64)
    of_rank = np.repeat(np.arange(len(times)), np.diff(first)) * (len(ends) + 1)
    found = np.zeros((len(times), len(times)))
    for i, (begin, end) in enumerate(times):
        wanted = np.arange(len(times))[:, None] * (len(ends) + 1) + places[first[i] : first[i + 1]]
        at = np.searchsorted(of_rank + places, wanted)
        after = np.clip(at, first[:-1, None], first[1:, None] - 1)
        before = np.maximum(after - 1, first[:-1, None])
        nearer = np.where(np.abs(ends[after] - end) < np.abs(ends[before] - end), after, before)
        shorter = np.minimum(end - begin, ends[nearer] - begins[nearer])
        apart = np.abs(ends[nearer] - end) / np.maximum(shorter, 1)
        # The other's sample may begin later and end sooner.
        inside = (end >= begins[first[:-1], None]) & (begin <= ends[first[1:] - 1, None])
        found[i] = _medians(np.where(inside, apart, np.inf), inside.sum(axis=1))
    found = np.maximum(found, found.T)
    np.fill_diagonal(found, 0.0)
    return found


def _medians(values: _F64, count: _I64) -> _F64:
    """Of each row the median of as many values as count says, the smallest; _APART where there is none."""
    ordered, row = np.sort(values, axis=1), np.arange(len(values))
    middle = (
        ordered[row, np.maximum(count - 1, 0) // 2] + ordered[row, np.minimum(count // 2, values.shape[1] - 1)]
    ) / 2
    return np.where(count > 0, middle, _APART)
