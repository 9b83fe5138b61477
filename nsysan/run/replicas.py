"""Replicas: sets of ranks that communication joins in most decode steps (DEFINITIONS.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

import polars as pl

from nsysan.run.groups import Group, Members

_T = TypeVar("_T")
#: A group joins its ranks if each of them makes so many of its calls a step.
CALLS_A_STEP = 0.5


def find_replicas(
    ranks: Sequence[int],
    calls: pl.DataFrame,
    windows: pl.DataFrame,
    groups: Iterable[Group],
    opaque: Iterable[int] = (),
) -> list[Members]:
    """The replicas, each by its ranks, in the order of their first.

    calls: rank, begin, group. windows: rank, begin, finish of each rank's steps. opaque: ranks
    that may communicate unseen. Those and ranks whose calls are of no known group stay together: nothing tells them
    apart.
    """
    spans = windows.group_by("rank").agg(first=pl.min("begin"), last=pl.max("finish"), steps=pl.len())
    inside = (
        calls.select("rank", "begin", "group")
        .join(spans, on="rank")
        .filter((pl.col("begin") >= pl.col("first")) & (pl.col("begin") < pl.col("last")))
    )
    often = inside.group_by("rank", "group").agg(n=pl.len(), steps=pl.first("steps"))
    often = often.filter(pl.col("n") >= CALLS_A_STEP * pl.col("steps"))
    joined = {str(group): own for group, own in often.drop_nulls("group").group_by("group").agg("rank").iter_rows()}
    sets = [set(group.ranks) & set(joined.get(group.id, ())) for group in groups]
    untold = set(often.filter(pl.col("group").is_null())["rank"]) | set(opaque)
    sets.append(untold)
    return _components(ranks, [own for own in sets if len(own) > 1])


def _components(ranks: Sequence[int], sets: Sequence[set[int]]) -> list[Members]:
    """The ranks by what the sets join, directly or over others."""
    rest = list(ranks)
    found = []
    while rest:
        reached = reached_from({rest[0]}, sets)
        found.append(tuple(rank for rank in ranks if rank in reached))
        rest = [rank for rank in rest if rank not in reached]
    return found


def reached_from(start: AbstractSet[_T], sets: Sequence[AbstractSet[_T]]) -> set[_T]:
    """What `start` is joined with by the sets that share something with it, directly or over others."""
    reached = set(start)
    while more := [own for own in sets if own & reached and not own <= reached]:
        reached |= set().union(*more)
    return reached
