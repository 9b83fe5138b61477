"""Longest paths, by hand and against one that looks at every edge again until nothing moves."""

from __future__ import annotations

import numpy as np
import pytest

from nsysan.replay.engine import I64, NEVER, Edges, Engine


def plain(opens: np.ndarray, edges: Edges, lane: I64, cross: I64, released: I64) -> I64:
    times = np.where(opens, released, NEVER)
    while True:
        before = times.copy()
        for node in range(1, len(times)):
            if not opens[node]:
                times[node] = max(times[node], times[node - 1] + lane[node])
        for source, target, delay in zip(edges.source, edges.target, cross, strict=True):
            times[target] = max(times[target], times[source] + delay)
        if (times == before).all():
            return times


def test_two_lanes_by_hand() -> None:
    # Lane one at 0, 10, 20; lane two at 5, 6, 7; its second node is 4 after the second of lane one, not before.
    opens = np.array([True, False, False, True, False, False])
    lane = np.array([[0, 0], [10, 2], [10, 10], [0, 0], [1, 1], [1, 1]])
    edges = Edges(np.array([1]), np.array([4]))
    released = np.array([0, 0, 0, 5, 0, 0])
    measured = np.array([0, 10, 20, 5, 14, 15])
    times = Engine(opens, edges, measured).times(lane.T.copy(), np.array([[4], [4]]), released).at(np.arange(6))
    assert times.T.tolist() == [[0, 10, 20, 5, 14, 15], [0, 2, 12, 5, 6, 7]]


@pytest.mark.parametrize("seed", range(20))
def test_any_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 12, 6)
    opens = np.zeros(lengths.sum(), dtype=np.bool_)
    opens[np.cumsum(lengths) - lengths] = True
    count = len(opens)
    rank = rng.permutation(count)  # edges lead up in it, as do lanes
    for first in np.flatnonzero(opens):
        last = first + lengths[np.flatnonzero(np.flatnonzero(opens) == first)[0]]
        rank[first:last] = np.sort(rank[first:last])
    pairs = rng.integers(0, count, (40, 2))
    pairs = pairs[rank[pairs[:, 0]] < rank[pairs[:, 1]]]
    edges = Edges(pairs[:, 0], pairs[:, 1])
    lane, cross = rng.integers(0, 50, (count, 3)), rng.integers(0, 50, (len(pairs), 3))
    cross[rng.random(len(pairs)) < 0.2] = NEVER
    released = np.where(opens, rng.integers(0, 100, count), 0)
    measured = plain(opens, edges, lane[:, 0], cross[:, 0], released)
    # Nodes of one ns may be in any order.
    times = Engine(opens, edges, measured).times(lane.T.copy(), cross.T, released)
    for scenario in range(3):
        assert (
            times.of(scenario).tolist() == plain(opens, edges, lane[:, scenario], cross[:, scenario], released).tolist()
        )
