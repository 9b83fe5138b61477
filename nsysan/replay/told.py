"""Hosts that may begin a step when another tells them to, which no table shows (METRICS section 7).

Where an engine samples on one rank, that rank's host waits for the GPUs and then hands out the next step; the hosts of
the others are never seen to wait, though their steps are as long. What such a host does longest counts as work. Taken
for waiting, it ends so long after the wait of the host that is seen to, and only what it takes longer from there than
on other ranks is its own.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.replay.edits import Basis, Edit, no_skew
from nsysan.replay.engine import I64
from nsysan.replay.links import Link, Part, part
from nsysan.replay.os_waits import OsWaits
from nsysan.replay.right import BY_MAD, ERRORS, OF_MEDIAN
from nsysan.replay.shape import Graph
from nsysan.replay.unseen import SEEN, busiest, in_step, waiting

#: So many of a rank's steps begin after such a wait, if it may be told by that.
_MOSTLY = 0.9
#: Of normal noise: standard errors of a median that are no noise.
_ERRORS = ERRORS * OF_MEDIAN * BY_MAD


def told_by_hosts(hosts: pl.DataFrame, waits: list[Part], time: I64, os_waits: OsWaits) -> list[Part]:
    """Edges from the end of a wait of the one host that is seen to wait, to the call of each other before which that is
    longest.

    hosts: the calls, by number. waits: edges to the ends of those that wait. time: ns of each node. os_waits: by which
    a host shows that it works then.
    """
    source, target = (np.concatenate([one[i] for one in waits] or [np.zeros(0, np.int64)]) for i in range(2))
    link = np.concatenate([one[2] for one in waits] or [np.zeros(0, np.int64)])
    source, target = source[link == Link.SYNC], target[link == Link.SYNC]
    if not len(target) or hosts["rank"].n_unique() < 2:
        return []
    took = pl.DataFrame({"number": target // 2, "waited": np.maximum(time[source] - time[target - 1], 0)})
    took = took.group_by("number").agg(pl.max("waited"))
    calls = hosts.with_columns(pl.col("number").cast(pl.Int64)).join(took, on="number", how="left")
    calls = calls.with_columns(pl.col("waited").fill_null(0)).sort("stretch", "thread", "number")
    threads = busiest(calls)
    seen = waiting(threads).filter(pl.col("share") >= SEEN)["rank"].to_list()
    if len(seen) != 1:
        return []
    own = calls.join(threads.select("stretch", "thread"), on=["stretch", "thread"], how="semi", maintain_order="left")
    own = own.with_columns(before=pl.col("end").shift(1).over("stretch", "thread")).filter(~pl.col("waits"))
    own = own.drop_nulls(["step", "before"]).filter(pl.col("rank") != seen[0])
    # What a host does longest, it may do while it waits.
    of = ["rank", "population"]
    usual = own.group_by(*of, "place").agg(ns=(pl.col("start") - pl.col("before")).median())
    longest = usual.sort("ns", "place", descending=[True, False]).unique(of, keep="first", maintain_order=True)
    begun = own.join(longest.select("rank", "place"), on=["rank", "place"], how="semi").sort("start")
    works = os_waits.works(begun.select("stretch", "thread", "rank", "start", paused="before"))
    begun = begun.filter(~pl.col("rank").is_in(works))
    done = calls.filter(pl.col("rank") == seen[0], pl.col("waited") > 0).select("stretch", at="end", wait="number")
    beside = begun.join_asof(done.sort("at"), left_on="start", right_on="at", by="stretch", check_sortedness=False)
    # A host that still launched the step before when that wait was over has waited for nothing then.
    known = (pl.col("at") >= pl.col("before")).fill_null(value=False)
    beside = beside.filter(known.mean().over("rank") >= _MOSTLY).filter(known)
    return [part(2 * beside["wait"].to_numpy() + 1, 2 * beside["number"].to_numpy(), Link.TOLD)]


def as_told(basis: Basis) -> tuple[Edit, Edit] | None:
    """The step as it is where hosts are told to begin it; and with nobody longer than the level. None: none may be."""
    graph = basis.graph
    edges = np.flatnonzero(graph.link == Link.TOLD)
    if not len(edges) or not in_step(graph):
        return None
    lags, own = _lags(graph, edges)
    level = lags.group_by("rank").agg(
        usual=pl.median("ns"), error=_ERRORS * (pl.col("ns") - pl.median("ns")).abs().median() / pl.len().sqrt()
    )
    lower = level["usual"].sort()[(len(level) - 1) // 2]
    late = (pl.col("usual") - lower > pl.col("error")) & (pl.col("usual") > 0)
    level = level.select("rank", factor=pl.when(late).then(lower / pl.col("usual")).otherwise(1.0))
    lags = lags.join(level, on="rank", how="left", maintain_order="left")
    ns = lags.select((pl.col("ns") * pl.col("factor")).round().cast(pl.Int64)).to_series().to_numpy()
    everyone, target = no_skew(basis.node_rank >= 0), graph.edges.target[edges]

    def as_it_is(basis: Basis, lane: I64, cross: I64) -> None:
        lane[target] = 0
        cross[edges] = basis.graph.delay[edges]

    def right(basis: Basis, lane: I64, cross: I64) -> None:
        everyone(basis, lane, cross)
        lane[target] = 0
        cross[edges] = ns[: len(edges)]
        lane[own] = np.minimum(lane[own], ns[len(edges) :])

    return as_it_is, right


def _lags(graph: Graph, edges: I64) -> tuple[pl.DataFrame, I64]:
    """rank, ns: from the wait to the call, of each edge and then of the host that waits; its nodes."""
    ranks = graph.calls["rank"].to_numpy()
    target, waits = graph.edges.target[edges], np.unique(graph.edges.source[edges])
    own = waits + 1
    own = own[(own < graph.first_operation) & ~graph.opens[np.minimum(own, graph.first_operation - 1)]]
    lags = pl.DataFrame(
        {
            "rank": np.concatenate((ranks[target // 2], ranks[own // 2])),
            "ns": np.concatenate((graph.delay[edges], graph.time[own] - graph.time[own - 1])),
        }
    )
    return lags, own
