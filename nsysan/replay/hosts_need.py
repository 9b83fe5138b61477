"""What hosts need for a step by themselves, whatever the GPUs do (METRICS section 7)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from nsysan.replay.engine import I64, NEVER
from nsysan.replay.links import Link
from nsysan.replay.shape import Graph

_STEP = ("stretch", "rank", "step")


class HostCalls(NamedTuple):
    """The calls of the threads of ranks in counted steps: call (a row of the graph's), row (of the counted), both by
    row and thread; begins: where those of each of these begin.
    """

    call: I64
    row: I64
    begins: I64


def host_calls(graph: Graph, counted: pl.DataFrame) -> HostCalls:
    """The calls of counted steps; counted: stretch, rank, step."""
    rows = counted.select(_STEP).with_row_index("row")
    calls = graph.calls.select(*_STEP, "thread").with_row_index("call").join(rows, on=_STEP, how="inner")
    calls = calls.sort("row", "thread", "call")
    changed = calls.select(pl.any_horizontal(pl.col("row", "thread").ne_missing(pl.col("row", "thread").shift(1))))
    begins = np.flatnonzero(changed.to_series().to_numpy())
    return HostCalls(calls["call"].to_numpy().astype(np.int64), calls["row"].to_numpy().astype(np.int64), begins)


def needs(graph: Graph, counted: int, calls: HostCalls, lane: I64, cross: I64) -> I64:
    """ns of the calls and of the work before each, without waiting, of the busiest thread: (counted, scenarios).

    counted: how many steps. lane, cross: delays, a row a scenario. 0 where nothing that a host launches has to wait for
    it.
    """
    found = np.zeros((counted, len(lane)), dtype=np.int64)
    launches = np.flatnonzero(graph.link == Link.LAUNCH)
    if not len(calls.call) or not len(launches):
        return found
    first = graph.first_operation
    own = lane[:, 0:first:2] + lane[:, 1:first:2]
    sums = np.add.reduceat(own[:, calls.call], calls.begins, axis=1)
    np.maximum.at(found, calls.row[calls.begins], sums.T)
    for scenario in np.flatnonzero(cross[:, launches[0]] == NEVER):
        if (cross[scenario, launches] == NEVER).all():
            found[:, scenario] = 0
    return found
