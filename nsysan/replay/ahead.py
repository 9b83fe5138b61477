"""Whether hosts launch a step before they have the results of the one before: what engines call overlap scheduling."""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.replay.links import Link
from nsysan.replay.shape import Graph

#: In so many of the steps of some rank.
_MOSTLY = 0.5
_STEP = ("stretch", "rank", "step")


def launches_ahead(graph: Graph) -> bool:
    """Whether a rank launches most steps before the last of its calls that wait for the step before is over.

    A host that waits for nothing shows neither.
    """
    waits = np.flatnonzero((graph.link == Link.SYNC) & (graph.edges.target < graph.first_operation))
    source, target = graph.edges.source[waits], graph.edges.target[waits]
    work = graph.operations.select("stretch", "rank", step="home")[(source - graph.first_operation) // 2]
    known = work.with_columns(known=pl.Series(graph.time[target])).drop_nulls().group_by(_STEP).agg(pl.max("known"))
    begun = graph.calls.select("stretch", "rank", "start", "waits", step="of")
    begun = begun.filter(~pl.col("waits")).drop_nulls("step")
    begun = begun.group_by(_STEP).agg(pl.min("start")).with_columns(pl.col("step") - 1)
    both = known.join(begun, on=list(_STEP))
    ahead = both.group_by("rank").agg(ahead=(pl.col("start") < pl.col("known")).mean() > _MOSTLY)
    return bool(ahead["ahead"].any())
