"""The GPU work of a trace put in order, each operation with its class, its launch call and its effective start.

DEFINITIONS.md, sections 2, 3 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.chunks import fitted
from nsysan.columns.codes import codes
from nsysan.columns.rows import filled, none_if_negative
from nsysan.columns.threads import Beside, each_of
from nsysan.model.classes import Catalogue, WorkClass
from nsysan.model.operations import Operations
from nsysan.timings import stage
from nsysan.trace.trace import Trace
from nsysan.trace.vocabulary import SHAPE, UNNAMED

_CATEGORY = pl.Categorical()
_I64 = npt.NDArray[np.int64]
_Codes = npt.NDArray[Any]
_CORRELATIONS = 1 << 32  # CUPTI counts calls in 32 bits
#: A place for every correlation, where there are at most so many for each call that is wanted, or so many at all: those
#: of a real trace have twenty for each, which for millions of calls takes longer to fill than to search.
_PLACES_A_CALL, _PLACES = 4, 1 << 20
#: Operations at a time, few enough to stay in a processor's cache.
_AT_ONCE = 1 << 16
#: Up to this share of kernels without a name is counted with the rest.
_FEW_UNNAMED = 0.01
_NO_STREAM = -(1 << 62)
#: More pairs of a process and a device than any host has.
_MOST_OWNERS = 1_024
_DESCRIPTION = ("name", "demangled", "type")
_QUEUE = ("context", "stream")
_OWNER = ("process", "device")
#: What no two operations share: one call gives a stream one piece of work at a time.
_IDENTITY = ("owner", "queue", "start", "end", "correlation", "graph_node", "description")


@stage("put operations in order")
def load_operations(trace: Trace, catalogue: Catalogue) -> Operations:
    """The GPU work of a trace, with the class of each operation by the catalogue."""
    trace.read_work()
    with Beside() as beside:
        return _loaded(trace, catalogue, beside)


def _loaded(trace: Trace, catalogue: Catalogue, beside: Beside) -> Operations:
    # The file is read on while what was read is put in order.
    reading = beside.begin(lambda: trace.calls)
    frames = [trace.kernels, trace.copies, trace.graph_replays]
    # What is wanted of the largest frame is known, and each copy of it is as large as what is made of it.
    _ = trace.graph_mode
    trace.release("kernels")
    columns = _side_by_side([frame for frame in frames if len(frame)] or frames[:1])
    del frames
    coded = [_DESCRIPTION, _QUEUE, _OWNER, *([tuple(SHAPE)] if SHAPE.keys() <= columns.keys() else [])]
    keys = [[columns.pop(name) for name in names] for names in coded]
    (description, descriptions), (queue, queues), (owner, owners), *shape = each_of(codes, keys, len(columns["start"]))
    del keys
    columns |= {"description": pl.Series(description), "queue": pl.Series(queue)}
    shapes = None
    if shape:
        columns["shape"], shapes = pl.Series(shape[0][0]), shape[0][1]
    del shape
    if len(owners) > _MOST_OWNERS:
        raise trace.damaged(f"GPU work of {len(owners)} processes and devices")
    owner, owners = _numbered_in_order(owner, owners)
    queues = queues.cast(pl.Int64)
    streams = filled(queues["stream"], _NO_STREAM).to_numpy()
    order = _order(owner, columns["start"].to_numpy(), columns["end"].to_numpy(), lambda: streams[queue])
    if order is not None:
        owner, at = owner[order], pl.Series(order)
        for name in list(columns):
            columns[name] = columns[name].gather(at)
        del at, order
    once = _each_once({**columns, "owner": pl.Series(owner)}, queues, trace)
    if once is not None:
        owner = owner[once]
        columns = {name: column.gather(pl.Series(once)) for name, column in columns.items()}
    first = np.searchsorted(owner, np.arange(len(owners) + 1)).astype(np.int64)
    del owner
    columns["trimmed"] = _trimmed(columns, first, queues)
    calls = reading()
    ranges = beside.begin(lambda: trace.ranges)
    _ = trace.synchronise_calls
    trace.release("calls")
    columns |= _launches(columns["correlation"], owners, first, calls.table, calls.callers)
    callers = calls.callers.select("thread", launch="name")
    del calls
    _ = ranges()
    stored = {name: column for name, column in columns.items() if column.null_count() < len(column)}
    classified = _classified(descriptions, description, catalogue)
    return Operations(owners, first, stored, classified, queues, callers, shapes)


def _side_by_side(frames: list[pl.DataFrame]) -> dict[str, pl.Series]:
    """The columns of WORK of all frames, each behind the other, and those of SHAPE, null but for kernels."""
    if len(frames) == 1:
        return {column.name: column for column in frames[0].get_columns()}
    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    blank = [
        frame.with_columns(pl.lit(None, SHAPE[n]).alias(n) for n in names if n not in frame.columns) for frame in frames
    ]
    return {
        name: pl.concat([frame.select(name) for frame in blank], how="vertical_relaxed")[name].rechunk()
        for name in names
    }


def _numbered_in_order(owner: _Codes, owners: pl.DataFrame) -> tuple[_Codes, pl.DataFrame]:
    """Owners, and the owner of each operation, numbered by process and device."""
    ordered = owners.with_row_index("was").sort("process", "device")
    number = np.empty(len(owners), dtype=owner.dtype)
    number[ordered["was"].to_numpy()] = np.arange(len(owners))
    return number[owner], ordered.select(pl.col("process", "device").cast(pl.Int64))


def _order(owner: _Codes, start: _I64, end: _I64, stream: Callable[[], _I64]) -> _I64 | None:
    """The rows by owner, start, end and stream; None if they are in that order."""
    same = owner[1:] == owner[:-1]
    if ((owner[1:] > owner[:-1]) | same & (start[1:] > start[:-1])).all():
        return None
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(int(owner.max()) + 2))
    for first, last in pairwise(bounds):
        own = order[first:last]
        begun = start[own]
        if (begun[1:] > begun[:-1]).all():
            continue
        own = own[np.argsort(begun, kind="stable")]
        begun = start[own]
        if (begun[1:] == begun[:-1]).any():
            own = np.sort(own)
            own = own[np.lexsort((stream()[own], end[own], start[own]))]
        order[first:last] = own
    return order


def _each_once(columns: dict[str, pl.Series], queues: pl.DataFrame, trace: Trace) -> _I64 | None:
    """Rows, which are in order, that do not repeat the one before: a tool that merges files can write them twice.

    None if no row does.
    """
    begun = columns["start"].to_numpy()
    after = np.flatnonzero(begun[1:] == begun[:-1]) + 1
    if not len(after):
        return None
    own, before = pl.Series(after), pl.Series(after - 1)
    streams = queues["stream"].gather(columns["queue"].gather(own))
    repeats = streams.is_not_null() & columns["correlation"].gather(own).is_not_null()
    for name in _IDENTITY:
        repeats &= columns[name].gather(own).eq_missing(columns[name].gather(before))
    if not repeats.any():
        return None
    trace.leave_out("operations that occur twice", int(repeats.sum()))
    kept_rows = np.ones(len(begun), dtype=np.bool_)
    kept_rows[after[repeats.to_numpy()]] = False
    return np.flatnonzero(kept_rows)


def _classified(descriptions: pl.DataFrame, description: _Codes, catalogue: Catalogue) -> pl.DataFrame:
    """The distinct operations with their class; a trace has millions and a hundred names.

    Opaque are the kernels without a name, unless so few have none that they count for nothing.
    """
    found = [
        catalogue.classify(name, demangled or name) if type_ == "kernel" else None
        for name, demangled, type_ in descriptions.select(_DESCRIPTION).iter_rows()
    ]
    plain = {"graph": WorkClass.OPAQUE}
    types = descriptions["type"].to_list()
    kernels = np.array([type_ == "kernel" for type_ in types], dtype=np.bool_)
    nameless = (descriptions["name"].cast(pl.String) == UNNAMED) & descriptions["demangled"].is_null()
    unnamed = kernels & nameless.to_numpy()
    counts = np.bincount(description, minlength=len(descriptions))
    few = counts[unnamed].sum() <= _FEW_UNNAMED * counts[kernels].sum()
    op_classes = [
        WorkClass.OPAQUE if hidden and not few else f.op_class if f else plain.get(type_, WorkClass.COPY)
        for f, type_, hidden in zip(found, types, unnamed, strict=True)
    ]
    return descriptions.with_columns(
        pl.Series("cls", op_classes, dtype=_CATEGORY),
        pl.Series("kind", [f.kind if f else None for f in found], dtype=_CATEGORY),
        pl.Series("library", [f.library if f else None for f in found], dtype=_CATEGORY),
        pl.Series("lookalike", [f.lookalike if f else False for f in found], dtype=pl.Boolean),
        pl.Series("group_size", [f.group_size if f else None for f in found], dtype=pl.Int64),
        pl.Series("barrier", [f.barrier if f else False for f in found], dtype=pl.Boolean),
    )


def _launches(
    correlation: pl.Series, owners: pl.DataFrame, first: _I64, calls: pl.DataFrame, callers: pl.DataFrame
) -> dict[str, pl.Series]:
    """launch_start, launch_ns, caller: of the API call of each operation; a graph launch is that of all of a replay."""
    index = np.full(len(correlation), -1, dtype=np.int32)
    known = filled(calls["correlation"].cast(pl.Int64), -1).to_numpy()
    starts = calls["start"].to_numpy()
    processes, process_of_key = np.unique(owners["process"].to_numpy(), return_inverse=True)
    process_of_caller = callers["process"].to_numpy()
    number = np.searchsorted(processes, process_of_caller)
    number[~np.isin(process_of_caller, processes)] = len(processes)
    of_call = number.astype(np.uint16 if len(processes) < 1 << 16 else np.uint32)[calls["caller"].to_numpy()]
    by_process = np.argsort(of_call, kind="stable")
    bounds = np.searchsorted(of_call[by_process], np.arange(len(processes) + 1))

    def of_process(place: int) -> None:
        own = by_process[bounds[place] : bounds[place + 1]]
        correlations, begun = known[own], starts[own]
        possible = (correlations >= 0) & (correlations < _CORRELATIONS)
        if not possible.all():
            own, correlations, begun = own[possible], correlations[possible], begun[possible]
        # A runtime call may nest the driver call that does its work: the outer one is what the program waited for.
        if (begun[1:] < begun[:-1]).any():
            order = np.argsort(begun, kind="stable")
            own, correlations = own[order], correlations[order]
        for key in np.flatnonzero(process_of_key == place):
            rows = slice(int(first[key]), int(first[key + 1]))
            _look_up(correlation[rows], correlations, own, index[rows])

    each_of(of_process, range(len(processes)), len(calls))
    found = none_if_negative(index) if (index < 0).any() else pl.Series(index)
    return {
        "launch_start": calls["start"].gather(found),
        "launch_ns": calls["duration"].gather(found),
        "caller": calls["caller"].gather(found),
    }


def _look_up(wanted: pl.Series, known: _I64, numbers: _I64, found: npt.NDArray[np.int32]) -> None:
    """Write into `found`, for each wanted correlation that is known, the number of the first call that has it."""
    if not len(known):
        return
    least, most = int(known.min()), int(known.max())
    small = most - least < max(_PLACES_A_CALL * len(known), _PLACES)
    if small:
        # The last place is for what is not there. Of several calls the last one written stays, so the first comes last.
        table = np.full(most - least + 2, -1, dtype=np.int32)
        table[known[::-1] - least] = numbers[::-1]
    elif (known[1:] < known[:-1]).any():
        order = np.argsort(known, kind="stable")
        known, numbers = known[order], numbers[order]
    for begin in range(0, len(found), _AT_ONCE):
        values = filled(wanted.slice(begin, _AT_ONCE).cast(pl.Int64), -1).to_numpy()
        if small:
            own = table[np.where((values >= least) & (values <= most), values - least, -1)]
        else:
            nearest = np.minimum(np.searchsorted(known, values), len(known) - 1)
            own = np.where(known[nearest] == values, numbers[nearest], -1)
        found[begin : begin + _AT_ONCE] = own


def _trimmed(columns: dict[str, pl.Series], first: _I64, queues: pl.DataFrame) -> pl.Series:
    """How much later work begins than it starts, ns: no earlier than its predecessor on the same stream ends.

    With programmatic dependent launch a kernel is resident before its predecessor is done; a stream being
    serial, the time until then is the predecessor's, not overlap. Replay blocks of graph-level tracing queue behind
    each other; they are clipped by the same rule. Null throughout where nothing is trimmed.
    """
    queue = columns["queue"].to_numpy()
    starts, ends = columns["start"].to_numpy(), columns["end"].to_numpy()
    # Without streams nothing tells a predecessor from work beside it.
    serial = queues["stream"].is_not_null().to_numpy()
    trimmed: _I64 | None = None
    for begin, end in pairwise(first):
        for number, rows in _by_queue(queue[begin:end]):
            begun, ended = (
                (starts[begin:end], ends[begin:end]) if rows is None else (starts[rows + begin], ends[rows + begin])
            )
            if not serial[number] or not (begun[1:] < ended[:-1]).any():
                continue
            before = np.maximum.accumulate(ended)[:-1]
            began = np.minimum(np.maximum(begun[1:], before), ended[1:])
            trimmed = np.zeros(len(queue), dtype=np.int64) if trimmed is None else trimmed
            own = slice(begin + 1, end) if rows is None else rows[1:] + begin
            trimmed[own] = began - begun[1:]
    if trimmed is None:
        return pl.repeat(None, len(queue), dtype=pl.Int32, eager=True)
    return fitted(pl.Series(trimmed))


def _by_queue(queue: _Codes) -> Iterator[tuple[int, _I64 | None]]:
    """Each queue and the rows that are of it, None for all."""
    if not len(queue):
        return
    if (queue == queue[0]).all():
        yield int(queue[0]), None
        return
    order = np.argsort(queue, kind="stable")
    bounds = np.flatnonzero(np.diff(queue[order])) + 1
    for rows in np.split(order, bounds):
        yield int(queue[rows[0]]), rows
