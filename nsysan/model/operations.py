"""All GPU work of a trace as one frame: its class, the call that launched it, its effective start."""

from __future__ import annotations

import polars as pl

from nsysan.model import classes
from nsysan.model.classes import Catalogue
from nsysan.trace.export import Trace

_STREAM = ["process", "device", "context", "stream"]


def load_operations(trace: Trace, catalogue: Catalogue) -> pl.DataFrame:
    """Kernels, copies and graph blocks, one row each, ordered by process, device and start.

    Columns, beside those of trace.export.WORK: row (unique), cls, kind, library, lookalike (see Catalogue);
    begin (the effective start, see `_trim_stream_overlap`), trimmed (begin - start, ns); thread,
    launch_start, launch_end, launch (of the API call, null where none is recorded).
    """
    kernels = trace.kernels
    names = kernels.select("name", "demangled").unique(maintain_order=True)
    kernels = kernels.join(_classified(names, catalogue), on=["name", "demangled"], how="left", nulls_equal=True)
    others = pl.concat([_plain(trace.copies, classes.COPY), _plain(trace.graph_replays, classes.OPAQUE)])
    work = pl.concat([kernels, others.select(kernels.columns)])
    work = work.filter(pl.col("start").is_not_null() & pl.col("end").is_not_null())
    work = work.sort("process", "device", "start", "end", "stream").with_row_index("row")
    return _trim_stream_overlap(_join_launches(work, trace))


def _classified(names: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Distinct (name, demangled) pairs with their class; a trace has thousands of kernels and a hundred names."""
    found = [catalogue.classify(name, demangled or name) for name, demangled in names.iter_rows()]
    return names.with_columns(
        pl.Series("cls", [f.op_class for f in found], dtype=pl.String),
        pl.Series("kind", [f.kind for f in found], dtype=pl.String),
        pl.Series("library", [f.library for f in found], dtype=pl.String),
        pl.Series("lookalike", [f.lookalike for f in found], dtype=pl.Boolean),
    )


def _plain(frame: pl.DataFrame, cls: str) -> pl.DataFrame:
    return frame.with_columns(
        cls=pl.lit(cls),
        kind=pl.lit(None, dtype=pl.String),
        library=pl.lit(None, dtype=pl.String),
        lookalike=pl.lit(False),
    )


def _join_launches(work: pl.DataFrame, trace: Trace) -> pl.DataFrame:
    """The API call of each operation; a graph launch is that of all operations of its replay."""
    wanted = work.select("process", "correlation").unique()
    calls = (
        trace.launches.join(wanted, on=["process", "correlation"], how="semi")
        # A runtime call may nest the driver call that does its work: the outer one is what the program waited for.
        .sort("start")
        .unique(["process", "correlation"], keep="first", maintain_order=True)
        .rename({"start": "launch_start", "end": "launch_end", "name": "launch"})
    )
    return work.join(calls, on=["process", "correlation"], how="left", maintain_order="left")


def _trim_stream_overlap(work: pl.DataFrame) -> pl.DataFrame:
    """Let work begin no earlier than its predecessor on the same stream ends.

    With programmatic dependent launch a kernel is resident before its predecessor is done; a stream being
    serial, the time until then is the predecessor's, not overlap.
    """
    # Replay blocks of graph-level tracing queue behind each other; they are clipped by the same rule.
    predecessor_end = pl.col("end").cum_max().shift(1).over(_STREAM, order_by=["start", "end"])
    begin = pl.max_horizontal("start", predecessor_end)
    return work.with_columns(begin=pl.min_horizontal(begin, "end")).with_columns(
        trimmed=pl.col("begin") - pl.col("start")
    )
