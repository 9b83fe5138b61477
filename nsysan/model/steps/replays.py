"""Steps from CUDA graph replays (DEFINITIONS.md, section 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.times import by_time
from nsysan.model.operations import Operations
from nsysan.model.steps.period import MIN_REPEATS, Repetition, find_repetition
from nsysan.model.steps.step_kind import StepMethod
from nsysan.model.steps.step_windows import Membership, StepWindows, frame

_I64 = npt.NDArray[np.int64]
#: Of more stretches than this, each of which repeats something else, the replays are steps of their own.
_MOST_STRETCHES = 256
#: A draft has so many times fewer kernels than its target.
_FEWER = 2
#: Hosts that wait for each replay do so after such a share.
_MOSTLY = 0.9
#: So many graphs take turns, where each is a step.
_IN_TURN = 3
_OF_REPLAYS = ("begin", "end", "correlation", "graph", "graph_node", "type", "name", "thread")


def by_replays(work: Operations, waits: pl.DataFrame) -> StepWindows | None:
    """Steps from CUDA graph replays: the whole cycle that ends in a token, which may be one replay or many.

    waits: thread, end of the calls in which hosts wait.
    """
    if "graph_node" not in work.stored and not (work.descriptions["type"] == "graph").any():
        return None
    found, lengths, replays, stepped = Membership(work), set(), 0, 0
    for key in work.keys:
        own = work.frame(_OF_REPLAYS, key)
        group = _replays(own)
        if group.is_empty():
            continue
        replays += len(group)
        waited = waits.filter(pl.col("thread").is_in(own["thread"].unique().implode()))["end"].sort().to_numpy()
        steps = _replay_steps(group, own, waited)
        lengths.add(steps.usual)
        stepped += steps.replays
        if len(steps.starts) >= 2:
            begun = own["begin"].to_numpy()
            found.add(frame(key, steps.starts, steps.ends, "replay"), key, by_time(begun, steps.starts, steps.ends))
    windows = found.windows
    if windows.is_empty():
        return None
    most = max(lengths)
    source = f"{most} CUDA graph replays a step" if most > 1 else "CUDA graph replays"
    left_out = replays - stepped
    stand = "replay stands" if left_out == 1 else "replays stand"
    notes = (f"{left_out} graph {stand} apart from the decode loop: no step",) if left_out > 0 else ()
    return StepWindows(StepMethod.GRAPH, source, windows, found.member, notes)


def _replays(own: pl.DataFrame) -> pl.DataFrame:
    """begin, end, graph_id, nodes, work (number of what it runs, null where no node shows) of each replay, in order."""
    replayed = own.filter(pl.col("graph_node").is_not_null() | (pl.col("type") == "graph"))
    return (
        replayed.with_columns(graph_id=pl.coalesce("graph", pl.col("graph_node") // (1 << 32)))
        .group_by("correlation")
        .agg(
            pl.min("begin"),
            pl.max("end"),
            pl.first("graph_id"),
            nodes=pl.len().cast(pl.Int64),
            work=pl.when(pl.col("graph_node").is_not_null().all()).then(pl.struct("name").hash().sum()),
        )
        .sort("begin")
    )


class _ReplaySteps(NamedTuple):
    """begin and finish of each step of one rank; usual: replays of most of them; replays: of all of them together."""

    starts: _I64
    ends: _I64
    usual: int
    replays: int


def _replay_steps(replays: pl.DataFrame, work: pl.DataFrame, waited: _I64) -> _ReplaySteps:
    """The steps of one rank; waited: when its host has waited, ascending.

    Between two replays of a decode loop runs the same work each time (sampling, or nothing). A replay that
    other work sets apart, such as a warm-up before a barrier, is no step of the loop.
    """
    begins, last_ends = replays["begin"].to_numpy(), replays["end"].cum_max().to_numpy()
    outside = work.filter(pl.col("graph_node").is_null() & (pl.col("type") != "graph"))
    between = _between(outside, begins, last_ends)
    targets = of_targets(replays["nodes"].to_numpy(), between[1])
    if targets is None:
        heads, lengths = cycles(_graphs(replays, begins, waited), *between, begins, last_ends)
    else:
        heads, lengths = targets
    starts, ends = begins[heads], last_ends[heads + lengths - 1]
    usual = int(np.bincount(lengths).argmax()) if len(lengths) else 1
    if len(starts) < 2:
        return _ReplaySteps(starts[:0], ends[:0], usual, 0)
    loop = _in_loop(outside, starts, ends)
    follows = np.concatenate((heads[1:] == heads[:-1] + lengths[:-1], [False]))
    finish = np.where(loop[1:] & follows, np.concatenate((starts[1:], ends[-1:])), ends)
    in_run = loop[:-1] | loop[1:]
    return _ReplaySteps(starts[in_run], finish[in_run], usual, int(lengths[in_run].sum()))


def _graphs(replays: pl.DataFrame, begins: _I64, waited: _I64) -> _I64:
    """The graph of each replay, by number.

    Where the host waits for each, as for a token, those that run the same work are one: two take turns.
    """
    graphs = replays["graph_id"].fill_null(-1)
    # More are the layers of one step.
    if graphs.n_unique() > _IN_TURN:
        return graphs.to_numpy()
    waits = np.diff(np.searchsorted(waited, np.append(begins, np.iinfo(np.int64).max))) > 0
    if waits.mean() <= _MOSTLY or replays["work"].has_nulls():
        return graphs.to_numpy()
    return replays["work"].rank("dense").cast(pl.Int64).to_numpy()


def _between(outside: pl.DataFrame, begins: _I64, ends: _I64) -> tuple[_I64, npt.NDArray[np.bool_]]:
    """For each replay what runs after it and before the next but copies, as a number, and whether data is read back."""
    begun = outside["begin"].to_numpy()
    before = np.searchsorted(begins, begun, side="right") - 1
    # What runs beside a replay is of no gap.
    free = (before >= 0) & (begun >= ends[np.maximum(before, 0)])
    told = outside.select("name", "type").with_columns(replay=pl.Series(before)).filter(pl.Series(free))
    reads = np.zeros(len(begins), dtype=np.bool_)
    copied = told.filter((pl.col("type") == "memcpy") & pl.col("name").cast(pl.String).str.contains("DtoH"))
    reads[copied["replay"].to_numpy()] = True
    kernels = told.filter(pl.col("type") == "kernel").group_by("replay", "name").agg(n=pl.len())
    kinds = kernels.group_by("replay").agg(hash=pl.struct("name", "n").hash().sum())
    number = np.zeros(len(begins), dtype=np.int64)
    number[kinds["replay"].to_numpy()] = kinds["hash"].rank("dense").cast(pl.Int64).to_numpy()
    return number, reads


def cycles(graphs: _I64, between: _I64, reads: npt.NDArray[np.bool_], begins: _I64, ends: _I64) -> tuple[_I64, _I64]:
    """First replay of each step, and how many it has; each step ends in a token.

    graphs: graph of each replay; between: kind of the kernels that follow it, 0 for none; reads: whether results are
    read back after it; begins, ends: of each replay, ns. A stretch that repeats is cut where results are read back
    once in it, else it is one step, which begins after the longest gap; equal replays with equal work after each are
    steps of their own, whatever the readback: one replay a token, read in bulk.
    """
    pairs = np.stack((graphs, between), axis=1)
    _, symbols = np.unique(pairs, axis=0, return_inverse=True)
    gaps = np.zeros(len(begins), dtype=np.int64)
    gaps[1:] = np.maximum(begins[1:] - ends[:-1], 0)
    heads: list[int] = []
    lengths: list[int] = []

    rest = [(0, len(graphs))]
    for _ in range(_MOST_STRETCHES):
        if not rest:
            break
        first, last = rest.pop()
        found = find_repetition(symbols[first:last]) if last - first >= MIN_REPEATS else None
        if found is None:
            heads += range(first, last)
            lengths += [1] * (last - first)
            continue
        begin, stop = first + found.first, first + found.first + found.length * found.count
        offset, parts = _parts(slice(begin, stop), found, graphs, between, reads, gaps)
        if offset:
            begin, stop = begin + offset, stop - found.length + offset
        starts = begin + np.cumsum([0, *(parts * ((stop - begin) // found.length))])
        heads += starts[:-1].tolist()
        lengths += np.diff(starts).tolist()
        rest += [(first, begin), (stop, last)]
    for first, last in rest:
        heads += range(first, last)
        lengths += [1] * (last - first)
    order = np.argsort(np.array(heads, dtype=np.int64), kind="stable")
    return np.array(heads, dtype=np.int64)[order], np.array(lengths, dtype=np.int64)[order]


def of_targets(nodes: _I64, reads: npt.NDArray[np.bool_]) -> tuple[_I64, _I64] | None:
    """First replay of each step, and how many it has, where another number of drafts goes with each target, or each is
    read back: graphs of far fewer kernels, in runs before a graph that is none. None: it is not so.

    nodes: kernels of each replay; reads: as in cycles.
    """
    target = _FEWER * nodes > nodes.max()
    last, closed = np.flatnonzero(target), np.flatnonzero(target)
    if len(last) < MIN_REPEATS or target.all():
        return None
    drafts = np.diff(last, prepend=-1)[1:] - 1
    # Layers differ so, too: that a target ends in a token is to be seen.
    if (drafts > 0).mean() <= _MOSTLY or not reads.any() or not (drafts.min() < drafts.max() or reads.all()):
        return None
    if reads[last].mean() <= _MOSTLY:
        # What is read back is of the drafts behind a target.
        closed = np.append(last[1:] - 1, len(nodes) - 1)
        if reads[closed].mean() <= _MOSTLY:
            return None
    heads = np.concatenate([[0], closed[:-1] + 1])
    return heads, closed + 1 - heads


def _parts(
    where: slice, found: Repetition, graphs: _I64, between: _I64, reads: npt.NDArray[np.bool_], gaps: _I64
) -> tuple[int, list[int]]:
    """Where in a stretch that repeats its first step begins, and the replays of each of its steps."""
    length = found.length
    if length == 1:
        return 0, [1]
    block, after = graphs[where][:length], between[where][:length]
    read = reads[where].reshape(found.count, length).mean(axis=0) > 0.5
    alike = len(np.unique(after)) == 1
    if read.all() or (alike and not read.any() and len(np.unique(block)) < length):
        # One whole graph per batch size, taken in turn.
        return 0, [1] * length
    if read.any():
        closing = np.flatnonzero(read)
        head = _of_drafts(block, closing)
        if head is not None:
            return head, [length]
        parts = np.diff(closing, append=closing[0] + length)
        return int(closing[-1] + 1) % length, [int(n) for n in np.roll(parts, 1)]
    dry = np.median(gaps[where].reshape(found.count, length)[1:], axis=0)
    return int(np.argmax(dry)), [length]


def _of_drafts(block: _I64, closing: _I64) -> int | None:
    """Where a step begins that reads back after each of its drafts: the target and the first draft, then the others.

    Graphs that come at the end of one part and are all of every other are no steps of their own. None: it is none such.
    closing: the replays after which results are read back.
    """
    length = len(block)
    sizes = np.diff(closing, prepend=closing[-1] - length)
    parts = [np.arange(last - size + 1, last + 1) % length for size, last in zip(sizes, closing, strict=True)]
    longest = max(parts, key=len)
    rest = [part for part in parts if part is not longest]
    draft = all(len(part) < len(longest) and (block[part] == block[longest[-len(part) :]]).all() for part in rest)
    return int(longest[0]) if rest and draft else None


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
