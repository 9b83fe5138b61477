"""Where the time of a step goes that was never traced: the ledger of the times that a replay gives."""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.metrics.ledger import build_ledger, rank_medians
from nsysan.replay.links import Link
from nsysan.replay.prepared import Prepared


def ledger_of(ready: Prepared) -> pl.DataFrame:
    """metrics.ledger.rank_medians of the counted steps of a graph, by its own times instead of those of the trace.

    The lines of each of these steps sum to its period. Which line an operation is of, and that a call waits until its
    last rank has come, is as in the trace.
    """
    graph = ready.basis.graph
    first, end = graph.first_operation, graph.first_arrival
    begin, finish = graph.time[first:end:2], graph.time[first + 1 : end : 2]
    # What meets nobody in the graph, as a message that a rank waits for by itself, waits as long as it did.
    last = graph.operations.select(pl.col("last") - pl.col("begin") + pl.Series(begin)).to_series()
    meets = graph.link == Link.ARRIVAL
    at = (graph.edges.source[meets] - first) // 2
    met = np.full(len(begin), -1, dtype=np.int64)
    met[at] = graph.time[graph.edges.target[meets]]
    told = pl.Series(met)
    work = graph.operations.select(
        "rank",
        "step",
        "cls",
        begin=pl.Series(begin),
        end=pl.Series(finish),
        trimmed=pl.lit(0, dtype=pl.Int64),
        last=pl.when(told >= 0).then(told).otherwise(last).clip(pl.Series(begin), pl.Series(finish)),
    ).sort("rank", "begin", "end", maintain_order=True)
    starts = ready.starts(graph.time)
    windows = ready.counted.select(
        "step",
        "rank",
        begin=pl.Series(starts[ready.counted["at"].to_numpy()]),
        finish=pl.Series(starts[ready.counted["next"].to_numpy()]),
        excluded=pl.lit(None, dtype=pl.String),
    )
    return rank_medians(build_ledger(work, windows))
