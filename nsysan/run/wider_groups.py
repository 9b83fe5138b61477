"""Calls of a communicator around those that make most calls of their kind: replicas that meet once a step."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nsysan.run.together import TOGETHER, distances

#: Replicas that were together may end the next calls of their own nearly so: ranks of one call end no further apart
#: than so many times what those of the narrower communicator do, and so much of what the call takes.
_TIMES, _BESIDE = 2.0, 0.03
#: With more calls of a kind a step no place is looked at by itself.
_MOST_PLACES = 512


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
    _, *rest = members
    if times.keys() != set(members):
        return False
    apart = distances([times[rank] for rank in members])[0]
    distance = dict(zip(rest, apart[1:].tolist(), strict=True))
    within = max(distance[other] for other in rest if other in beside)
    across = max(distance[other] for other in rest if other not in beside)
    return bool(across <= min(TOGETHER, _TIMES * within + _BESIDE))
