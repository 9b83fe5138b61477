"""What a rank's GPU shows: its steps, the ledger drawn out, the operations on its streams, sampled counters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from nsysan.columns.times import in_any
from nsysan.metrics.cut import cut_at_arrival, line_names
from nsysan.metrics.ledger import FIGURES
from nsysan.metrics.partition import partition
from nsysan.model.classes import COMMUNICATION
from nsysan.model.operations import in_words
from nsysan.perfetto.events import MAX_NAME, Event, Tracks, known
from nsysan.run.placed import PlacedTrace
from nsysan.run.run import Run
from nsysan.run.samples import load_samples
from nsysan.text import plain

STEP, LEDGER, PART = "step", "ledger", "part"
#: Columns of the operations that are shown.
_OPERATION = (
    "row",
    "trace",
    "rank",
    "step",
    "context",
    "stream",
    "name",
    "demangled",
    "cls",
    "kind",
    "library",
    "bytes",
    "message_bytes",
    "communicator",
    "correlation",
    "graph_node",
    "start",
    "begin",
    "end",
    "last",
    "trimmed",
    "thread",
    "launch",
    "launch_start",
)


def step_slices(run: Run, windows: pl.DataFrame, tracks: Tracks) -> Iterator[Event]:
    """A slice a step and rank, with its ledger as args."""
    ledger = run.ledger.select("step", "rank", *FIGURES)
    for row in windows.join(ledger, on=["step", "rank"], how="left", maintain_order="left").iter_rows(named=True):
        args = known(
            step=row["step"],
            excluded=row["excluded"] and plain(row["excluded"]),
            **{name: row[name] for name in FIGURES},
        )
        name = f"step {row['step']}: {plain(row['label'])}"
        yield _slice(tracks, row["rank"], "steps", name, STEP, row["begin"], row["finish"], args)


def work_of(placed: PlacedTrace, steps: list[int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What a trace shows of these steps: the operations in their windows, and metrics.partition of the windows."""
    windows = placed.windows.filter(pl.col("step").is_in(steps))

    def of_rank(rank: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        own = windows.filter(pl.col("rank") == rank)
        times, spans = placed.frame(("begin", "end"), rank), (own["begin"].to_numpy(), own["finish"].to_numpy())
        inside = in_any(times["begin"].to_numpy(), times["end"].to_numpy(), spans)
        work = placed.frame(_OPERATION, rank, at=np.flatnonzero(inside))
        return work, partition(work, own)

    found = placed.each(of_rank)
    return in_words(pl.concat(work for work, _ in found)), pl.concat(lines for _, lines in found)


def ledger_slices(lines: pl.DataFrame, tracks: Tracks) -> Iterator[Event]:
    """The ledger of each step as slices named by line: those of a line sum to its figure, to the ns."""
    for row in lines.sort("rank", "begin").iter_rows(named=True):
        yield _slice(
            tracks, row["rank"], "ledger", row["line"], LEDGER, row["begin"], row["end"], {"step": row["step"]}
        )


def operation_slices(work: pl.DataFrame, tracks: Tracks) -> Iterator[Event]:
    """Operations on their streams, whole; a matched collective holds its waiting and what comes after."""
    matched = work.drop_nulls("last")
    parts = cut_at_arrival(matched).parts(matched, ("row",)).filter(pl.col("end") > pl.col("begin"))
    parts = parts.with_columns(line=line_names(parts["line"]))
    parts_of = parts.sort("begin").rows_by_key("row", include_key=False, named=False)
    for row in work.sort("rank", "context", "stream", "begin", "end", "row").iter_rows(named=True):
        thread = stream_name(row["context"], row["stream"])
        yield _slice(tracks, row["rank"], thread, plain(row["name"]), row["cls"], row["begin"], row["end"], _args(row))
        for begin, end, line in parts_of.get(row["row"], ()):
            yield _slice(tracks, row["rank"], thread, line, PART, begin, end, known(step=row["step"]))


def counters(run: Run, windows: pl.DataFrame, tracks: Tracks) -> Iterator[Event]:
    """Samples of the GPU's counters within the steps; a value holds until the next."""
    samples = load_samples(run)
    if samples is None:
        return
    near = samples.join(windows.select("rank", first="begin", finish="finish"), on="rank").filter(
        (pl.col("end") > pl.col("first")) & (pl.col("begin") < pl.col("finish"))
    )
    near = near.with_columns(begin=pl.max_horizontal("begin", "first"))
    for row in near.sort("rank", "metric", "begin").iter_rows(named=True):
        args = {plain(row["unit"] or "value"): row["value"]}
        yield Event("C", plain(row["metric"]), tracks.pid(row["rank"]), ts=row["begin"], args=args)


def stream_name(context: int | None, stream: int | None) -> str:
    """The track of a stream; numbers of streams are those of their context."""
    number = "stream" if stream is None else f"stream {stream}"
    return number if context is None else f"{number} (context {context})"


def _args(row: dict[str, Any]) -> dict[str, Any]:
    demangled = row["demangled"]
    return known(
        **{"class": row["cls"]},
        step=row["step"],
        kind=row["kind"],
        library=row["library"],
        bytes=row["bytes"] if row["message_bytes"] is None else row["message_bytes"],
        communicator=None if row["communicator"] is None else plain(str(row["communicator"])),
        matched=row["last"] is not None if row["cls"] in COMMUNICATION else None,
        correlation=row["correlation"],
        graph_node=row["graph_node"],
        launch=None if row["launch"] is None else plain(row["launch"]),
        launched_ahead_ns=None if row["launch_start"] is None else row["start"] - row["launch_start"],
        trimmed_ns=row["trimmed"] or None,
        full_name=plain(demangled, MAX_NAME) if demangled and demangled != row["name"] else None,
    )


def _slice(
    tracks: Tracks, rank: int, thread: str, name: str, category: str, begin: int, end: int, args: dict[str, Any]
) -> Event:
    return Event("X", name, tracks.pid(rank), tracks.tid(rank, thread), category, begin, end - begin, args)
