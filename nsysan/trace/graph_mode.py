"""How CUDA graphs were traced."""

from __future__ import annotations

from enum import StrEnum


class GraphMode(StrEnum):
    """The words of nsys' --cuda-graph-trace, and one for no replay; the first of several traces' holds for a run."""

    #: Each replay is one block, with nothing known of what is inside.
    GRAPH = "graph"
    NODE = "node"
    NONE = "none"
