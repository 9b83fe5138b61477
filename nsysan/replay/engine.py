"""Earliest times in a graph of lanes: the longest path to every node, for many sets of delays at once.

Nodes stand in lanes (a host's thread, a stream), each after its predecessor in the lane by the lane's delay. With C the
running sum of these delays, t - C does not fall along a lane and changes only where an edge comes in from another
lane: a longest path is needed over those nodes alone. They are taken level by level, all scenarios side by side; nodes
that follow each other in a lane are of one level, in which t - C is a running maximum, until one waits for a node of
that level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
#: Before every time; far from the least int64, as delays are added to it.
NEVER = -(1 << 60)
#: No joint has so many edges before it.
_UNKNOWN = 1 << 60


class NotAcyclic(ValueError):
    """The edges form a circle: what was recorded contradicts itself."""


@dataclass(frozen=True)
class Edges:
    """source, target: numbers of nodes, in different lanes or not."""

    source: I64
    target: I64

    def __len__(self) -> int:
        return len(self.source)


class Times(NamedTuple):
    """Time of every node in each scenario, int64 ns; each is added up when it is asked for, as few are.

    sums: of lane delays up to each node (scenarios, nodes). known: time less that sum of each joint (joints,
    scenarios). joint: of each node the last joint up to it.
    """

    sums: I64
    known: I64
    joint: I64

    def at(self, nodes: I64) -> I64:
        """Of these nodes, (nodes, scenarios)."""
        return np.asarray(self.sums[:, nodes].T + self.known[self.joint[nodes]])

    def of(self, scenario: int) -> I64:
        """Of all nodes in one scenario."""
        return np.asarray(self.sums[scenario] + self.known[:, scenario][self.joint])


class _Level(NamedTuple):
    """Joints that are taken together, and the edges that come into them, in their order.

    sources: of the edges; starts: the first edge of each joint. runs: first joint, the one behind the last, and length
    of joints that follow each other in a lane, which several lanes may have side by side.
    """

    joints: slice
    edges: slice
    sources: I64
    starts: I64
    runs: list[tuple[int, int, int]]


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
        order = np.argsort(level, kind="stable")
        self._place = np.empty_like(order)
        self._place[order] = np.arange(len(level))
        goes_on = np.zeros(len(level), dtype=np.bool_)
        goes_on[1:] = ~first[1:] & (level[1:] == level[:-1])
        along = np.flatnonzero(~first & ~goes_on)
        sources = np.concatenate((self._place[along - 1], self._place[source]))
        targets = np.concatenate((self._place[along], self._place[target]))
        by_target = np.argsort(targets, kind="stable")
        sources = sources[by_target]
        self._count = len(sources)
        #: Where the edges are among these, to which what goes on along a lane has been added.
        self._edge_at = np.empty_like(by_target)
        self._edge_at[by_target] = np.arange(self._count)
        self._edge_at = self._edge_at[len(along) :]
        # Joints without an edge are those of the first level, each of which opens a lane.
        into, starts = np.unique(targets[by_target], return_index=True)
        without = len(level) - len(into)
        ordered = level[order]
        bounds = np.searchsorted(ordered, np.arange(1, int(level.max(initial=0)) + 2))
        edge_of = np.append(starts, len(sources))[bounds - without]
        # Joints that follow each other in a lane and are of one level.
        heads = np.flatnonzero(~goes_on[order])
        lengths = np.diff(np.append(heads, len(order)))
        runs = _side_by_side(heads[lengths > 1], lengths[lengths > 1], ordered)
        of_level = np.searchsorted(runs[:, 0], bounds)
        runs_of = [(head, end, length) for head, end, length in runs.tolist()]
        self._levels = [
            _Level(
                slice(first, last),
                slice(begin, end),
                sources[begin:end],
                starts[first - without : last - without] - begin,
                runs_of[of_first:of_last],
            )
            for (first, begin, of_first), (last, end, of_last) in pairwise(
                zip(bounds.tolist(), edge_of.tolist(), of_level.tolist(), strict=True)
            )
        ]
        self._edges = edges

    def times(self, lane: I64, cross: I64, released: I64) -> Times:
        """Time of every node in every scenario.

        lane: delay of each node after its predecessor in the lane (scenarios, nodes), of no meaning for the first; it
        is summed up in place. cross: delay of each edge (scenarios, edges). released: of each node that opens a lane
        the time (nodes,).
        """
        sums, scenarios = lane, len(lane)
        sums[:, self._opens] = 0
        np.cumsum(sums, axis=1, out=sums)
        known = np.full((len(self._joints), scenarios), NEVER, dtype=np.int64)
        heads = np.flatnonzero(self._opens)
        known[self._place[self._joint_of[heads]]] = (released[heads] - sums.take(heads, axis=1)).T
        shifted = sums.take(self._edges.source, axis=1)
        shifted += cross
        shifted -= sums.take(self._edges.target, axis=1)
        # A scenario is summed up in one go, and levels are taken of all together: each by rows that lie in a piece.
        delays = np.zeros((self._count, scenarios), dtype=np.int64)
        delays[self._edge_at] = shifted.T
        for joints, edges, sources, starts, runs in self._levels:
            arrived = known.take(sources, axis=0)
            arrived += delays[edges]
            at = known[joints]
            # Only what opens a lane is more than never so far.
            np.maximum(at, np.maximum.reduceat(arrived, starts, axis=0), out=at)
            for begin, end, length in runs:
                run = known[begin:end].reshape(-1, length, scenarios)
                np.maximum.accumulate(run, axis=1, out=run)
        return Times(sums, known, self._place[self._joint_of])


def _side_by_side(heads: I64, lengths: I64, level: I64) -> I64:
    """Runs by their first joint, the one behind the last, and their length: those of a level that lie side by side and
    are as long as each other as one; level: of each joint.
    """
    ends = heads + lengths
    apart = (heads[1:] != ends[:-1]) | (lengths[1:] != lengths[:-1]) | (level[heads[1:]] != level[heads[:-1]])
    first = np.flatnonzero(np.append(True, apart)[: len(heads)])
    last = np.append(first[1:], len(heads))[: len(first)] - 1
    return np.stack((heads[first], ends[last], lengths[first]), axis=1)


def _levels(first: npt.NDArray[np.bool_], source: I64, target: I64, measured: I64) -> I64:
    """How many edges must be taken one after another before each joint; what goes on in a lane is no edge."""
    count = len(measured)
    by_target = np.argsort(target, kind="stable")
    sources = source[by_target]
    starts = np.searchsorted(target[by_target], np.arange(count + 1))
    # Behind the joints: what comes before one that no edge leads to, and before one that opens a lane.
    no_edge, no_lane = count, count + 1
    along = np.where(first, no_lane, np.arange(count) - 1)
    levels = [_UNKNOWN] * count + [-1, 0]
    # Joints by their time, each as often as it has edges, at least once: by its lane, then by what it is so far.
    order = np.argsort(measured, kind="stable")
    edges = np.diff(starts)[order]
    times = np.maximum(edges, 1)
    joint = np.repeat(order, times)
    nth = np.arange(len(joint)) - np.repeat(np.cumsum(times) - times, times)
    incoming = np.full(len(joint), no_edge)
    some = np.repeat(edges > 0, times)
    incoming[some] = sources[(starts[joint] + nth)[some]]
    so_far = np.where(nth > 0, joint, along[joint])

    def befores(node: int) -> list[int]:
        return [int(along[node]), *sources[starts[node] : starts[node + 1]].tolist()]

    for node, lane, edge in zip(joint.tolist(), so_far.tolist(), incoming.tolist(), strict=True):
        level, before = levels[lane], levels[edge]
        level = level if level > before else before + 1
        # By measured time what comes before is mostly known; what is not, being of the same ns, is looked into first.
        levels[node] = level if level < _UNKNOWN else _looked_into(node, befores, levels)
    return np.array(levels[:count], dtype=np.int64)


def _looked_into(node: int, befores: Callable[[int], list[int]], levels: list[int]) -> int:
    """The level of a joint, when those of all that come before it have been found and noted."""
    stack = [node]
    while stack:
        one = stack[-1]
        lane, *sources = befores(one)
        unknown = [other for other in (lane, *sources) if levels[other] >= _UNKNOWN]
        if not unknown:
            levels[stack.pop()] = max([levels[lane], *(levels[other] + 1 for other in sources)])
        stack += unknown
        if len(stack) > 4 * len(levels) + 16:
            raise NotAcyclic
    return levels[node]
