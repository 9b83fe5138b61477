"""The pieces of the critical path in the steps it was walked through: where each lies, what it is, why it follows."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import polars as pl

from nsysan.columns.rows import none_if_negative
from nsysan.replay.links import Link
from nsysan.replay.path import CLASSES, Walk
from nsysan.replay.shape import Graph


class Why(IntEnum):
    """Why a piece of the path follows the one before it."""

    NEXT_CALL = 0
    CALL = 1
    NEXT_WORK = 2
    WORK = 3
    LAUNCH = 4
    MET = 5
    ORDER = 6
    SYNC = 7
    HELD = 8
    HOST = 9

    @property
    def lead(self) -> str:
        """How the name of what the piece ends with is to be read."""
        return "before " if self in _BEFORE else ""

    @property
    def words(self) -> str:
        """The same as a sentence, of the piece."""
        return _WORDS[self]


_WORDS = {
    Why.NEXT_CALL: "The host comes to this call only after the one before it",
    Why.CALL: "The call begins when the host comes to it",
    Why.NEXT_WORK: "Its stream works on one thing after the other: this is the gap before the work begins",
    Why.WORK: "The work begins, and takes this long",
    Why.LAUNCH: "The work was launched by the call before, and takes this long to begin",
    Why.MET: "The last rank has come, that of the piece before: from then on data moves",
    Why.ORDER: "The work waits for work of another stream to end",
    Why.SYNC: "The call returns once the work that it waits for has ended",
    Why.HELD: "The launch call returns once the GPU has room for it",
    Why.HOST: "The host goes on once the last host has come to where they meet",
}
_BEFORE = (Why.NEXT_CALL, Why.NEXT_WORK, Why.LAUNCH, Why.ORDER)
_BY_LINK = {
    Link.LAUNCH: Why.LAUNCH,
    Link.ARRIVAL: Why.MET,
    Link.WIRE: Why.MET,
    Link.ORDER: Why.ORDER,
    Link.MAYBE: Why.ORDER,
    Link.SYNC: Why.SYNC,
    Link.ASKED: Why.SYNC,
    Link.HELD: Why.HELD,
    Link.HOST: Why.HOST,
}
SCHEMA = pl.Schema(
    {
        "step": pl.Int64,
        "home": pl.Int64,
        "begin": pl.Int64,
        "end": pl.Int64,
        "class": pl.UInt8,
        "rank": pl.Int64,
        "host": pl.Boolean,
        "context": pl.Int64,
        "stream": pl.Int64,
        "name": pl.String,
        "why": pl.UInt8,
    }
)


def pieces(graph: Graph, found: Walk, spans: pl.DataFrame) -> pl.DataFrame:
    """The pieces of a walk in each step, earliest first (SCHEMA); spans: step, rank, start, finish, of one rank.

    home: the rank of the spans: the pieces of a step tile its window there. begin, end: ns, clipped to it. class: a
    position in path.CLASSES. host: whether it is a thread's, else it is on the stream. why: a member of Why.
    """
    order = np.flatnonzero(found.end > found.begin)[::-1]
    first, arrivals = graph.first_operation, graph.first_arrival
    nodes, links = found.nodes[order], found.links[order]
    on_host, works = nodes < first, (nodes >= first) & (nodes < arrivals)
    ends = nodes % 2 == 1
    why = np.where(on_host, np.where(ends, Why.CALL, Why.NEXT_CALL), np.where(ends, Why.WORK, Why.NEXT_WORK))
    for link, reason in _BY_LINK.items():
        why[links == link] = reason
    begin, end = found.begin[order], found.end[order]
    at = np.where(on_host, nodes // 2, np.where(works, (nodes - first) // 2 + len(graph.calls), -1))
    known = pl.DataFrame(
        {
            "begin": begin,
            "end": end,
            "class": found.classes[order].astype(np.uint8),
            "rank": found.ranks[order],
            "host": on_host,
            "why": why.astype(np.uint8),
        }
    )
    none = pl.lit(None, dtype=pl.Int64)
    calls = graph.calls.select(context=none, stream=none, name="launch")
    work = graph.operations.select("context", "stream", "name")
    table = pl.concat([calls, work], how="vertical_relaxed")
    known = known.hstack(table.select(pl.all().gather(none_if_negative(at))))
    inside = [
        np.flatnonzero((end > start) & (begin < finish))
        for start, finish in spans.select("start", "finish").iter_rows()
    ]
    of_span = np.repeat(np.arange(len(spans)), [len(one) for one in inside])
    told = known[np.concatenate([np.zeros(0, dtype=np.int64), *inside])].hstack(
        spans.select("start", "finish", "step", home="rank")[of_span]
    )
    told = told.with_columns(pl.max_horizontal("begin", "start"), pl.min_horizontal("end", "finish").alias("end"))
    return told.select(SCHEMA.names()).cast(SCHEMA)


def by_class(path: pl.DataFrame) -> dict[str, int]:
    """ns of pieces by class, in the order of path.CLASSES."""
    told = path.group_by("class").agg((pl.col("end") - pl.col("begin")).sum()).sort("class")
    return {CLASSES[number]: ns for number, ns in told.iter_rows()}
