"""A graph with one thing changed: the delays of each scenario (METRICS section 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.metrics.whatif import KEY, place
from nsysan.replay.engine import I64, NEVER
from nsysan.replay.links import Link
from nsysan.replay.shape import Delays, Graph, Levels
from nsysan.replay.subjects import inside_graph

#: Gap between two nodes of a graph where a trace shows no replay: median of tp4_graph_node on H200.
GRAPH_GAP = 1_200
#: The what-ifs that are of no rank.
STANDARD = ("no_skew", "floor_wire", "host_free", "graphs", "all")
#: Those of them that rest on when hosts launched.
BY_HOST = ("host_free", "graphs", "all")
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Basis:
    """What edits are made of."""

    graph: Graph
    delays: Delays
    levels: Levels
    node_rank: I64
    wire_floor: I64

    def of_ranks(self, ranks: Iterable[int]) -> _Mask:
        """The nodes of these ranks."""
        chosen = np.zeros(max(0, *self.graph.ranks, *ranks) + 2, dtype=np.bool_)
        chosen[list(ranks)] = True
        # The last is that of nodes of no rank, -1.
        return np.asarray(chosen[self.node_rank])


def basis(graph: Graph, delays: Delays, levels: Levels, floor: pl.DataFrame) -> Basis:
    """The basis of all scenarios; floor: of each call's kind, as metrics.whatif.floors gives it."""
    return Basis(graph, delays, levels, _node_ranks(graph), _floors(graph, floor))


Edit = Callable[[Basis, I64, I64], None]


def no_skew(chosen: _Mask, levels: Levels | None = None) -> Edit:
    """Nothing takes longer than its level at these nodes; levels: others than those of the basis."""

    def edit(basis: Basis, lane: I64, cross: I64) -> None:
        known = levels or basis.levels
        np.copyto(lane, known.lane, where=chosen)
        # What a host does once the last stage of a pipeline has ended is in the edge from there, too.
        turn = np.flatnonzero(basis.graph.link == Link.TURN)
        target = basis.graph.edges.target[turn]
        own = chosen[target] & (target < basis.graph.first_operation)
        turn, target = turn[own], target[own]
        less = np.maximum(basis.delays.lane[target] - known.lane[target], 0)
        cross[turn] = np.maximum(cross[turn] - less, 0)
        sooner = np.flatnonzero(known.cross < basis.delays.cross)
        sooner = sooner[chosen[known.owner[sooner]]]
        cross[sooner] = known.cross[sooner]

    return edit


@dataclass(frozen=True)
class PutRight:
    """Nothing takes longer than its level on these ranks; two of the same ranks are equal, so that one is replayed."""

    ranks: frozenset[int]

    def __call__(self, basis: Basis, lane: I64, cross: I64) -> None:
        if self.ranks:
            no_skew(basis.of_ranks(self.ranks))(basis, lane, cross)


#: The step as it is.
unchanged: Edit = PutRight(frozenset())


def put_right(ranks: Iterable[int]) -> Edit:
    """The edit of these ranks."""
    return PutRight(frozenset(ranks))


def as_usual(basis: Basis, lane: I64, cross: I64) -> None:
    """Every delay that is no work as its kind is elsewhere."""
    lane[:], cross[:] = basis.delays.usual_lane, basis.delays.usual_cross


def floor_wire(basis: Basis, _lane: I64, cross: I64) -> None:
    """No call takes longer than its floor."""
    np.minimum(cross, basis.wire_floor, out=cross)


def host_free(basis: Basis, _lane: I64, cross: I64) -> None:
    """No launch is late."""
    cross[basis.graph.link == Link.LAUNCH] = NEVER


def unordered(basis: Basis, _lane: I64, cross: I64) -> None:
    """Streams do not wait for each other, nor hosts for streams, where that never shows."""
    cross[(basis.graph.link == Link.MAYBE) | (basis.graph.link == Link.ASKED)] = NEVER


def unasked(basis: Basis, _lane: I64, cross: I64) -> None:
    """Hosts do not wait for what they ask after and always found done."""
    cross[basis.graph.link == Link.ASKED] = NEVER


def may_be_unordered(graph: Graph) -> bool:
    """Whether there is anything that `unordered` changes."""
    return bool(((graph.link == Link.MAYBE) | (graph.link == Link.ASKED)).any())


def together(*edits: Edit) -> Edit:
    """All of these."""

    def edit(basis: Basis, lane: I64, cross: I64) -> None:
        for one in edits:
            one(basis, lane, cross)

    return edit


def prepares(graph: Graph) -> bool:
    """Whether hosts hand in what steps work on: what does that may be outside of a graph."""
    copied = (pl.col("name") == "memcpy HtoD") & pl.col("step").is_not_null() & pl.col("graph_node").is_null()
    return bool(graph.operations.select(copied.any()).item())


def graphs(basis: Basis, lane: I64, cross: I64) -> None:
    """One launch a step, nodes back to back."""
    _in_graphs(basis, lane, cross, pl.lit(value=True))


def graphs_of_layers(basis: Basis, lane: I64, cross: I64) -> None:
    """The same, but for what hosts launch before the step's first collective and from its last on."""
    segment = pl.col("segment")
    _in_graphs(basis, lane, cross, (segment > 0) & (segment < segment.max().over("stretch", "rank", "step")))


def _in_graphs(basis: Basis, lane: I64, cross: I64, within: pl.Expr) -> None:
    graph = basis.graph
    work, calls, first = graph.operations, graph.calls, graph.first_operation
    alone = pl.col("graph_node").is_null() & (pl.col("type") != "graph")
    gaps = lane[first : graph.first_arrival : 2]
    inside = work.select(inside_graph()).to_series().to_numpy()
    known = basis.delays.lane[first : graph.first_arrival : 2][inside]
    gap = int(np.median(known)) if len(known) else GRAPH_GAP
    eager = work.select(alone & (pl.col("type") == "kernel") & within.fill_null(value=False)).to_series().to_numpy()
    gaps[eager] = np.minimum(gaps[eager], gap)
    launches = ~pl.col("waits") & ~pl.col("in_graph") & ~pl.col("launch").str.contains("Memcpy").fill_null(value=False)
    # What comes after a wait is no work of launching; where a host never waits, what it does longest.
    lanes = ("stretch", "thread")
    segments = calls.with_columns(
        before=pl.Series(lane[0:first:2]),
        launches=launches & pl.col("step").is_not_null(),
        after=pl.col("waits").shift(1).over(lanes).fill_null(value=False),
    ).with_columns(usual=pl.col("before").median().over("rank", "place"))
    longest = pl.col("usual") == pl.col("usual").filter("launches").max().over("rank")
    kept = pl.when((pl.col("after") & pl.col("launches")).any().over("rank")).then("after").otherwise(longest)
    gone = pl.col("launches") & ~kept.fill_null(value=False) & within.fill_null(value=False)
    rest = segments.select(gone).to_series().to_numpy()
    lane[0:first:2][rest] = 0
    lane[1:first:2][rest] = 0
    launched = graph.link == Link.LAUNCH
    called = graph.edges.source // 2
    removed = launched.copy()
    removed[launched] = rest[called[launched]]
    cross[removed] = NEVER


def standard(basis: Basis) -> dict[str, Edit]:
    """The what-ifs that are of no rank."""
    everyone = put_right(basis.graph.ranks)
    return {
        "no_skew": everyone,
        "floor_wire": floor_wire,
        "host_free": host_free,
        "graphs": graphs,
        "all": together(everyone, floor_wire, host_free),
    }


def applied(basis: Basis, edits: list[Edit]) -> tuple[I64, I64]:
    """lane and cross delays of the edits, a row each."""
    delays = basis.delays
    lanes, crosses = (np.empty((len(edits), len(one)), dtype=np.int64) for one in (delays.lane, delays.cross))
    for edit, lane, cross in zip(edits, lanes, crosses, strict=True):
        lane[:], cross[:] = delays.lane, delays.cross
        edit(basis, lane, cross)
    return lanes, crosses


def _node_ranks(graph: Graph) -> I64:
    ranks = np.full(len(graph.time), -1, dtype=np.int64)
    ranks[: graph.first_operation] = np.repeat(graph.calls["rank"].to_numpy(), 2)
    ranks[graph.first_operation : graph.first_arrival] = np.repeat(graph.operations["rank"].to_numpy(), 2)
    return ranks


def _floors(graph: Graph, floor: pl.DataFrame) -> I64:
    """The floor of the call of each edge of a wire; of the other edges more than any delay."""
    most = np.full(len(graph.edges), -NEVER, dtype=np.int64)
    wire = np.flatnonzero(graph.link == Link.WIRE)
    columns = ("name", "message_bytes", "group", "population", "cls", "wire", "message")
    work = graph.operations.select(*columns, "stretch", "family", "of", "call")
    work = work[(graph.edges.target[wire] - graph.first_operation) // 2]
    floor = floor.with_columns(pl.col("name").cast(pl.String))
    keys = [*KEY, *(name for name in ("population",) if name in floor.columns)]
    named = work.select("name", "message_bytes", "group", "population", place())
    joined = named.join(floor, on=keys, how="left", maintain_order="left", nulls_equal=True)
    floors_of = joined["floor"].fill_null(-NEVER).to_numpy()
    # Of a message the longer half is what its floor is of: both end so much sooner.
    told = work.select("message", longer=pl.col("wire").max().over("stretch", "family", "of", "call"))
    message = told["message"].to_numpy()
    over = np.maximum(told["longer"].fill_null(0).to_numpy() - floors_of, 0)
    most[wire] = np.where(message, graph.delay[wire] - over, floors_of)
    return most
