"""What a step would take with calls of one size over another wire."""

from __future__ import annotations

import polars as pl

from nsysan.replay.edits import Basis
from nsysan.replay.engine import I64, NotAcyclic
from nsysan.replay.prepared import prepare
from nsysan.replay.subjects import scale, wire_edges
from nsysan.run.run import Run


def period_with_wire(run: Run, message_bytes: int, factor: float) -> int | None:
    """ns of a step in which the wire of matched calls of that size takes `factor` of what it did, by replay; None where
    the steps cannot be replayed. Of a call behind compute nothing is saved.
    """
    try:
        ready = prepare(run)
    except NotAcyclic:
        return None
    if ready is None:
        return None
    chosen = wire_edges(ready.basis.graph, pl.col("message_bytes") == message_bytes)

    def edit(_basis: Basis, _lane: I64, cross: I64) -> None:
        scale(cross, chosen, factor)

    (timed,) = ready.timed([edit])
    return timed.median
