"""All GPU work of a trace as one frame: its class, the call that launched it, its effective start."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.model import classes
from nsysan.model.attach import beside
from nsysan.model.classes import Catalogue
from nsysan.trace.export import UNNAMED, Trace
from nsysan.trace.rows import kept

_CATEGORY = pl.Categorical()
_I64 = npt.NDArray[np.int64]
_CORRELATIONS = 1 << 32  # CUPTI counts calls in 32 bits
#: Up to this share of kernels without a name is counted with the rest.
_FEW_UNNAMED = 0.01
_STREAM = ["process", "device", "context", "stream"]
_NO_STREAM = -(1 << 62)
_NAMES = ("name", "demangled")
#: What no two operations share: one call gives a stream one piece of work at a time.
_IDENTITY = (*_STREAM, "start", "end", "correlation", "graph_node", "name", "type")


def load_operations(trace: Trace, catalogue: Catalogue) -> pl.DataFrame:
    """Kernels, copies and graph blocks, one row each, ordered by process, device and start.

    Columns, beside those of trace.export.WORK: row (unique), cls, kind, library (categories), lookalike (see
    Catalogue); begin (the effective start, see `_trim_stream_overlap`), trimmed (begin - start, ns); thread,
    launch_start, launch_end, launch (of the API call, null where none is recorded).
    """
    kernels = trace.kernels
    # What is wanted of the largest frames is known, and each copy of one is as large as what is made of it.
    _ = trace.graph_mode
    trace.release()
    kernels = _with_classes(kernels, catalogue)
    kernels = kernels.with_columns(_unknown_if_unnamed(kernels))
    others = pl.concat([_plain(trace.copies, classes.COPY), _plain(trace.graph_replays, classes.OPAQUE)])
    work = pl.concat([kernels, others.select(kernels.columns)])
    del kernels, others
    work = kept(work, pl.col("start", "end").is_not_null())
    work = _each_once(_in_order(work), trace).with_row_index("row")
    work = _join_launches(work, trace)
    _ = trace.synchronise_calls
    trace.release()
    return _narrowed(_trim_stream_overlap(work))


def _with_classes(kernels: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """The kernels with the class of each; a pair of names is looked up by one number."""
    short, long = (kernels[name].to_physical().cast(pl.Int64).fill_null(-1).to_numpy() + 1 for name in _NAMES)
    number = short * (int(long.max(initial=0)) + 1) + long
    pairs, first = np.unique(number, return_index=True)
    table = _classified(kernels.select(_NAMES)[first], catalogue).drop(_NAMES)
    return beside(kernels, table, np.searchsorted(pairs, number))


def _in_order(work: pl.DataFrame) -> pl.DataFrame:
    """The rows by process, device, start, end and stream."""
    device, start = work["device"].to_numpy(), work["start"].to_numpy()
    process = work["process"].to_numpy()
    owner = np.searchsorted(np.unique(process), process) * (device.max(initial=0) + 1) + device
    order = np.lexsort((start, owner))
    if ((np.diff(start[order]) == 0) & (np.diff(owner[order]) == 0)).any():
        order = np.lexsort((work["stream"].fill_null(_NO_STREAM).to_numpy(), work["end"].to_numpy(), start, owner))
    return work[order]


def _each_once(work: pl.DataFrame, trace: Trace) -> pl.DataFrame:
    """The rows, in order, without those that repeat the one before: a tool that merges files can write them twice."""
    begun = work["start"].to_numpy()
    after = np.flatnonzero(np.diff(begun) == 0) + 1
    own, before = work.select(_IDENTITY)[after], work.select(_IDENTITY)[after - 1]
    told = own["stream"].is_not_null() & own["correlation"].is_not_null()
    for name in _IDENTITY:
        told &= own[name].eq_missing(before[name])
    if not told.any():
        return work
    trace.leave_out("operations that occur twice", int(told.sum()))
    kept_rows = np.ones(len(work), dtype=np.bool_)
    kept_rows[after[told.to_numpy()]] = False
    return work.filter(pl.Series(kept_rows))


def is_communication() -> pl.Expr:
    """Whether an operation communicates, by its class."""
    return pl.col("cls").is_in(list(classes.COMMUNICATION))


def in_words(work: pl.DataFrame) -> pl.DataFrame:
    """The operations with texts in place of categories, which only a frame of millions of rows needs."""
    return work.with_columns(pl.col(pl.Categorical).cast(pl.String))


def _classified(names: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Distinct (name, demangled) pairs with their class; a trace has thousands of kernels and a hundred names."""
    found = [catalogue.classify(name, demangled or name) for name, demangled in names.iter_rows()]
    return names.with_columns(
        pl.Series("cls", [f.op_class for f in found], dtype=_CATEGORY),
        pl.Series("kind", [f.kind for f in found], dtype=_CATEGORY),
        pl.Series("library", [f.library for f in found], dtype=_CATEGORY),
        pl.Series("lookalike", [f.lookalike for f in found], dtype=pl.Boolean),
    )


def _unknown_if_unnamed(kernels: pl.DataFrame) -> pl.Expr:
    """The class of each kernel: opaque where it has no name, unless so few have none that they count for nothing."""
    unnamed = (pl.col("name") == UNNAMED) & pl.col("demangled").is_null()
    few = kernels.select(unnamed.mean()).item() or 0.0
    if few <= _FEW_UNNAMED:
        return pl.col("cls")
    return pl.when(unnamed).then(pl.lit(classes.OPAQUE, _CATEGORY)).otherwise("cls").alias("cls")


def _plain(frame: pl.DataFrame, cls: str) -> pl.DataFrame:
    return frame.with_columns(
        cls=pl.lit(cls, _CATEGORY),
        kind=pl.lit(None, dtype=_CATEGORY),
        library=pl.lit(None, dtype=_CATEGORY),
        lookalike=pl.lit(False),
    )


def _join_launches(work: pl.DataFrame, trace: Trace) -> pl.DataFrame:
    """The API call of each operation; a graph launch is that of all operations of its replay."""
    calls = trace.launches
    processes = np.unique(np.concatenate((work["process"].unique().to_numpy(), calls["process"].unique().to_numpy())))
    keys, starts = _call_keys(calls, processes), calls["start"].to_numpy()
    # A runtime call may nest the driver call that does its work: the outer one is what the program waited for.
    order = np.lexsort((starts, keys))
    order = order[np.diff(keys[order], prepend=-1) != 0]
    known = keys[order]
    wanted = _call_keys(work, processes)
    index = np.full(len(work), -1, dtype=np.int64)
    if len(known):
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        found = (known[place] == wanted) & (wanted >= 0)
        index[found] = order[place[found]]
    return beside(work, calls.select("thread", launch_start="start", launch_end="end", launch="name"), index)


def _call_keys(frame: pl.DataFrame, processes: _I64) -> _I64:
    """One number for each (process, correlation), negative where there is no such call."""
    process = np.searchsorted(processes, frame["process"].to_numpy())
    correlation = frame["correlation"].fill_null(-1).to_numpy()
    known = (correlation >= 0) & (correlation < _CORRELATIONS)
    return np.where(known, process * _CORRELATIONS + correlation, -1)


#: Ids that CUDA gives in 32 bits, and times that are short.
_SMALL: dict[str, type[pl.Int32] | type[pl.UInt32]] = {
    "device": pl.Int32,
    "context": pl.Int32,
    "stream": pl.Int32,
    "correlation": pl.UInt32,
    "trimmed": pl.Int32,
}


def _narrowed(work: pl.DataFrame) -> pl.DataFrame:
    """The same numbers in fewer bytes: a column that has nothing takes none, and ids are small."""
    fitting = [name for name, dtype in _SMALL.items() if _fits(work[name], dtype)]
    empty = [name for name in ("graph", "bytes") if work[name].null_count() == len(work)]
    return work.with_columns(
        *(pl.col(name).cast(_SMALL[name]) for name in fitting), *(pl.lit(None).alias(name) for name in empty)
    )


def _fits(values: pl.Series, dtype: type[pl.Int32] | type[pl.UInt32]) -> bool:
    least, most = values.min(), values.max()
    if not isinstance(least, int) or not isinstance(most, int):
        return True
    lowest, highest = (0, (1 << 32) - 1) if dtype is pl.UInt32 else (-(1 << 31), (1 << 31) - 1)
    return lowest <= least and most <= highest


def _trim_stream_overlap(work: pl.DataFrame) -> pl.DataFrame:
    """Let work begin no earlier than its predecessor on the same stream ends.

    With programmatic dependent launch a kernel is resident before its predecessor is done; a stream being
    serial, the time until then is the predecessor's, not overlap.
    """
    # Replay blocks of graph-level tracing queue behind each other; they are clipped by the same rule.
    predecessor_end = pl.col("end").cum_max().shift(1).over(_STREAM, order_by=["start", "end"])
    # Without streams nothing tells a predecessor from work beside it.
    begin = pl.when(pl.col("stream").is_null()).then("start").otherwise(pl.max_horizontal("start", predecessor_end))
    return work.with_columns(begin=pl.min_horizontal(begin, "end")).with_columns(
        trimmed=pl.col("begin") - pl.col("start")
    )
