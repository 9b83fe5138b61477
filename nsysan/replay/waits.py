"""Calls of a host that end no sooner than some work: synchronise calls, queries, copies, and launches that are held."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.replay.engine import I64
from nsysan.replay.links import Link, Part, part
from nsysan.replay.orders import Lane, lanes_of

#: A call that waited returns so soon after what it waited for, ns.
_PROMPT = 10_000
#: Work that ends so soon after the begin of a call may do so by chance, ns.
_CHANCE = 4_000
#: One that was held by the driver, which waits for it in a loop.
_AT_ONCE = 2_000
#: So many of a kind of calls return promptly, if they are such as wait; and so many are at the limit of a queue.
_WAITING, _AT_LIMIT = 0.9, 0.1
#: Calls that are held take so many times as long as others; so many of them are enough where no others do.
_LONG, _FEW = 1.5, 0.02
#: Or two that take very long, where that is most of the time of all such: a host that stalls has nothing in its queue.
_VERY_LONG, _TWO = 3.0, 2
#: A queue shorter than this is none of a driver.
_SHORTEST_QUEUE = 8


_CALL = ("stretch", "rank", "number", "launch", "place", "start", "end", "correlation", "asked")


def host_waits(work: pl.DataFrame, hosts: pl.DataFrame, orders: pl.DataFrame) -> list[Part]:
    """Edges from the ends of operations to the ends of calls that wait for them, with operations from node 0 on.

    hosts: as with_places has them, numbered.
    """
    starts = 2 * np.arange(len(work))
    return [
        *waits_of(work, hosts.select(*_CALL, "waits").filter("waits"), orders, starts),
        *_copies(work, hosts, starts),
    ]


def waits_of(work: pl.DataFrame, calls: pl.DataFrame, orders: pl.DataFrame, starts: I64) -> list[Part]:
    """The same of calls: stretch, rank, number, launch, place, start, end, correlation, asked."""
    if calls.is_empty():
        return []
    calls = calls.select(_CALL)
    lanes = lanes_of(work, starts)
    ended = np.zeros(int(starts[-1]) + 2 if len(starts) else 0, dtype=np.int64)
    ended[starts] = work["end"].to_numpy()
    rest = calls.join(orders, on=["stretch", "rank", "correlation"], how="anti")
    one = pl.col("launch").str.contains("Event|Query")
    told = _by_rank(calls.join(orders, on=["stretch", "rank", "correlation"], how="inner"))
    whole, single = _by_rank(rest.filter(~one)), _by_rank(rest.filter(one))
    parts = []
    for name, lane in lanes.items():
        rank, (context, stream) = name[:2], (pl.lit(number, dtype=pl.Int64) for number in name[2:])
        if rank in told:
            own = told[rank].filter(
                pl.col("on_context").eq_missing(context)
                & (pl.col("on_stream").is_null() | (pl.col("on_stream") == stream))
            )
            parts += _after(lane, own.filter(pl.col("at") < pl.col("correlation")), ended, at="at")
            parts += _after(lane, own.filter(pl.col("at") == pl.col("correlation")), ended)
        parts += _after(lane, whole[rank], ended) if rank in whole else []
        parts += _behind(lane, single[rank], ended) if rank in single else []
    return parts


def _by_rank(calls: pl.DataFrame) -> dict[tuple[object, ...], pl.DataFrame]:
    """The calls of each stretch and rank that has some."""
    return calls.partition_by("stretch", "rank", as_dict=True, maintain_order=True) if len(calls) else {}


def _after(lane: Lane, calls: pl.DataFrame, ended: I64, at: str | None = None) -> list[Part]:
    """For the last operation of the lane that had been launched; at: by the call with that correlation id."""
    if calls.is_empty():
        return []
    # One query that finds the work done waits for nothing, unless a loop of them does in other steps.
    query = pl.col("launch").str.contains("Query") & (pl.col("asked").max().over("place") == 1)
    asked = np.where(calls.select(query).to_series().to_numpy(), Link.ASKED, Link.SYNC)
    given = (
        np.searchsorted(lane[1], calls["start"]) if at is None else np.searchsorted(lane[0], calls[at], side="right")
    )
    last = np.asarray(given, dtype=np.int64) - 1
    known = (last >= 0) & (ended[lane[2][last]] <= calls["end"].to_numpy())
    source, target, _ = part(lane[2][last[known]] + 1, 2 * calls["number"].to_numpy()[known] + 1, Link.SYNC)
    return [(source, target, asked[known].astype(np.int64))]


def _behind(lane: Lane, calls: pl.DataFrame, ended: I64) -> list[Part]:
    """For an operation of which no table tells: so many before the last that had been launched as where it shows."""
    ends = ended[lane[2]]
    given = np.searchsorted(lane[1], calls["start"].to_numpy()) - 1
    done = np.searchsorted(ends, calls["end"].to_numpy(), side="right") - 1
    begin, end = calls["start"].to_numpy(), calls["end"].to_numpy()
    last = ends[np.maximum(done, 0)]
    # A loop of queries finds the work done no sooner than it asks again.
    asked = calls["asked"].to_numpy().astype(np.int64)
    prompt = _PROMPT + np.where(asked > 1, (end - begin) // np.maximum(asked - 1, 1), 0)
    # Work that ends while a call does its own is chance.
    waited = (done >= 0) & (given >= done) & (last - begin >= _CHANCE) & (end - last <= prompt)
    lags = pl.DataFrame({"place": calls["place"], "lag": given - done, "waited": waited})
    usual = pl.col("lag").filter("waited").mode().min()
    agreed = (pl.col("lag").filter("waited") == usual).sum() * 2 > pl.col("waited").sum()
    # A call that never waits may do so where the GPU is slower: then for all that it can.
    told = lags.select(
        lag=pl.when(agreed.over("place")).then(usual.over("place")).otherwise(0),
        shown=agreed.over("place"),
    )
    lag, shown = told["lag"].fill_null(0).to_numpy(), told["shown"].fill_null(value=False).to_numpy()
    never = ~lags.select(pl.col("waited").any().over("place")).to_series().to_numpy()
    at = given - lag
    known = (shown | never) & (at >= 0)
    known &= ends[np.clip(at, 0, len(ends) - 1)] <= end
    link = np.where(shown, Link.SYNC, Link.ASKED)[known].astype(np.int64)
    source, target, _ = part(lane[2][at[known]] + 1, 2 * calls["number"].to_numpy()[known] + 1, Link.SYNC)
    return [(source, target, link)]


def _copies(work: pl.DataFrame, hosts: pl.DataFrame, starts: I64) -> list[Part]:
    """Calls that return after their copy has ended, also where that had to wait for its stream."""
    copies = work.select(
        "stretch",
        "thread",
        "launch_start",
        "launch",
        "type",
        "name",
        node=pl.Series(starts + 1),
        tail=pl.col("launch_end") - pl.col("end"),
        ahead=pl.col("begin") - pl.col("launch_start"),
        usual=(pl.col("launch_end") - pl.col("launch_start")).median().over("thread"),
    )
    # What ends within the time of any call proves nothing.
    copies = copies.with_columns(queued=pl.col("ahead") > pl.max_horizontal(_LONG * pl.col("usual"), _PROMPT)).filter(
        pl.col("type") == "memcpy", pl.col("launch_start").is_not_null()
    )
    after = (pl.col("tail") >= 0).filter("queued")
    waits = (
        pl.when(pl.col("queued").any())
        .then(after.mean() >= _WAITING)
        .otherwise(~pl.col("launch").str.contains("Async").any())
    )
    # One call copies both ways, and waits in one of them.
    copies = copies.filter(waits.over("launch", "name"), pl.col("tail") >= 0)
    named = hosts.select("stretch", "thread", "number", "waits", launch_start="start").filter(~pl.col("waits"))
    joined = copies.join(named, on=["stretch", "thread", "launch_start"], how="inner")
    return [part(joined["node"].to_numpy(), 2 * joined["number"].to_numpy().astype(np.int64) + 1, Link.SYNC)]


def held_calls(work: pl.DataFrame, hosts: pl.DataFrame, starts: I64) -> list[Part]:
    """Edges to the ends of launch calls that the driver holds: until the last replay has ended, or a queue has room."""
    launches = hosts.select("stretch", "thread", "number", "in_graph", "waits", launch_start="start", left="end")
    launches = launches.filter(~pl.col("waits"))
    told = work.select(
        "stretch", "rank", "thread", "launch_start", "begin", "end", "correlation", "graph_node", node=pl.Series(starts)
    )
    told = told.drop_nulls("launch_start").join(launches, on=["stretch", "thread", "launch_start"], how="left")
    return [*_of_replays(told.filter("in_graph")), *_of_queues(told)]


def _of_replays(nodes: pl.DataFrame) -> list[Part]:
    """A graph that cannot be launched while its last replay runs; the last node to end of each, and the next call."""
    lane = ("stretch", "rank")
    replays = (
        nodes.sort("end", maintain_order=True)
        .group_by(*lane, "launch_start")
        .agg(pl.last("node", "end", "number", "left"))
    )
    replays = (
        replays.sort(*lane, "launch_start").with_columns(pl.col("node", "end").shift(1).over(lane)).drop_nulls("node")
    )
    running = replays.filter(pl.col("end") > pl.col("launch_start"))
    after = running["left"] >= running["end"]
    at_once = after & (running["left"] - running["end"] <= _AT_ONCE)
    if at_once.sum() < max(2, _AT_LIMIT * len(running)) or after.mean() < _WAITING:  # type: ignore[operator]
        return []
    kept = replays.filter(pl.col("left") >= pl.col("end"))
    return [part(kept["node"].to_numpy() + 1, 2 * kept["number"].to_numpy().astype(np.int64) + 1, Link.HELD)]


def _of_queues(launched: pl.DataFrame) -> list[Part]:
    """A queue of so many operations that were launched and have not begun: where it is full, a call waits for room.

    One of the driver, so that it is as long on every rank.
    """
    given = launched.filter(pl.col("graph_node").is_null()).drop_nulls("number")
    ranks = given.partition_by("stretch", "rank", as_dict=True, maintain_order=True).values()
    counted = [_waiting(rank.sort("launch_start", "correlation", "begin", maintain_order=True)) for rank in ranks]
    limit = max((int(waiting.max()) for _, waiting, _ in counted), default=0)
    if limit < _SHORTEST_QUEUE or not _is_full([_full(*one, limit) for one in counted]):
        return []
    parts: list[Part] = []
    for order, waiting, recent in counted:
        # A rank with more that is in no trace shows less in its queue.
        own = int(waiting.max())
        depth_of = own if own >= _SHORTEST_QUEUE and _is_full([_full(order, waiting, recent, own)]) else limit
        full, _ = _full(order, waiting, recent, depth_of)
        # What takes no place in the queue is in no trace: a call that was held shows how many were in it.
        depth = np.where(full, waiting, depth_of)
        at = np.arange(len(order)) - depth
        known = at >= 0
        node, number = order["node"].to_numpy(), order["number"].to_numpy().astype(np.int64)
        parts.append(part(node[at[known]], 2 * number[known] + 1, Link.HELD))
    return parts


_Mask = npt.NDArray[np.bool_]


def _full(calls: pl.DataFrame, waiting: I64, recent: _Mask, limit: int) -> tuple[_Mask, npt.NDArray[np.float64]]:
    """Whether each call found such a queue full and returned when it had room; and how many times the usual it took."""
    took = calls["left"].to_numpy() - calls["launch_start"].to_numpy()
    times = took / max(float(np.median(took)), 1.0)
    return (waiting >= limit - limit // _SHORTEST_QUEUE) & (recent | (times > _VERY_LONG)), times


def _is_full(ranks: list[tuple[_Mask, npt.NDArray[np.float64]]]) -> bool:
    """Whether it is a queue's limit: many calls are held by it, or those that are take longer than all others."""
    full, times = np.concatenate([one[0] for one in ranks]), np.concatenate([one[1] for one in ranks])
    long, held = times > _LONG, full & (times > _VERY_LONG)
    if (full & ~held).sum() >= _AT_LIMIT * len(full) or (full & long).sum() >= max(
        _FEW * len(full), _WAITING * long.sum()
    ):
        return True
    return bool(held.sum() >= _TWO and times[held].sum() >= _WAITING * times[times > _VERY_LONG].sum())


def _waiting(calls: pl.DataFrame) -> tuple[pl.DataFrame, I64, _Mask]:
    """Calls in their order; how many operations had not begun when each returned; whether one just had."""
    begun = np.sort(calls["begin"].to_numpy())
    left = calls["left"].to_numpy()
    gone = np.searchsorted(begun, left, side="right")
    return calls, np.arange(1, len(calls) + 1) - gone, left - begun[np.maximum(gone - 1, 0)] <= _AT_ONCE
