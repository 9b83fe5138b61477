"""The graph of a replay, and what its delays are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.replay.engine import I64, Edges


@dataclass(frozen=True)
class Graph:
    """calls, operations: the frames of them, in the order of their nodes, two each (begin and end), calls first;
    behind them a node for each matched collective, when its last rank has come.

    time: measured, ns. opens: whether a lane begins with a node. edges, link, delay: edges between lanes, what each
    is, its measured delay. ranks: their numbers; stages: those that do the same.
    """

    calls: pl.DataFrame
    operations: pl.DataFrame
    time: I64
    opens: npt.NDArray[np.bool_]
    edges: Edges
    link: I64
    delay: I64
    ranks: list[int]
    stages: list[tuple[int, ...]]

    @property
    def first_operation(self) -> int:
        """The node with which the operations begin."""
        return 2 * len(self.calls)

    @property
    def first_arrival(self) -> int:
        """The node with which the arrivals begin."""
        return self.first_operation + 2 * len(self.operations)


class Delays(NamedTuple):
    """lane: of each node after its predecessor in the lane; cross: of each edge; ns, as they are replayed.

    binding: of each node the number of the edge that bound it, -1 where its lane did. usual_lane, usual_cross: the
    same with every delay that is no work at the median that its kind has elsewhere.
    """

    lane: I64
    cross: I64
    binding: I64
    usual_lane: I64
    usual_cross: I64


@dataclass(frozen=True)
class Levels:
    """lane: the delay of each node in its lane, where it takes no more than its place does elsewhere; cross: of each
    edge; ns. The launch of work that most ranks do not have is NEVER.

    owner: of each edge the node of the rank that it is of, -1 where that is none's own.
    """

    lane: I64
    cross: I64
    owner: I64

    def longer(self, delays: Delays) -> npt.NDArray[np.bool_]:
        """Whether a node takes longer than its level, or an edge that is of it."""
        found: npt.NDArray[np.bool_] = delays.lane > self.lane
        found[self.owner[self.cross < delays.cross]] = True
        return found
