"""What binds each node as measured, and which delay each edge keeps (METRICS section 7)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.replay.engine import I64, NEVER
from nsysan.replay.links import Link
from nsysan.replay.shape import Delays, Graph

_NONE = -1
#: Gap between launches beyond which it is a late launch's; what is taken where no gap tells; ns.
_LONG_GAP, _SHORT_GAP = 5_000, 1_000
#: A launch that finds its stream idle, and a wait that returns, where the trace shows none; ns.
_LAUNCH, _SYNC = 5_000, 3_000
#: No launch that finds its stream idle takes so long.
_LONG_LAUNCH = 100_000
#: What follows work of another stream later than this waited for something else too, ns; of a graph's node, always.
_ORDER, _OF_NODE = 6_000, 20_000


def delays_of(graph: Graph) -> Delays:
    """The delays of a graph as measured."""
    lane = np.zeros(len(graph.time), dtype=np.int64)
    lane[1:] = graph.time[1:] - graph.time[:-1]
    lane[graph.opens] = 0
    delay, link = graph.delay, graph.link
    gap, timed = _gaps(graph), _crossing(graph)
    gaps, crossing = gap["node"].to_numpy(), timed["edge"].to_numpy()
    least_lane, least_cross = lane.copy(), np.where(link == Link.WIRE, delay, 0)
    least_lane[gaps] = np.minimum(gap["least"].to_numpy(), lane[gaps])
    own = _own_work(graph, lane)
    asks = np.flatnonzero(own >= 0)
    least_lane[asks] = np.minimum(own[asks], lane[asks])
    least_cross[crossing] = timed["least"].to_numpy()
    _turns(graph, lane, least_lane, least_cross)
    open_ = (link == Link.MAYBE) | (link == Link.ASKED) | (link == Link.TOLD)
    excess = np.where(open_, np.iinfo(np.int64).max, delay - least_cross)
    binding = _binding(graph, lane - least_lane, excess)
    bound_lane = binding == _NONE
    bound_cross = np.zeros(len(delay), dtype=np.bool_)
    bound_cross[binding[binding >= 0]] = True
    replayed_lane = np.where(bound_lane, lane, least_lane)
    # What a matched call takes is the wire's.
    replayed_lane[graph.edges.target[link == Link.WIRE]] = 0
    replayed_cross = np.where(bound_cross, delay, least_cross)
    replayed_cross[link == Link.ARRIVAL] = 0
    replayed_cross[link == Link.TOLD] = NEVER
    usual_lane, usual_cross = replayed_lane.copy(), replayed_cross.copy()
    kinds = np.concatenate((gap["kind"].to_numpy(), timed["kind"].to_numpy() + len(gap) + 1))
    bound = np.concatenate((bound_lane[gaps], bound_cross[crossing]))
    values = np.concatenate((lane[gaps], delay[crossing]))
    usual = _usual(kinds, bound, values, np.concatenate((least_lane[gaps], least_cross[crossing])))
    usual_lane[gaps] = usual[: len(gaps)]
    usual_cross[crossing] = usual[len(gaps) :]
    return Delays(replayed_lane, replayed_cross, binding, usual_lane, usual_cross)


def _turns(graph: Graph, lane: I64, least_lane: I64, least_cross: I64) -> None:
    """What a host does before it begins a step, once another stage has ended the one that it waits for.

    No longer than it has ever taken since, and since its own call before: the rest is waiting. A GPU takes none.
    """
    told = np.flatnonzero((graph.link == Link.TURN) & (graph.edges.target < graph.first_operation))
    target = graph.edges.target[told]
    both = np.where(graph.opens[target], graph.delay[told], np.minimum(lane[target], graph.delay[told]))
    ranks = graph.calls["rank"].to_numpy()[target // 2]
    for rank in np.unique(ranks):
        own = ranks == rank
        least = int(both[own].min())
        least_lane[target[own]] = np.minimum(lane[target[own]], least)
        least_cross[told[own]] = least


def _gaps(graph: Graph) -> pl.DataFrame:
    """Each gap before an operation that is not the first of its lane: node, kind, ns, least (of its kind)."""
    lane = ("stretch", "rank", "context", "stream")
    ordered = np.zeros(len(graph.time), dtype=np.bool_)
    ordered[graph.edges.target[graph.link == Link.ORDER]] = True
    nodes = np.arange(graph.first_operation, graph.first_arrival, 2)
    same_call = pl.col("correlation") == pl.col("correlation").shift(1).over(lane)
    gaps = graph.operations.select(
        "rank",
        "graph_node",
        # Between two steps engines do what they do in none.
        between=(pl.col("step") != pl.col("step").shift(1).over(lane)).fill_null(value=False),
        inside=pl.col("graph_node").is_not_null() & same_call.fill_null(value=False),
        node=pl.Series(nodes),
        ordered=pl.Series(ordered[nodes]),
        opens=pl.Series(graph.opens[nodes]),
        ready=pl.col("launch_end").fill_null(0) <= pl.Series(graph.time[nodes - 1]),
        ns=pl.Series(graph.time[nodes] - graph.time[nodes - 1]),
    ).filter(~pl.col("opens"))
    # Between two launches there is one kind of gap; of a node that other streams hold up too, no gap tells the least.
    place = pl.when("inside", ~pl.col("ordered")).then("graph_node").alias("place")
    # What waits for its launch tells of no gap.
    ready = pl.col("ns").filter(pl.col("inside") | pl.col("ready"))
    gaps = gaps.with_columns(place, general=ready.min().over("inside"))
    within = pl.col("general").filter("inside").min().fill_null(_SHORT_GAP)
    apart = pl.when(pl.col("general") <= _LONG_GAP).then("general").otherwise(within)
    own = pl.col("ns").min().over("rank", "place")
    least = pl.when(pl.col("place").is_not_null()).then(own).when("inside").then("general").otherwise(apart)
    kind = pl.struct("rank", "inside", "place", "between").rank("dense").cast(pl.Int64)
    return gaps.select("node", "ns", kind=kind, least=least)


def _crossing(graph: Graph) -> pl.DataFrame:
    """Each timed edge between lanes: edge, kind, ns, least (of its kind)."""
    edges, time = graph.edges, graph.time

    def chosen(link: Link) -> I64:
        return np.flatnonzero(graph.link == link)

    def of_work(at: I64, *columns: str) -> pl.DataFrame:
        return graph.operations[columns][(edges.target[at] - graph.first_operation) // 2]

    free = pl.col("ns").filter("free").min()
    launches, orders, waits = (
        chosen(Link.LAUNCH),
        np.flatnonzero((graph.link == Link.ORDER) | (graph.link == Link.MAYBE)),
        np.flatnonzero(np.isin(graph.link, (Link.SYNC, Link.HELD, Link.ASKED, Link.HOST))),
    )
    # A launch shows its own delay where the stream has nothing left to do, a wait where it waited.
    target = edges.target[launches]
    before = np.where(graph.opens, np.iinfo(np.int64).min, np.roll(time, 1))
    waited = chosen(Link.ORDER)
    np.maximum.at(before, edges.target[waited], time[edges.source[waited]])
    idle = before[target] <= time[edges.source[launches]]
    launched = of_work(launches, "rank", "launch", "type", "graph_node").select(
        "rank", "launch", copies=pl.col("type") != "kernel", place=pl.col("graph_node")
    )
    # What takes longer waited for something that no table shows.
    shown, others = free.over("rank", "launch", "copies"), free.over("rank")
    parts = [
        _edges(launches, graph, launched, idle).with_columns(
            least=pl.coalesce(*(pl.when(ns <= _LONG_LAUNCH).then(ns) for ns in (shown, others)), pl.lit(_LAUNCH))
        )
    ]
    # An order shows what it takes where nothing else came later.
    ordered = of_work(orders, "rank", "place", "graph_node", "name").select(
        "rank", "place", node=pl.col("graph_node"), launch="name"
    )
    soonest = pl.col("ns").min().over("rank", "node")
    own = pl.when(pl.col("node").is_not_null() & (soonest <= _OF_NODE)).then(soonest)
    prompt = graph.delay[orders] <= _ORDER
    parts.append(
        _edges(orders, graph, ordered, prompt).with_columns(
            least=pl.when(pl.col("link") == Link.ORDER)
            .then(pl.coalesce(free.over("place"), own, free.over("rank"), pl.lit(_SHORT_GAP)))
            .otherwise(_SHORT_GAP)
        )
    )
    called = edges.target[waits]
    asked = graph.calls["rank", "launch"][called // 2]
    parts.append(
        _edges(waits, graph, asked, time[edges.source[waits]] > time[called - 1]).with_columns(
            least=pl.coalesce(free.over("rank", "launch"), free.over("launch"), pl.lit(_SYNC))
        )
    )
    told = pl.concat(parts, how="diagonal_relaxed")
    kind = pl.struct("link", "rank", "launch", "copies", "place").rank("dense").cast(pl.Int64)
    return told.select("edge", "ns", kind=kind, least=pl.min_horizontal("least", "ns"))


def _edges(at: I64, graph: Graph, told: pl.DataFrame, free: npt.NDArray[np.bool_]) -> pl.DataFrame:
    return told.with_columns(
        edge=pl.Series(at), ns=pl.Series(graph.delay[at]), link=pl.Series(graph.link[at]), free=pl.Series(free)
    )


def _own_work(graph: Graph, lane: I64) -> I64:
    """Of each end of a call that may wait the ns that its kind takes where it does not wait, -1 of other nodes."""
    own = np.full(len(graph.time), _NONE, dtype=np.int64)
    sync = np.isin(graph.link, (Link.SYNC, Link.HELD, Link.HOST))
    if not sync.any():
        return own
    target, ended = graph.edges.target[sync], graph.time[graph.edges.source[sync]]
    last = np.full(len(graph.time), np.iinfo(np.int64).min, dtype=np.int64)
    np.maximum.at(last, target, ended)
    calls = np.unique(target)
    frame = graph.calls["thread", "launch", "worked"][calls // 2].with_columns(
        ns=pl.Series(lane[calls]), idle=pl.Series(last[calls] <= graph.time[calls - 1])
    )
    usual = pl.col("ns").filter("idle").quantile(0.5, "lower")
    own[calls] = (
        frame.select(pl.coalesce("worked", usual.over("thread", "launch"), usual.over("launch"), 0).cast(pl.Int64))
        .to_series()
        .to_numpy()
    )
    return own


def _binding(graph: Graph, lane: I64, cross: I64) -> I64:
    """Of each node the edge with the least excess over its kind's least, -1 where it is the lane's."""
    binding = np.full(len(graph.time), _NONE, dtype=np.int64)
    if not len(cross):
        return binding
    target = graph.edges.target
    order = np.lexsort((cross, target))
    first = np.flatnonzero(np.append(True, np.diff(target[order]) != 0))
    best, into = order[first], target[order[first]]
    # An arrival has no lane, and the end of a matched call is the wire's.
    always = (into >= graph.first_arrival) | (graph.link[best] == Link.WIRE)
    # What starts at once after its launch and after what was before it needed both: that its host was in time shows.
    sooner = cross[best] - (graph.link[best] != Link.LAUNCH) < lane[into]
    wins = always | sooner & ~graph.opens[into]
    binding[into[wins]] = best[wins]
    return binding


def _usual(kinds: I64, bound: npt.NDArray[np.bool_], values: I64, least: I64) -> I64:
    """The median of the kind's delays where they bind, without each one's own."""
    frame = pl.DataFrame({"kind": kinds, "bound": bound, "ns": values}).with_row_index("at")
    told = frame.filter("bound").sort("kind", "ns")
    told = told.with_columns(rank=pl.int_range(pl.len()).over("kind"), n=pl.len().over("kind").cast(pl.Int64))
    middle = (pl.col("n") - 2).clip(0) // 2
    place = pl.when(pl.col("rank") <= middle).then(middle + 1).otherwise(middle)
    told = told.with_columns(usual=pl.col("ns").gather(pl.min_horizontal(place, pl.col("n") - 1)).over("kind"))
    whole = told.group_by("kind").agg(median=pl.col("ns").quantile(0.5, "lower").cast(pl.Int64))
    joined = frame.join(told.select("at", "usual"), on="at", how="left", maintain_order="left")
    joined = joined.join(whole, on="kind", how="left", maintain_order="left")
    return joined.select(pl.coalesce("usual", "median", pl.Series("least", least))).to_series().to_numpy()
