"""The dependency graph of some stretches of steps: which time cannot be before which other (METRICS section 7)."""

from __future__ import annotations

from itertools import chain

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.model.matches import Match
from nsysan.replay.activity import Activity
from nsysan.replay.engine import I64, Edges
from nsysan.replay.hosts_meet import hosts_meet, meetings, with_hosts_met
from nsysan.replay.links import Link, Part, part
from nsysan.replay.meetings import with_meetings
from nsysan.replay.orders import stream_orders
from nsysan.replay.os_waits import os_waits
from nsysan.replay.places import with_places
from nsysan.replay.replies import replies, with_replies
from nsysan.replay.seen_waits import seen_waits, with_seen_waits
from nsysan.replay.shape import Graph
from nsysan.replay.told import told_by_hosts
from nsysan.replay.turns import turns
from nsysan.replay.waits import held_calls, host_waits
from nsysan.run.run import Run

_CALL = ("stretch", "thread")
_LANE = ("stretch", "rank", "context", "stream")
#: Steps of a population that are too few to say by themselves what is usual.
_FEW = 5


def _usual_with(steps: pl.DataFrame, run: Run) -> pl.DataFrame:
    """stretch, step, population: with which steps it says what is usual.

    Where answers are of one population, that is the headline of the few steps that any other has between its own.
    """
    found = steps.select("stretch", "step", "population").unique(["stretch", "step"])
    if run.summed:
        return found
    few = pl.len().over("population") < _FEW
    return found.with_columns(
        pl.when(few).then(pl.lit(run.steps.populations[0].id)).otherwise("population").alias("population")
    )


def build(run: Run, found: Activity) -> Graph:
    """The graph of what was recorded."""
    matched = pl.col("verdict") == Match.MATCHED
    # Of the many columns of calls only these are filtered.
    told = run.collectives.lazy().filter(matched | (pl.col("verdict") == Match.SINGLE))
    wanted = told.select(
        "row",
        "family",
        "message_bytes",
        "group",
        "barrier",
        "half",
        "wire",
        pl.when(matched).then("call").alias("call"),
        of="step",
        single=~matched,
    )
    calls = wanted.collect()
    populations = _usual_with(found.steps, run)
    work = found.operations.join(populations, on=["stretch", "step"], how="left", maintain_order="left")
    work = work.join(calls, on="row", how="left", maintain_order="left")
    work, hosts = with_places(work, found.waits)
    work = with_meetings(work.sort(*_LANE, "begin", "end", maintain_order=True))
    waited = os_waits(found.os_calls, hosts)
    met = meetings(hosts, waited)
    hosts = hosts.with_row_index("traced")
    waits = host_waits(work, hosts.with_columns(number="traced"), found.orders)
    ranks = [rank.rank for rank in run.ranks]
    staged = [tuple(stage) for stage in run.layout.stages]
    stages = staged if sorted(chain.from_iterable(staged)) == ranks else [tuple(ranks)]
    hosts, answered = with_replies(
        work, hosts, found.beside, found.orders, waits, waited, meet=not met.is_empty(), piped=len(stages) > 1
    )
    # Where it is inferred what tells hosts to begin, that is no other host.
    hosts = with_hosts_met(hosts, met if answered.is_empty() else met.clear())
    hosts, seen = with_seen_waits(hosts, waited)
    hosts = hosts.with_row_index("number")
    together = hosts_meet(hosts)
    first = 2 * len(hosts)
    begin, end = work["begin"].to_numpy(), work["end"].to_numpy()
    starts = first + 2 * np.arange(len(work))
    arrivals, complete = _arrivals(work)
    count = first + 2 * len(work)
    time = np.concatenate((_paired(hosts["start"].to_numpy(), hosts["end"].to_numpy()), _paired(begin, end), complete))
    opens = np.zeros(len(time), dtype=np.bool_)
    opens[:first:2] = _new(hosts, _CALL)
    opens[first:count:2] = _new(work, _LANE)
    opens[count:] = True
    waits = _numbered(waits, hosts, first)
    parts = [
        *_launches(work, hosts, starts),
        *_meetings(arrivals, work["held"].to_numpy(), starts, count),
        *stream_orders(work, found.orders, starts, stages),
        *waits,
        *replies(hosts, answered, starts),
        *together,
        *seen_waits(hosts, seen),
        *(told_by_hosts(hosts, waits, time, waited) if answered.is_empty() and not together else []),
        *held_calls(work, hosts, starts),
        *turns(work, hosts, starts, stages),
    ]
    source, target, link = (np.concatenate([piece[i] for piece in parts]).astype(np.int64) for i in range(3))
    delay = time[target] - time[source]
    kept = (delay >= 0) | (link == Link.ARRIVAL)
    source, target, link, delay = source[kept], target[kept], link[kept], delay[kept]
    return Graph(hosts.drop("traced"), work, time, opens, Edges(source, target), link, delay, ranks, stages)


def _paired(begin: I64, end: I64) -> I64:
    return np.stack((begin, end), axis=1).ravel()


def _numbered(waits: list[Part], hosts: pl.DataFrame, first: int) -> list[Part]:
    """The waits of traced calls by the numbers of nodes; first: with which the operations begin."""
    traced = hosts.select("traced", "number").drop_nulls("traced")
    number = np.zeros(len(traced), dtype=np.int64)
    number[traced["traced"].to_numpy()] = traced["number"].to_numpy()
    return [(source + first, 2 * number[target // 2] + 1, link) for source, target, link in waits]


def _new(frame: pl.DataFrame, key: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Whether a row is the first of its lane."""
    if frame.is_empty():
        return np.zeros(0, dtype=np.bool_)
    changed = (
        frame.select(pl.any_horizontal(pl.col(key).ne_missing(pl.col(key).shift(1)))).to_series().to_numpy().copy()
    )
    changed[0] = True
    return changed


def _arrivals(work: pl.DataFrame) -> tuple[I64, I64]:
    """Of each operation the number of the matched call that it is of, -1 of others; and when each was complete."""
    numbers = work.select(
        number=pl.when("meets").then(pl.struct("stretch", "family", "of", "call").rank("dense").cast(pl.Int64) - 1),
        begin="begin",
    )
    known = numbers.drop_nulls("number").group_by("number").agg(pl.max("begin")).sort("number")
    dense = pl.Series("new", np.arange(len(known)))
    joined = numbers.join(known.select("number").with_columns(dense), on="number", how="left", maintain_order="left")
    return joined["new"].fill_null(-1).to_numpy(), known["begin"].to_numpy()


def _meetings(arrivals: I64, held: npt.NDArray[np.bool_], starts: I64, count: int) -> list[Part]:
    inside = np.flatnonzero(arrivals >= 0)
    leaving = np.flatnonzero((arrivals >= 0) & held)
    return [
        part(starts[inside], count + arrivals[inside], Link.ARRIVAL),
        part(count + arrivals[leaving], starts[leaving] + 1, Link.WIRE),
    ]


def _launches(work: pl.DataFrame, hosts: pl.DataFrame, starts: I64) -> list[Part]:
    """Launch calls to the operations that they start: of a graph's, to the first of each stream."""
    at = work.select("stretch", "thread", "launch_start", "correlation", "rank", "stream", "context", "graph_node")
    at = at.with_columns(node=pl.Series(starts))
    roots = pl.col("node") == pl.col("node").min().over("stretch", "rank", "correlation", "context", "stream")
    at = at.filter(pl.col("graph_node").is_null() | roots).drop_nulls("launch_start")
    calls = hosts.select("stretch", "thread", "number", "waits", launch_start="start").filter(~pl.col("waits"))
    joined = at.join(calls, on=["stretch", "thread", "launch_start"], how="inner")
    return [part(2 * joined["number"].to_numpy().astype(np.int64), joined["node"].to_numpy(), Link.LAUNCH)]
