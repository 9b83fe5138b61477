"""Launches after which work starts late, and waits that return late, on one rank (METRICS section 7)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.replay.engine import I64
from nsysan.replay.links import Link
from nsysan.replay.right import BY_MAD, ERRORS, OF_MEDIAN, lower_median
from nsysan.replay.shape import Delays, Graph

#: Fewer steps in which an edge bound what it leads to do not tell what it usually takes.
_STEPS = 3


def slow_edges(graph: Graph, delays: Delays, peers: pl.DataFrame, own: npt.NDArray[np.bool_]) -> tuple[I64, I64]:
    """Of each edge its delay where nothing is wrong with its rank, and the node of the host that it is of, -1 of none.

    peers: rank, stage, and how many ranks do the same; own: whether a call is of a thread that is of one rank.
    """
    cross, owner = delays.cross.copy(), np.full(len(delays.cross), -1, dtype=np.int64)
    source, target, first = graph.edges.source, graph.edges.target, graph.first_operation
    launches, waits = (np.flatnonzero(graph.link == link) for link in (Link.LAUNCH, Link.SYNC))
    # What a host takes that is told by another is not its own alone.
    waits = waits[~graph.calls["reply"].to_numpy()[target[waits] // 2]]
    launched = graph.operations["rank", "home", "place"][(target[launches] - first) // 2].rename({"home": "step"})
    waited = graph.calls["rank", "step", "place"][target[waits] // 2]
    owner[launches], owner[waits] = source[launches], target[waits]
    edges = pl.concat((launched, waited)).with_columns(
        edge=pl.Series(np.concatenate((launches, waits))),
        waits=pl.Series(np.repeat([False, True], [len(launches), len(waits)])),
    )
    at = edges["edge"].to_numpy()
    alone = own[owner[at] // 2] if len(at) else np.zeros(0, dtype=np.bool_)
    edges = edges.with_columns(
        ns=pl.Series(delays.cross[at]), bound=pl.Series(delays.binding[target[at]] == at), alone=pl.Series(alone)
    )
    edges = edges.filter(pl.col("place").is_not_null() & pl.col("alone"))
    edges = edges.join(peers, on="rank", how="left", maintain_order="left")
    place = ("stage", "place", "waits")
    usual = (
        edges.filter("bound")
        .group_by("rank", *place)
        .agg(
            pl.first("peers"),
            steps=pl.len(),
            usual=pl.median("ns"),
            spread=BY_MAD * (pl.col("ns") - pl.median("ns")).abs().median(),
        )
        .filter(pl.col("steps") >= _STEPS)
        # Only where most ranks show it, in about as many steps, is there a level.
        .filter(2 * pl.col("steps") >= pl.col("steps").max().over(place))
        .filter(2 * pl.len().over(place) > pl.col("peers"))
    )
    usual = usual.with_columns(lower_median("usual").over(place).alias("level"), lower_median("spread").over(place))
    slower = pl.col("usual") - pl.col("level") > ERRORS * OF_MEDIAN * pl.col("spread") / pl.col("steps").sqrt()
    slow = usual.filter(slower).select("rank", *place, factor=pl.col("level") / pl.col("usual"))
    if slow.is_empty():
        return cross, owner
    told = edges.join(slow, on=["rank", *place], how="inner").select(
        "edge", right=(pl.col("ns") * pl.col("factor")).round()
    )
    cross[told["edge"].to_numpy()] = told["right"].cast(pl.Int64).to_numpy()
    return cross, owner
