"""Steps from CUDA graph replays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.model.found import Found, frame, members_by_time
from nsysan.model.period import find_repetition

_I64 = npt.NDArray[np.int64]


def by_replays(work: pl.DataFrame) -> Found | None:
    """Steps from CUDA graph replays: one each, or as many as a piecewise capture has pieces."""
    replayed = work.filter(pl.col("graph_node").is_not_null() | (pl.col("type") == "graph"))
    replays = (
        replayed.with_columns(graph_id=pl.coalesce("graph", pl.col("graph_node") // (1 << 32)))
        .group_by("rank_key", "correlation")
        .agg(pl.min("begin"), pl.max("end"), pl.first("graph_id"))
        .sort("rank_key", "begin")
    )
    parts, members, pieces = [], [], set()
    for (rank_key,), group in replays.partition_by("rank_key", as_dict=True, maintain_order=True).items():
        own = work.filter(pl.col("rank_key") == rank_key)
        starts, ends, per_step = _replay_steps(group, own)
        pieces.add(per_step)
        if len(starts) >= 2:
            parts.append(frame(rank_key, starts, ends, "replay"))
            members.append(members_by_time(own, rank_key, starts, ends))
    if not parts:
        return None
    many = f"{max(pieces)} CUDA graph replays a step (piecewise graphs)" if max(pieces) > 1 else "CUDA graph replays"
    left_out = len(replays) - sum(len(p) for p in parts) * max(pieces)
    stand = "replay stands" if left_out == 1 else "replays stand"
    notes = (f"{left_out} graph {stand} apart from the decode loop: no step",) if left_out > 0 else ()
    return Found("graph", many, pl.concat(parts), pl.concat(members), notes)


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
