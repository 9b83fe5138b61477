"""Launches after which work starts late, and waits that return late, on one rank (METRICS section 7)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.replay.engine import I64
from nsysan.replay.links import Link
from nsysan.replay.right import BY_MAD, DEVIATIONS, ERRORS, OF_MEDIAN, lower_median
from nsysan.replay.shape import Delays, Graph

#: Fewer steps in which an edge bound what it leads to do not tell what it usually takes.
_STEPS = 8
#: A step's own delay is so many times as much as a step's own work has to be: now and then launches are late anywhere.
_FAR = 5


def slow_edges(
    graph: Graph, delays: Delays, peers: pl.DataFrame, own: npt.NDArray[np.bool_], excess: int
) -> tuple[I64, I64]:
    """Of each edge its delay where nothing is wrong with its rank, and the node of the host that it is of, -1 of none.

    peers: rank, stage, and how many ranks do the same; own: whether a call is of a thread that is of one rank.
    excess: ns that a step must lose by it.
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
    # What a rank takes by chance is not told by the one that varies least.
    noise = pl.col("spread").quantile(0.5, "higher").over(place)
    usual = usual.with_columns(lower_median("usual").over(place).alias("level"), spread=noise)
    told = edges.join(usual.drop("peers"), on=["rank", *place], how="inner")
    ns, level = pl.col("ns"), pl.col("level")
    slow = pl.col("usual") - level > ERRORS * OF_MEDIAN * pl.col("spread") / pl.col("steps").sqrt()
    # Of a rank that is slow in most steps those stay that are not.
    right = (
        pl.when(
            ns - pl.max_horizontal("usual", level) > pl.max_horizontal(DEVIATIONS * pl.col("spread"), _FAR * excess)
        )
        .then(level)
        .when(slow)
        .then(pl.max_horizontal(ns * level / pl.col("usual"), pl.min_horizontal(ns, level)))
        .otherwise(ns)
    )
    cross[told["edge"].to_numpy()] = told.select(right.round().cast(pl.Int64)).to_series().to_numpy()
    return cross, owner
