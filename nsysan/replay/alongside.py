"""Whether what a host does at a place is waiting for another: it then ends with that one, however long it takes."""

from __future__ import annotations

import polars as pl

from nsysan.replay.shape import Delays, Graph, Levels

#: What varies less than this from step to step, ns, tells nothing.
_VARIES = 100
#: A wait's end varies so much less against what it waits for than its length does.
_CLOSER = 0.5
#: A place is one that most steps have.
_MOST = 0.8
#: Ranks that have more to do than their levels by so much of all that hosts do.
_LEAST = 0.03
_STEP = ("stretch", "step")


def works_alone(graph: Graph, delays: Delays, levels: Levels) -> bool:
    """Whether every host that has more to do than its levels shows that, where most of it is, it waits for no other.

    A host that waits goes on when another is done: the end of its wait keeps its distance from something that the
    other does, in every step, while its length makes up for all that varies on both. What is work does not follow
    anybody. Where nothing varies, neither shows.
    """
    calls = _calls(graph, delays, levels)
    steps = calls.select(pl.struct(_STEP).n_unique()).item()
    places = calls.group_by("rank", "place").agg(pl.sum("ns", "more"), varies=spread(pl.col("ns")), steps=pl.len())
    of_rank = places.group_by("rank").agg(share=pl.sum("more") / pl.sum("ns")).filter(pl.col("share") > _LEAST)
    usual = places.filter(pl.col("steps") >= _MOST * steps, pl.col("more") > 0).join(of_rank, on="rank", how="semi")
    largest = usual.sort("more", "place", descending=[True, False]).unique("rank", keep="first", maintain_order=True)
    if largest.is_empty() or largest["rank"].n_unique() < len(of_rank):
        return False
    return all(
        varies > _VARIES and _nearest(calls, rank, place, _MOST * steps) > _CLOSER * varies
        for rank, place, varies in largest.select("rank", "place", "varies").iter_rows()
    )


def _calls(graph: Graph, delays: Delays, levels: Levels) -> pl.DataFrame:
    """What hosts do in steps, before each call and in it: when that is over (at), ns, and more than its level by."""
    sorts = []
    for sort, name in enumerate(("start", "end")):
        nodes = slice(sort, graph.first_operation, 2)
        own, right = delays.lane[nodes], levels.lane[nodes]
        place = (2 * pl.col("place") + sort).alias("place")
        sorts.append(graph.calls.select(*_STEP, "rank", place, at=name, ns=pl.Series(own), more=pl.Series(own - right)))
    return pl.concat(sorts).drop_nulls(["step", "place"])


def _nearest(calls: pl.DataFrame, rank: int, place: int, often: float) -> float:
    """How little the end of it varies against what another host does in its step or in the one before."""
    mine = calls.filter(pl.col("rank") == rank, pl.col("place") == place).select(*_STEP, own="at")
    others = calls.filter(pl.col("rank") != rank).select(*_STEP, "rank", "place", "at")
    found = []
    for before in (0, 1):
        beside = mine.join(others.with_columns(pl.col("step") + before), on=_STEP)
        apart = beside.group_by("rank", "place").agg(ns=spread(pl.col("own") - pl.col("at")), steps=pl.len())
        found += apart.filter(pl.col("steps") >= often)["ns"].to_list()
    return float(min(found, default=0.0))


def spread(ns: pl.Expr) -> pl.Expr:
    """The median of how far values are from their median."""
    return (ns - ns.median()).abs().median()
