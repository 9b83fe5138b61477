"""Order between streams: by events, where tables tell of them, else as it shows."""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.replay.crossing import Stages, crossings
from nsysan.replay.engine import I64
from nsysan.replay.links import Link, Part, part

_BEFORE = -(1 << 62)


def stream_orders(work: pl.DataFrame, orders: pl.DataFrame, starts: I64, stages: Stages) -> list[Part]:
    """Edges from the end of an operation to the start of one on another stream.

    orders: as Activity has them; stages: as crossings has them. Those of a wait for an event go from the last operation
    that its stream had been given when it was recorded to the first that the waiting stream was given after. Inside of
    graphs, and where no table tells, they are inferred.
    """
    told = orders.filter(pl.col("at") < pl.col("correlation"), pl.col("stream").is_not_null())
    parts = [*_told(work, told, starts)] if not told.is_empty() else []
    return [*parts, *crossings(work, starts, stages, eager=not parts)]


def _told(work: pl.DataFrame, orders: pl.DataFrame, starts: I64) -> list[Part]:
    lanes = lanes_of(work, starts)
    parts = []
    key = ("stretch", "rank", "context", "stream", "on_context", "on_stream")
    for name, own in orders.partition_by(key, as_dict=True, maintain_order=True).items():
        stretch, rank, context, stream, on_context, on_stream = name
        waiting, awaited = (
            lanes.get((stretch, rank, context, stream)),
            lanes.get((stretch, rank, on_context, on_stream)),
        )
        if waiting is None or awaited is None or waiting is awaited:
            continue
        before = np.searchsorted(awaited[0], own["at"].to_numpy(), side="right") - 1
        after = np.searchsorted(waiting[0], own["correlation"].to_numpy(), side="right")
        known = (before >= 0) & (after < len(waiting[0]))
        source, target = awaited[2][before[known]] + 1, waiting[2][after[known]]
        # Of waits before one operation the last is enough.
        last = np.append(target[1:] != target[:-1], True) if len(target) else np.zeros(0, dtype=np.bool_)
        parts.append(part(source[last], target[last], Link.ORDER))
    return parts


#: Correlation ids and begins of the calls that gave a lane its operations, neither falling, and the start nodes.
Lane = tuple[I64, I64, I64]


def lanes_of(work: pl.DataFrame, starts: I64) -> dict[tuple[object, ...], Lane]:
    """The lanes by stretch, rank, context and stream."""
    given = pl.col("correlation", "launch_start").fill_null(_BEFORE)
    told = work.select("stretch", "rank", "context", "stream", given, node=pl.Series(starts))
    lanes = {}
    key = ("stretch", "rank", "context", "stream")
    for name, own in told.partition_by(key, as_dict=True, maintain_order=True).items():
        by_call, begun = (np.maximum.accumulate(own[by].to_numpy()) for by in ("correlation", "launch_start"))
        lanes[name] = (by_call, begun, own["node"].to_numpy())
    return lanes
