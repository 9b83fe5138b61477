"""Which nodes and edges of a graph are a host's work, a launch call's, a gap's, an operation's: what edits are of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import numbered
from nsysan.replay.engine import I64
from nsysan.replay.links import Link
from nsysan.replay.shape import Graph

Mask = npt.NDArray[np.bool_]


def host_work(graph: Graph) -> Mask:
    """Nodes before which a host works: where a call begins (after the one before it), and where it ends."""
    found = np.zeros(len(graph.time), dtype=np.bool_)
    found[: graph.first_operation] = True
    return found & ~graph.opens


def call_ends(graph: Graph, of: pl.Expr) -> Mask:
    """Where the calls that the expression chooses end."""
    found = np.zeros(len(graph.time), dtype=np.bool_)
    found[1 : graph.first_operation : 2] = _chosen(graph.calls, of)
    return found


def operation_nodes(graph: Graph, of: pl.Expr) -> Mask:
    """Where the operations that the expression chooses begin and end."""
    found = np.zeros(len(graph.time), dtype=np.bool_)
    found[graph.first_operation : graph.first_arrival] = np.repeat(_chosen(graph.operations, of), 2)
    return found


def operation_ends(graph: Graph, of: pl.Expr) -> Mask:
    """Where they end."""
    found = operation_nodes(graph, of)
    found[graph.first_operation : graph.first_arrival : 2] = False
    return found


def gaps(graph: Graph) -> tuple[Mask, Mask]:
    """The nodes where operations begin after others of their stream, and the edges after those of other streams.

    Not of an operation without a launch record: what comes before it may be a late host.
    """
    nodes = np.zeros(len(graph.time), dtype=np.bool_)
    nodes[graph.edges.target[graph.link == Link.LAUNCH]] = True
    nodes |= operation_nodes(graph, inside_graph())
    nodes[: graph.first_operation] = False
    nodes[graph.first_operation + 1 : graph.first_arrival : 2] = False
    return nodes & ~graph.opens, graph.link == Link.ORDER


def inside_graph() -> pl.Expr:
    """Whether an operation comes after another node of its graph."""
    same = pl.col("correlation") == pl.col("correlation").shift(1)
    return pl.col("graph_node").is_not_null() & same.fill_null(value=False)


def by_class(graph: Graph, numbers: Mapping[str, int], other: int) -> I64:
    """Of each operation the number of its class."""
    found = numbered(graph.operations["cls"], numbers).astype(np.int64)
    found[found < 0] = other
    return found


def wire_edges(graph: Graph, of: pl.Expr) -> Mask:
    """The edges of the matched calls that the expression chooses: from the last arrival to a rank's end."""
    found: Mask = graph.link == Link.WIRE
    found[found] = _chosen(graph.operations, of)[(graph.edges.target[found] - graph.first_operation) // 2]
    return found


def scale(times: I64, of: Mask, factor: float) -> None:
    """These times by a factor, in whole ns."""
    times[of] = np.rint(times[of] * factor).astype(np.int64)


def _chosen(rows: pl.DataFrame, of: pl.Expr) -> Mask:
    chosen: Mask = rows.select(pl.lit(value=True) & of).to_series().fill_null(value=False).to_numpy()
    return chosen
