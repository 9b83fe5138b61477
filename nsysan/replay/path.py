"""The critical path: the chain of what bound what, walked back from the last step to the first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from nsysan.model.classes import WorkClass
from nsysan.replay.engine import I64
from nsysan.replay.links import Link
from nsysan.replay.shape import Delays, Graph
from nsysan.replay.subjects import by_class

#: What a ns of the path is spent in.
CLASSES = ("host", "launch", "compute", "wire", "fused", "copy", "sync", "other")
_OF_WORK = {
    WorkClass.COLLECTIVE.value: "wire",
    WorkClass.P2P.value: "wire",
    WorkClass.FUSED.value: "fused",
    WorkClass.COMPUTE.value: "compute",
    WorkClass.COPY.value: "copy",
}


class Walk(NamedTuple):
    """The pieces of a chain, latest first: each begins when the one behind it ends. Times are ns.

    classes: positions in CLASSES. nodes: that each ends at. links: what it came to that by; edges: by which edge; both
    -1 along the lane of the node.
    """

    begin: I64
    end: I64
    classes: I64
    ranks: I64
    nodes: I64
    links: I64
    edges: I64


def walk(graph: Graph, delays: Delays, node_rank: I64, class_of: I64, start: int, until: int) -> Walk:
    """The chain that ends at a node, back to a time; class_of: see classes."""
    time = graph.time
    # One by one, values come sooner out of their memory than out of an array.
    times, binding, source, opens = (one.data for one in (time, delays.binding, graph.edges.source, graph.opens))
    visited = [start]
    node = start
    edges: list[int] = []
    while times[node] > until:
        edge = binding[node]
        if edge >= 0:
            node = source[edge]
        elif opens[node]:
            break
        else:
            node -= 1
        edges.append(edge)
        visited.append(node)
    nodes = np.array(visited, dtype=np.int64)
    used = np.array(edges, dtype=np.int64)
    target, before = nodes[:-1], nodes[1:]
    of = class_of[target]
    link = np.full(len(used), -1, dtype=np.int64)
    link[used >= 0] = graph.link[used[used >= 0]]
    for kind, name in ((Link.LAUNCH, "launch"), (Link.ORDER, "launch"), (Link.SYNC, "sync"), (Link.HELD, "sync")):
        of[link == kind] = CLASSES.index(name)
    ranks = node_rank[target].copy()
    ranks[ranks < 0] = node_rank[before[ranks < 0]]
    return Walk(time[before], time[target], of, ranks, target, link, used)


def classes(graph: Graph) -> I64:
    """What the time before each node is spent in, where its lane bound it."""
    found = np.full(len(graph.time), CLASSES.index("host"), dtype=np.int64)
    first, end = graph.first_operation, graph.first_arrival
    found[first:end:2] = CLASSES.index("launch")
    numbers = {name: CLASSES.index(cls) for name, cls in _OF_WORK.items()}
    found[first + 1 : end : 2] = by_class(graph, numbers, CLASSES.index("other"))
    found[end:] = CLASSES.index("wire")
    return found


def shares(found: Walk, bounds: list[tuple[int, int]]) -> dict[tuple[str, int], int]:
    """ns of the pieces inside the spans, by class and rank."""
    total = np.zeros(len(found.begin), dtype=np.int64)
    for first, last in bounds:
        total += np.clip(np.minimum(found.end, last) - np.maximum(found.begin, first), 0, None)
    frame = pl.DataFrame({"class": found.classes, "rank": found.ranks, "ns": total})
    frame = frame.group_by("class", "rank").agg(pl.sum("ns"))
    return {(CLASSES[cls], rank): ns for cls, rank, ns in frame.sort("class", "rank").iter_rows() if ns}
