"""Earliest times in a graph of lanes: the longest path to every node, for many sets of delays at once.

Nodes stand in lanes (a host's thread, a stream), each after its predecessor in the lane by the lane's delay. With C the
running sum of these delays, t - C does not fall along a lane and changes only where an edge comes in from another
lane: a longest path is needed over those nodes alone, and they are taken level by level, all scenarios side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
#: Before every time; far from the least int64, as delays are added to it.
NEVER = -(1 << 60)


class NotAcyclic(ValueError):
    """The edges form a circle: what was recorded contradicts itself."""


@dataclass(frozen=True)
class Edges:
    """source, target: numbers of nodes, in different lanes or not."""

    source: I64
    target: I64

    def __len__(self) -> int:
        return len(self.source)


class Engine:
    """The order in which the nodes of a graph can be taken; made once, and used for any delays.

    opens: for each node whether a lane begins with it; nodes of a lane follow each other. measured: time of each node,
    which no edge runs against.
    """

    def __init__(self, opens: npt.NDArray[np.bool_], edges: Edges, measured: I64) -> None:
        joints = opens.copy()
        joints[edges.target] = True
        #: Nodes at which time less running sum may change: the first of a lane, and where an edge comes in.
        self._joints = np.flatnonzero(joints)
        self._joint_of = np.cumsum(joints) - 1
        self._opens = opens
        source, target = self._joint_of[edges.source], self._joint_of[edges.target]
        first = opens[self._joints]
        level = _levels(first, source, target, measured[self._joints])
        # Joints are numbered anew, level by level, and edges by the joint that they come into.
        self._order = np.argsort(level, kind="stable")
        self._place = np.empty_like(self._order)
        self._place[self._order] = np.arange(len(level))
        along = np.flatnonzero(~first)
        sources = np.concatenate((self._place[along - 1], self._place[source]))
        targets = np.concatenate((self._place[along], self._place[target]))
        by_target = np.argsort(targets, kind="stable")
        self._by_target = by_target
        self._along = len(along)
        self._sources = sources[by_target]
        into, starts = np.unique(targets[by_target], return_index=True)
        self._into, self._starts = into, starts.astype(np.int64)
        ordered = level[self._order]
        self._bounds = np.searchsorted(ordered[into], np.arange(int(level.max(initial=0)) + 2))
        self._edges = edges

    def times(self, lane: I64, cross: I64, released: I64) -> I64:
        """Time of every node: int64 of shape (nodes, scenarios).

        lane: delay of each node after its predecessor in the lane (nodes, scenarios), of no meaning for the first.
        cross: delay of each edge (edges, scenarios). released: of each node that opens a lane the time (nodes,).
        """
        sums = lane.copy()
        sums[self._opens] = 0
        np.cumsum(sums, axis=0, out=sums)
        known = np.full((len(self._joints), lane.shape[1]), NEVER, dtype=np.int64)
        heads = np.flatnonzero(self._opens)
        known[self._place[self._joint_of[heads]]] = released[heads, None] - sums[heads]
        delays = np.zeros((len(self._by_target), lane.shape[1]), dtype=np.int64)
        shifted = sums[self._edges.source]
        shifted += cross
        shifted -= sums[self._edges.target]
        moved = np.empty(len(self._by_target), dtype=np.int64)
        moved[self._by_target] = np.arange(len(self._by_target))
        delays[moved[self._along :]] = shifted
        sources, starts, into = self._sources, self._starts, self._into
        ends = np.append(starts, len(sources))
        bounds = self._bounds.tolist()
        for first, last in pairwise(bounds):
            if first == last:
                continue
            begin, end = ends[first], ends[last]
            arrived = known[sources[begin:end]]
            arrived += delays[begin:end]
            reached = np.maximum.reduceat(arrived, starts[first:last] - begin, axis=0)
            at = into[first:last]
            known[at] = np.maximum(known[at], reached)
        sums += known[self._place[self._joint_of]]
        return sums


def _levels(first: npt.NDArray[np.bool_], source: I64, target: I64, measured: I64) -> I64:
    """How many joints must be taken one after another before each."""
    order = np.argsort(measured, kind="stable")
    count = len(order)
    by_target = np.argsort(target, kind="stable")
    starts = np.searchsorted(target[by_target], np.arange(count + 1)).tolist()
    sources = source[by_target].tolist()
    opens = first.tolist()
    levels = [-1] * count
    # By measured time what comes before is mostly known; what is not, being of the same ns, is looked into first.
    for start in order.tolist():
        stack = [start] if levels[start] < 0 else []
        while stack:
            node = stack[-1]
            if levels[node] >= 0:
                stack.pop()
                continue
            before = sources[starts[node] : starts[node + 1]]
            if not opens[node]:
                before.append(node - 1)
            most = -1
            missing = False
            for other in before:
                level = levels[other]
                if level < 0:
                    stack.append(other)
                    missing = True
                elif level > most:
                    most = level
            if missing:
                if len(stack) > 4 * count + 16:
                    raise NotAcyclic
                continue
            levels[node] = most + 1
            stack.pop()
    return np.array(levels, dtype=np.int64)
