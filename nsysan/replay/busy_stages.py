"""A pipeline whose stages are busy all the time (METRICS section 10): what is left when none waits for another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.intervals import Covered
from nsysan.metrics.stages import StageWork
from nsysan.replay.edits import Basis, Edit
from nsysan.replay.engine import I64, NEVER
from nsysan.replay.links import Link
from nsysan.replay.shape import Graph

_CALL = ("stretch", "family", "of", "call")
Shares = npt.NDArray[np.float64]


def no_bubble(graph: Graph, wanting: Shares) -> Edit:
    """No stage waits for another: at their calls, for the step before, or with its host; wanting: as below."""
    between = _between_stages(graph)
    cut = between | (graph.link == Link.TURN)
    ends = graph.edges.target[between]
    count = len(wanting)
    took = np.diff(graph.time[:count], prepend=graph.time[:1])
    busy = np.rint(took * (1 - wanting)).astype(np.int64)
    inside = ~graph.opens[:count] & (wanting > 0)

    def edit(basis: Basis, lane: I64, cross: I64) -> None:
        lane[ends] = basis.delays.cross[between]
        cross[cut] = NEVER
        lane[:count] = np.where(inside, np.minimum(lane[:count], busy), lane[:count])

    return edit


def wanting_of(graph: Graph, work: StageWork) -> Shares:
    """Of the time before each node of a host the share in which its stage wants for another, as measured.

    What a host does then it need not do then: on the first stage while another one works and its own does not, on the
    others whenever their own does not, as a step comes to them from the first.
    """
    first = graph.first_operation
    shares = np.zeros(first)
    if not first:
        return shares
    begin, end = np.append(graph.time[0], graph.time[: first - 1]), graph.time[:first]
    ranks = np.repeat(graph.calls["rank"].to_numpy(), 2)
    always = Covered.by(graph.time.min(keepdims=True), graph.time.max(keepdims=True))
    for rank, stage in work.stage_of.items():
        others = [own for other, own in work.working.items() if other != stage]
        wanted = Covered.all_of(others if stage == 0 else [*others, always]).without(work.working[stage])
        at = np.flatnonzero((ranks == rank) & ~graph.opens[:first] & (end > begin))
        shares[at] = wanted.between(begin[at], end[at]) / (end[at] - begin[at])
    return shares


def _between_stages(graph: Graph) -> npt.NDArray[np.bool_]:
    """The edges by which ranks are held at calls among ranks of several stages."""
    stage = {rank: number for number, ranks in enumerate(graph.stages) for rank in ranks}
    stages = pl.col("rank").replace_strict(stage, return_dtype=pl.Int64)
    several = graph.operations.select(stages.n_unique().over(_CALL) > 1).to_series().fill_null(value=False).to_numpy()
    found = np.asarray(graph.link == Link.WIRE, dtype=np.bool_)
    found[found] = several[(graph.edges.target[found] - graph.first_operation) // 2]
    return found
