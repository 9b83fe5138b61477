"""The step as it runs without nsys, of which the user tells how long it takes (METRICS section 10).

Tracing costs host time with every API call, which no table holds, and a little between the nodes of a graph that is
traced by node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import NamedTuple

import numpy as np

from nsysan.replay.edits import Basis, Edit
from nsysan.replay.engine import I64
from nsysan.replay.links import Link
from nsysan.replay.prepared import Prepared
from nsysan.replay.results import LEAST_HOST
from nsysan.replay.shape import Delays, Graph, Levels
from nsysan.replay.subjects import gaps, host_work, scale
from nsysan.text import duration

#: A step that takes so much longer without nsys than with it is another step, or not the same run.
TOLERANCE = 0.02
#: Periods that differ by no more are the same.
_SAME = 0.0005
_TRIED, _ROUNDS = 9, 5


SEVERAL = "is of one kind of step, and none has half of the decode time: name one (--population)"


class OutOfRange(ValueError):
    """A step time that the traced step cannot have without nsys, in words."""


class Untraced(NamedTuple):
    """ready: the graph of the step without nsys, of which any replay can be asked like of the traced one's.

    traced: the period as it was traced, ns. hosts, gaps: what is left of the hosts' time and of the gaps between
    operations, as shares.
    """

    ready: Prepared
    traced: int
    hosts: float
    gaps: float


def untraced(ready: Prepared, period: int) -> Untraced:
    """The step that takes so many ns without nsys.

    Host segments and calls are all scaled by one factor, the one nearest to 1 with which the replay gives the period.
    Gaps between operations take, by a factor of their own, what hosts cannot: where the GPU's work is the longer one
    whatever the hosts do. Hosts are faster than LEAST_HOST only where no gaps explain the step. OutOfRange where it
    takes longer than traced, or less than the GPU's work needs.
    """
    scales = ((1.0, 1.0), (LEAST_HOST, 1.0), (LEAST_HOST, 0.0), (0.0, 1.0), (0.0, 0.0))
    traced, least_hosts, least_gaps, no_hosts, least = ready.medians([_scaled(ready, *left) for left in scales])
    if period > (1 + TOLERANCE) * traced:
        raise OutOfRange(
            f"{duration(period)} without nsys is more than the {duration(traced)} of the traced step, which nsys does "
            "not make faster: is it the time of one such step, of the same batch?"
        )
    if period < least:
        raise OutOfRange(
            f"{duration(period)} without nsys is less than the {duration(least)} that the work on the GPUs needs with "
            "hosts that take no time, and no gaps: is it the time of one such step, of the same batch?"
        )
    if period >= least_hosts:
        hosts, left = _solved(ready, period, along=lambda x: (x, 1.0), least=LEAST_HOST), 1.0
    elif period < least_gaps:
        hosts = _solved(ready, max(period, ceil(no_hosts)), along=lambda x: (x, 1.0), least=0.0)
        left = 1.0 if period >= no_hosts else _solved(ready, period, along=lambda x: (0.0, x), least=0.0)
    else:
        # Hosts only as fast as it matters; or as fast as they can be, where they are in the way of shorter gaps.
        enough = round((1 + _SAME) * least_hosts)
        hosts = _solved(ready, enough, along=lambda x: (x, 1.0), least=LEAST_HOST)
        (shortest,) = ready.medians([_scaled(ready, hosts, 0.0)])
        hosts = hosts if shortest <= period else LEAST_HOST
        left = _solved(ready, period, along=lambda x: (hosts, x), least=0.0)
    return Untraced(_rebuilt(ready, hosts, left), round(traced), hosts, left)


def _scaled(ready: Prepared, hosts: float, left: float) -> Edit:
    """Hosts and gaps by these factors."""
    working = host_work(ready.basis.graph)
    nodes, edges = gaps(ready.basis.graph)

    def edit(basis: Basis, lane: I64, cross: I64) -> None:
        del basis
        scale(lane, working, hosts)
        scale(lane, nodes, left)
        scale(cross, edges, left)

    return edit


def _solved(ready: Prepared, period: int, along: Callable[[float], tuple[float, float]], least: float) -> float:
    """The largest factor with which a step takes no longer than the period; `least` is one."""
    low, high = least, 1.0
    for _ in range(_ROUNDS):
        tried = np.linspace(low, high, _TRIED)[1:].tolist()
        fits = [one <= period for one in ready.medians([_scaled(ready, *along(factor)) for factor in tried])]
        kept = [factor for factor, fit in zip(tried, fits, strict=True) if fit]
        low, high = (kept[-1] if kept else low), next((f for f in tried if f > (kept[-1] if kept else low)), high)
    return float(low)


def _rebuilt(ready: Prepared, hosts: float, left: float) -> Prepared:
    """The graph with these delays as what was measured."""
    basis, graph = ready.basis, ready.basis.graph
    edit = _scaled(ready, hosts, left)
    old = basis.delays
    lane, cross, usual_lane, usual_cross = (
        times.copy() for times in (old.lane, old.cross, old.usual_lane, old.usual_cross)
    )
    edit(basis, lane, cross)
    edit(basis, usual_lane, usual_cross)
    time = ready.times([edit]).of(0)
    faster = replace(graph, time=time, delay=time[graph.edges.target] - time[graph.edges.source])
    delays = Delays(lane, cross, _binding(faster, lane, cross), usual_lane, usual_cross)
    changed = replace(basis, graph=faster, delays=delays, levels=_scaled_levels(basis, basis.levels, edit))
    unseen = None if ready.unseen is None else _scaled_levels(basis, ready.unseen, edit)
    return replace(ready, basis=changed, unseen=unseen)


def _scaled_levels(basis: Basis, levels: Levels, edit: Edit) -> Levels:
    lane, cross = levels.lane.copy(), levels.cross.copy()
    edit(basis, lane, cross)
    return replace(levels, lane=lane, cross=cross)


def _binding(graph: Graph, lane: I64, cross: I64) -> I64:
    """Of each node an edge that it could not come before, -1 where it is its lane's (see delays.Delays)."""
    source, target = graph.edges.source, graph.edges.target
    found = np.full(len(graph.time), -1, dtype=np.int64)
    by_lane = np.zeros(len(graph.time), dtype=np.bool_)
    by_lane[1:] = graph.time[1:] == graph.time[:-1] + lane[1:]
    by_lane[graph.opens] = False
    # The end of a matched call is the wire's.
    by_lane[target[graph.link == Link.WIRE]] = False
    tight = np.flatnonzero((graph.time[target] == graph.time[source] + cross) & ~by_lane[target])
    found[target[tight]] = tight
    return found
