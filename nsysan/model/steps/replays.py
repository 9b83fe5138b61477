"""Steps from CUDA graph replays (DEFINITIONS.md, section 4)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.times import by_time
from nsysan.model.operations import Operations
from nsysan.model.steps.period import find_repetition
from nsysan.model.steps.step_windows import Membership, StepWindows, frame

_I64 = npt.NDArray[np.int64]
_OF_REPLAYS = ("begin", "end", "correlation", "graph", "graph_node", "type", "name")


def by_replays(work: Operations) -> StepWindows | None:
    """Steps from CUDA graph replays: one each, or as many as a piecewise capture has pieces."""
    if "graph_node" not in work.stored and not (work.whats["type"] == "graph").any():
        return None
    found, pieces, replays = Membership(work), set(), 0
    for key in work.keys:
        own = work.frame(_OF_REPLAYS, key)
        group = _replays(own)
        if group.is_empty():
            continue
        replays += len(group)
        starts, ends, per_step = _replay_steps(group, own)
        pieces.add(per_step)
        if len(starts) >= 2:
            found.add(frame(key, starts, ends, "replay"), key, by_time(own["begin"].to_numpy(), starts, ends))
    windows = found.windows
    if windows.is_empty():
        return None
    many = f"{max(pieces)} CUDA graph replays a step (piecewise graphs)" if max(pieces) > 1 else "CUDA graph replays"
    left_out = replays - len(windows) * max(pieces)
    stand = "replay stands" if left_out == 1 else "replays stand"
    notes = (f"{left_out} graph {stand} apart from the decode loop: no step",) if left_out > 0 else ()
    return StepWindows("graph", many, windows, found.member, notes)


def _replays(own: pl.DataFrame) -> pl.DataFrame:
    """begin, end, graph_id of each replay of one owner, in order."""
    replayed = own.filter(pl.col("graph_node").is_not_null() | (pl.col("type") == "graph"))
    return (
        replayed.with_columns(graph_id=pl.coalesce("graph", pl.col("graph_node") // (1 << 32)))
        .group_by("correlation")
        .agg(pl.min("begin"), pl.max("end"), pl.first("graph_id"))
        .sort("begin")
    )


def _replay_steps(replays: pl.DataFrame, work: pl.DataFrame) -> tuple[_I64, _I64, int]:
    """begin and finish of each step of one rank, and how many replays make a step.

    Between two replays of a decode loop runs the same work each time (sampling, or nothing). A replay that
    other work sets apart, such as a warm-up before a barrier, is no step of the loop.
    """
    per_step, first = _pieces(replays["graph_id"].fill_null(-1).to_numpy())
    begins = replays["begin"].to_numpy()[first:]
    last_ends = replays["end"].cum_max().to_numpy()[first:]
    whole = len(begins) // per_step * per_step
    starts = begins[:whole:per_step]
    ends = last_ends[per_step - 1 : whole : per_step]
    if len(starts) < 2:
        return starts[:0], ends[:0], per_step
    outside = work.filter(pl.col("graph_node").is_null() & (pl.col("type") != "graph"))
    loop = _in_loop(outside, starts, ends)
    finish = np.concatenate((np.where(loop[1:-1], starts[1:], ends[:-1]), ends[-1:]))
    in_run = loop[:-1] | loop[1:]
    return starts[in_run], finish[in_run], per_step


def _pieces(graphs: _I64) -> tuple[int, int]:
    """Replays per step and index of the first whole step, from the sequence of graph ids."""
    repetition = find_repetition(graphs)
    if repetition is None or repetition.length == 1:
        return 1, 0
    block = graphs[repetition.first : repetition.first + repetition.length]
    if len(np.unique(block)) < len(block):
        return 1, 0  # one whole graph per batch size, taken in turn
    return repetition.length, repetition.first


def _in_loop(outside: pl.DataFrame, starts: _I64, ends: _I64) -> npt.NDArray[np.bool_]:
    """For each gap before, between and after the replays: whether two steps of one loop meet there.

    They do where the work in the gap is the same as in another gap. The first and last entry are False.
    """
    begun = outside["begin"].to_numpy()
    gap = np.searchsorted(starts, begun, side="right")  # gap i lies before replay i
    inside = (gap > 0) & (begun < ends[np.maximum(gap, 1) - 1])
    between = outside.with_columns(gap=pl.Series(gap)).filter(pl.Series(~inside))
    counts = between.group_by("gap", "name").agg(n=pl.len()).sort("gap", "name")
    signatures = dict(counts.group_by("gap").agg(s=pl.struct("name", "n").hash().sum()).iter_rows())
    signature = [signatures.get(i, 0) for i in range(1, len(starts))]
    frequency = pl.Series(signature, dtype=pl.UInt64).to_frame("s").select(pl.len().over("s")).to_series().to_numpy()
    # With only two replays nothing repeats; an empty gap is a loop all the same.
    meets = (frequency >= 2) | (np.array(signature) == 0)
    return np.concatenate(([False], np.asarray(meets, dtype=np.bool_), [False]))
