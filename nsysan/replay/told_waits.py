"""What hosts wait for where the replay has tied the end of a wait to it (DEFINITIONS.md, section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
import polars as pl

from nsysan.replay.seen_waits import TELLS
from nsysan.replay.shape import Graph

_SCHEMA = {
    "rank": pl.Int64(),
    "thread": pl.Int64(),
    "end": pl.Int64(),
    "by": pl.Int64(),
    "until": pl.Int64(),
    "name": pl.String(),
}


class Until(IntEnum):
    """What ends a wait."""

    BEGINS = 0  # a call of another host begins
    ENDS = 1  # it ends
    TELLS = 2  # another host calls the operating system
    RESULTS = 3  # work ends


NO_WAITS = pl.DataFrame(schema=_SCHEMA)


def told_waits(graph: Graph, early: Mapping[int, int]) -> pl.DataFrame:
    """rank, thread, end (ns of the run's clock) of waits of hosts, and by (rank), until (Until), name (of a call, or of
    work) of what each is for; early: ns by which the calls of a rank are earlier in the graph.
    """
    calls = graph.calls
    stands = (calls["reply"] & (calls["launch"] != TELLS).fill_null(value=True)).to_numpy()
    first, last = graph.first_operation, graph.first_arrival
    target, source = graph.edges.target, graph.edges.source
    ends = (target < first) & (target % 2 == 1) & (source < last)
    ends[ends] = stands[target[ends] // 2]
    at = np.flatnonzero(ends)
    # Of several the last.
    at = at[np.lexsort((graph.time[source[at]], target[at]))]
    at = at[np.append(target[at[1:]] != target[at[:-1]], True)[: len(at)]]
    waiting = calls.select("rank", "thread", "end")[target[at] // 2]
    of_hosts = calls.select(by="rank", name="launch")
    of_work = graph.operations.select(by="rank", name=pl.col("name").cast(pl.String))
    whom = pl.concat([of_hosts, of_work], how="vertical_relaxed")[source[at] // 2]
    until = np.where(source[at] >= first, Until.RESULTS, source[at] % 2)
    found: pl.DataFrame = pl.concat([waiting, whom.with_columns(until=pl.Series(until))], how="horizontal")
    found = found.with_columns(
        pl.col("end") + pl.col("rank").replace_strict(dict(early), default=0, return_dtype=pl.Int64),
        until=pl.when(pl.col("name") == TELLS).then(Until.TELLS.value).otherwise("until"),
    )
    # What the host has launched itself it waits for in the open.
    return found.filter((pl.col("until") == Until.RESULTS) | (pl.col("by") != pl.col("rank"))).select(
        pl.col(name).cast(kind) for name, kind in _SCHEMA.items()
    )
