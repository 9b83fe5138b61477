"""Calls of a communicator around those that make most calls of their kind: replicas that meet once a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

_I64 = npt.NDArray[np.int64]
_F64 = npt.NDArray[np.float64]

#: So many calls of a rank, one after the other, tell with whom it leaves them.
_SAMPLE = 2_000
#: Fewer of many ranks, as each is held against every other: of calls of all pairs, and of a rank in any case.
_OF_PAIRS, _LEAST_SAMPLE = 64_000_000, 250
#: Ranks of one group end a call within this share of what it takes without waiting. On 15 traces of NVLink and custom
#: all-reduces the median distance of the first from the last end was 0.02 to 0.18 of it, of an all-gather over 8 0.35.
TOGETHER = 0.4
#: Replicas that were together may end the next calls of their own nearly so: ranks of one call end no further apart
#: than so many times what those of the narrower communicator do, and so much of what the call takes.
_TIMES, _BESIDE = 2.0, 0.03
#: With more calls of a kind a step no place is looked at by itself.
_MOST_PLACES = 512
#: Beyond any distance: calls of two ranks that do not meet.
_APART = 1e9


def wider(
    calls: pl.DataFrame, known: Sequence[tuple[tuple[int, ...], int]]
) -> list[tuple[pl.DataFrame, tuple[int, ...], int]]:
    """Calls of one kind at those places of the step where the ranks of a wider communicator leave them together, while
    elsewhere those of narrower ones do; with its ranks and size.

    calls: rank, member (of which window, null of none), begin, end. known: ranks and sizes of the communicators that
    the traces saw being made.
    """
    found: list[tuple[pl.DataFrame, tuple[int, ...], int]] = []
    ranks = set(calls["rank"].unique())
    for members, size in sorted(known, key=lambda one: (-len(one[0]), one[0])):
        inner = [set(own) for own, _ in known if 1 < len(own) < len(members) and set(own) < set(members)]
        beside = next((own for own in inner if members[0] in own), None)
        if beside is None or not set(members) <= ranks or set().union(*inner) != set(members):
            continue
        numbered = _numbered(calls.filter(pl.col("rank").is_in(members)), len(members))
        places = numbered.partition_by("nth", maintain_order=True)
        met = [own for own in places if _meet(own, members, beside)]
        if 0 < len(met) < len(places):
            at = pl.concat(met)["nth"].unique()
            found.append((numbered.filter(pl.col("nth").is_in(at.implode())), members, size))
    return found


def _numbered(calls: pl.DataFrame, ranks: int) -> pl.DataFrame:
    """The calls with their number in the step, of steps that have as many as most; none where ranks differ in that."""
    key = ("rank", "member")
    numbered = calls.drop_nulls("member").with_columns(nth=pl.int_range(pl.len()).over(key, order_by="begin"))
    counts = numbered.group_by(key).agg(n=pl.len())
    usual = counts.group_by("rank").agg(pl.col("n").mode().max())
    if len(usual) < ranks or usual["n"].n_unique() != 1 or usual["n"][0] > _MOST_PLACES:
        return numbered[:0]
    return numbered.join(counts.filter(pl.col("n") == usual["n"][0]), on=key, how="semi", maintain_order="left")


def _meet(calls: pl.DataFrame, members: tuple[int, ...], beside: set[int]) -> bool:
    """Whether the first of these ranks ends calls of one place with all others as it does with those beside it."""
    times = {
        int(str(rank)): (own["begin"].to_numpy(), own["end"].to_numpy())
        for (rank,), own in calls.sort("end").partition_by("rank", as_dict=True).items()
    }
    first, *rest = members
    if times.keys() != set(members):
        return False
    distance = {other: max(apart(times[first], times[other]), apart(times[other], times[first])) for other in rest}
    within = max(distance[other] for other in rest if other in beside)
    across = max(distance[other] for other in rest if other not in beside)
    return across <= min(TOGETHER, _TIMES * within + _BESIDE)


def distances(calls: pl.DataFrame, ranks: Sequence[int]) -> _F64:
    """How far apart each two ranks end calls that overlap, over what such a call takes without waiting: medians.

    As `apart` has it of two, of all at once: of hundreds of ranks there are tens of thousands of pairs.
    """
    by_rank = calls.select("rank", "begin", "end").partition_by("rank", as_dict=True)
    most = max(_LEAST_SAMPLE, min(_SAMPLE, _OF_PAIRS // len(ranks) ** 2))
    times = [_sampled(by_rank[(rank,)].sort("end"), most) for rank in ranks]
    begins, ends = (np.concatenate([own[which] for own in times]) for which in (0, 1))
    first = np.cumsum([0, *(len(end) for _, end in times)])
    # An end by its place among all ends, and those of a rank after those of the one before: a search finds it in all.
    places = np.unique(ends, return_inverse=True)[1].reshape(-1).astype(np.int64)
    of_rank = np.repeat(np.arange(len(ranks)), np.diff(first)) * (len(ends) + 1)
    found = np.zeros((len(ranks), len(ranks)))
    for i, (begin, end) in enumerate(times):
        wanted = np.arange(len(ranks))[:, None] * (len(ends) + 1) + places[first[i] : first[i + 1]]
        at = np.searchsorted(of_rank + places, wanted)
        after = np.clip(at, first[:-1, None], first[1:, None] - 1)
        before = np.maximum(after - 1, first[:-1, None])
        nearer = np.where(np.abs(ends[after] - end) < np.abs(ends[before] - end), after, before)
        shorter = np.minimum(end - begin, ends[nearer] - begins[nearer])
        share = np.abs(ends[nearer] - end) / np.maximum(shorter, 1)
        # The other's sample may begin later and end sooner.
        inside = (end >= begins[first[:-1], None]) & (begin <= ends[first[1:] - 1, None])
        found[i] = _medians(np.where(inside, share, np.inf), inside.sum(axis=1))
    found = np.maximum(found, found.T)
    np.fill_diagonal(found, 0.0)
    return found


def _medians(values: _F64, count: _I64) -> _F64:
    """Of each row the median of as many values as count says, the smallest; _APART where there is none."""
    ordered, row = np.sort(values, axis=1), np.arange(len(values))
    low = ordered[row, np.maximum(count - 1, 0) // 2]
    high = ordered[row, np.minimum(count // 2, values.shape[1] - 1)]
    return np.where(count > 0, (low + high) / 2, _APART)


def _sampled(own: pl.DataFrame, most: int) -> tuple[_I64, _I64]:
    """begin, end of a run of calls in the middle."""
    part = own.slice(max(0, (len(own) - most) // 2), most)
    return part["begin"].to_numpy(), part["end"].to_numpy()


def apart(one: tuple[_I64, _I64], other: tuple[_I64, _I64]) -> float:
    """Median distance of the ends of one's calls from the nearest end of the other's, over the lesser duration."""
    (begin, end), (other_begin, other_end) = one, other
    # The other's sample may begin later and end sooner.
    inside = (end >= other_begin[0]) & (begin <= other_end[-1])
    begin, end = begin[inside], end[inside]
    if not len(end):
        return _APART
    after = np.clip(np.searchsorted(other_end, end), 0, len(other_end) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.where(np.abs(other_end[after] - end) < np.abs(other_end[before] - end), after, before)
    shorter = np.minimum(end - begin, other_end[nearer] - other_begin[nearer])
    return float(np.median(np.abs(other_end[nearer] - end) / np.maximum(shorter, 1)))
