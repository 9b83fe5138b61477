"""One trace read on its own clock, and the little of it that its run is put together from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.columns.memory import give_back
from nsysan.columns.rows import none_if_negative, taken
from nsysan.columns.threads import each_of
from nsysan.model.classes import COMMUNICATION, WorkClass, load_catalogue
from nsysan.model.host_clock import CLOCKED, HostClock, host_clock
from nsysan.model.load import load_operations
from nsysan.model.metadata import TraceMetadata, metadata_of
from nsysan.model.operations import OPERATION, Operations, in_words, is_communication
from nsysan.model.payloads import with_payloads
from nsysan.model.ranks import Rank, identify_ranks
from nsysan.model.selection import WHOLE, Selection
from nsysan.model.steps.extents import with_extents
from nsysan.model.steps.graphs import with_graphs
from nsysan.model.steps.search import find_windows
from nsysan.model.steps.step_windows import StepWindows
from nsysan.timings import stage
from nsysan.trace.trace import Trace

#: Up to this many pairs of a window and a kind of operation have a place each; more are looked for.
_PLACES = 1 << 22
_OF_CALLS = ("row", "process", "thread", "launch_start", "graph_node", "kind", "cls")
#: What of a call is needed to number steps, to match it over the ranks and to tell its speed.
CALL = (
    "row",
    "rank_key",
    "begin",
    "end",
    "context",
    "stream",
    "correlation",
    "graph_node",
    "name",
    "cls",
    "kind",
    "library",
    "group_size",
    "barrier",
    "message_bytes",
    "communicator",
    "half",
    "peer",
)


@dataclass(frozen=True)
class ReadRequest:
    """How to read a trace. steps: regular expression for ranges that mark steps; use_nvtx: whether ranges may.

    selection: which part of it is wanted.
    """

    source: Path | Trace
    steps: str | None = None
    use_nvtx: bool = True
    selection: Selection = WHOLE


class LoadedTrace(NamedTuple):
    """One trace as it was read: its operations.

    payloads: row, message_bytes, communicator, peer, asked, half of its communication. step_windows: its steps.
    ranks: by rank_key. bystanders: (process, device) without a step.
    """

    request: ReadRequest
    trace: Trace
    work: Operations
    payloads: pl.DataFrame
    step_windows: StepWindows
    ranks: list[tuple[int, Rank]]
    bystanders: list[tuple[int, int]]


class TraceSummary(NamedTuple):
    """What the run needs of a trace that was read, on the trace's own clock.

    rows: of its operations. span: earliest start and latest end of them. step_windows: without members.
    calls: its communication, columns CALL, and member: begin of the window that the call is of, null where none.
    opaque: rank_keys whose work is in part not known, so that they may communicate unseen. host_clocks: by rank_key.
    counts: rank_key, begin (of a window), name, n, collectives, ns: operations of that name in the window but memory
      sets and copies that no call asked for, and how many of them communicate.
    """

    metadata: TraceMetadata
    ranks: list[tuple[int, Rank]]
    bystanders: list[tuple[int, int]]
    rows: int
    span: tuple[int, int]
    step_windows: StepWindows
    calls: pl.DataFrame
    counts: pl.DataFrame
    opaque: list[int]
    host_clocks: dict[int, HostClock]

    @property
    def keys(self) -> int:
        """Number of (process, device) with GPU work."""
        return len(self.ranks) + len(self.bystanders)


@stage("read the trace")
def read(request: ReadRequest) -> LoadedTrace:
    """Read a trace; NsysanError where it cannot be, or holds no GPU work, or `steps` matches nothing."""
    trace = request.source if isinstance(request.source, Trace) else Trace(request.source)
    request.selection.apply_to(trace)
    work = load_operations(trace, load_catalogue())
    give_back(len(work))
    if not work.descriptions["type"].is_in(["kernel", "graph"]).any():
        raise NsysanError(_nothing(trace, request.selection), ExitCode.NOTHING_TO_ANALYSE)
    calls = in_words(work.frame(_OF_CALLS, at=work.of_class(COMMUNICATION)))
    payloads = with_payloads(calls, trace.ranges, trace.graph_nodes, trace.payload_entries)
    payloads = payloads.select("row", "message_bytes", "communicator", "peer", "asked", "half").sort("row")
    step_windows = find_windows(trace, work, request.steps, use_nvtx=request.use_nvtx)
    step_windows = with_graphs(work, with_extents(work, step_windows))
    trace.release("calls")
    give_back(len(work))
    owners = list(work.owners.iter_rows())
    stepped = sorted(step_windows.windows["rank_key"].unique())
    key_of = {owners[key]: key for key in stepped}
    identified = identify_ranks(trace, list(key_of))
    ranks = [(key_of[rank.process, rank.device], rank) for rank in identified]
    bystanders = [owner for owner in owners if owner not in key_of]
    return LoadedTrace(request, trace, work, payloads, step_windows, ranks, bystanders)


@stage("summarise the trace")
def summarise(loaded: LoadedTrace) -> TraceSummary:
    """The summary of a trace that was read."""
    work, step_windows = loaded.work, loaded.step_windows
    begins = step_windows.windows["begin"]
    stepped = np.zeros(len(work.keys), dtype=np.bool_)
    stepped[[key for key, _ in loaded.ranks]] = True
    at = work.of_class(COMMUNICATION)
    calls = work.frame([name for name in CALL if name in OPERATION], at=at)
    calls = calls.with_columns(taken(begins, none_if_negative(step_windows.member[at])).alias("member")).filter(
        pl.Series(stepped[calls["rank_key"].to_numpy()])
    )
    calls = _as_asked(in_words(calls).join(loaded.payloads, on="row", how="left", maintain_order="left"))
    starts, ends = work.stored["start"], work.stored["end"]
    keys = [key for key, _ in loaded.ranks]
    return TraceSummary(
        metadata=metadata_of(loaded.trace),
        ranks=loaded.ranks,
        bystanders=loaded.bystanders,
        rows=len(work),
        span=(starts.min(), ends.max()),  # type: ignore[arg-type]
        step_windows=StepWindows(
            step_windows.method,
            step_windows.source,
            _with_stops(loaded),
            step_windows.member[:0],
            step_windows.notes,
        ),
        calls=calls.select(*CALL, "member"),
        opaque=[key for key, _ in loaded.ranks if _may_communicate_unseen(work, key)],
        host_clocks=dict(
            zip(keys, each_of(lambda key: host_clock(work.frame(CLOCKED, key)), keys, len(work)), strict=True)
        ),
        counts=pl.concat(each_of(lambda key: _counts(work, step_windows, key), work.keys, len(work))).sort(
            "rank_key", "name", "begin"
        ),
    )


def _with_stops(loaded: LoadedTrace) -> pl.DataFrame:
    """The windows of steps, with `stopped` where nsys stopped threads: whether one that launches their rank's work."""
    windows, stops = loaded.step_windows.windows, loaded.trace.flushes
    if stops.is_empty():
        return windows
    threads = [
        loaded.work.frame(("thread",), key).select(pl.col("thread").unique(), rank_key=pl.lit(key, pl.Int64))
        for key, _ in loaded.ranks
    ]
    own = stops.join(pl.concat(threads), on="thread")
    stopped = windows.join_where(
        own.select(pl.col("rank_key").alias("of"), "start", "end"),
        pl.col("rank_key") == pl.col("of"),
        pl.col("begin") < pl.col("end"),
        pl.col("finish") > pl.col("start"),
    )
    return windows.with_columns(
        stopped=pl.struct("rank_key", "begin").is_in(
            stopped.select(pl.struct("rank_key", "begin")).to_series().implode()
        )
    )


def _may_communicate_unseen(work: Operations, key: int) -> bool:
    """Whether there are replays traced as blocks, or kernels that are named like collectives that nobody knows."""
    unknown = (
        (work.descriptions["cls"].cast(pl.String) == WorkClass.OPAQUE) | work.descriptions["lookalike"]
    ).fill_null(False)
    return bool(unknown.to_numpy()[work.stored["description"].to_numpy()[slice(*work.rows(key))]].any())


def _as_asked(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls, those that are made of sends and receives as the collective that was asked for."""
    other = pl.col("asked").is_not_null()
    return calls.with_columns(
        kind=pl.coalesce("asked", "kind"),
        cls=pl.when(other).then(pl.lit(WorkClass.COLLECTIVE)).otherwise("cls"),
        barrier=other | pl.col("barrier"),
    )


def _counts(work: Operations, step_windows: StepWindows, key: int) -> pl.DataFrame:
    """Summary.counts of one owner."""
    own = slice(*work.rows(key))
    member, description = step_windows.member[own].astype(np.int64), work.stored["description"].to_numpy()[own]
    kinds = len(work.descriptions)
    counted = (work.descriptions["type"] != "memset").to_numpy()
    # Nobody asked for a migration of unified memory, nor for any copy without a call: they come as they come.
    copies = (work.descriptions["type"] == "memcpy").to_numpy()[description]
    uncalled = work.frame(["launch_start"], key)["launch_start"].is_null().to_numpy() if copies.any() else copies
    unasked = copies & uncalled & bool((~uncalled).any())
    first = int(np.searchsorted(step_windows.windows["rank_key"].to_numpy(), key))
    number = (member - first) * kinds + description
    chosen = (member >= 0) & counted[description] & ~unasked
    number = number[chosen]
    # Sums of ns are whole and far below 2**53, so that floating point holds them exactly.
    lasted = (work.stored["end"].to_numpy()[own] - work.stored["start"].to_numpy()[own])[chosen].astype(np.float64)
    most = int(number.max(initial=-1)) + 1
    if most <= _PLACES:
        n, ns = np.bincount(number, minlength=most), np.bincount(number, weights=lasted, minlength=most)
        which = np.flatnonzero(n)
        n, ns = n[which], ns[which]
    else:
        which, place, n = np.unique(number, return_inverse=True, return_counts=True)
        ns = np.bincount(place, weights=lasted)
    descriptions = work.descriptions.select("name", is_communication().alias("communicates"))[which % kinds]
    counts = descriptions.with_columns(
        step_windows.windows["begin"].gather(first + which // kinds).alias("begin"),
        pl.col("name").cast(pl.String),
        pl.Series("n", n, dtype=pl.Int64),
        pl.Series("ns", ns.astype(np.int64), dtype=pl.Int64),
        rank_key=pl.lit(key, dtype=pl.Int64),
    )
    collectives = pl.col("n").filter("communicates").sum()
    sums = counts.group_by("rank_key", "begin", "name").agg(pl.sum("n", "ns"), collectives=collectives)
    return sums.select("rank_key", "begin", "name", "n", "collectives", "ns")


def _nothing(trace: Trace, selection: Selection) -> str:
    if selection.in_time and (extent := trace.extent()) is not None:
        first, last = (ns / 1e9 for ns in extent)
        return f"{trace.path}: no GPU work {selection.span}; the trace has it from {first:.3f} s to {last:.3f} s"
    why = "; ".join(
        sorted({d.text for d in trace.diagnostics if d.severity >= 2 and ("CUDA" in d.text or "Protected" in d.text)})
    )
    said = f" (the profiler said: {why})" if why else ""
    return (
        f"{trace.path}: no CUDA kernel and no graph replay in it{said}; capture with "
        f"`nsys profile --trace=cuda,nvtx --trace-fork-before-exec=true --cuda-graph-trace=node`"
    )
