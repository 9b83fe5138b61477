"""Chosen steps of a run as Chrome trace JSON, for ui.perfetto.dev and for queries with trace_processor."""

from __future__ import annotations

import gzip

import polars as pl

from nsysan.perfetto import device, host
from nsysan.perfetto.events import Event, Tracks, to_json
from nsysan.perfetto.shown import choose_steps, parse_steps
from nsysan.run.run import Run

__all__ = ["choose_steps", "packed", "parse_steps", "to_events", "to_perfetto"]


def to_perfetto(run: Run, steps: list[int], version: str) -> str:
    """The steps as Chrome trace JSON; times are us with three decimals, exact to the ns, from the earliest event on.

    otherData holds the clock's origin in ns of the trace, and which steps are in it.
    """
    events = to_events(run, steps)
    origin = min(event.ts for event in events if event.ts is not None)
    other = {
        "nsysan_version": version,
        "inputs": [trace.name for trace in run.metadata],
        "steps": steps,
        "origin_ns": origin,
    }
    return to_json(events, origin, other)


def to_events(run: Run, steps: list[int]) -> list[Event]:
    """Every event of the steps, on the run's clock; a slice stands before those inside it."""
    windows = run.windows.filter(pl.col("step").is_in(steps)).sort("rank", "begin")
    found = run.ask(device.work_of, steps)
    inside = run.with_stated_bytes(pl.concat(work for work, _ in found)).sort("rank", "begin", "end", "row")
    lines = pl.concat(lines for _, lines in found)
    tracks = Tracks(run.ranks)
    return [
        *tracks.processes(),
        *device.step_slices(run, windows, tracks),
        *device.ledger_slices(lines, tracks),
        *device.operation_slices(inside, tracks),
        *host.host_events(run, inside, windows, tracks),
        *device.counters(run, windows, tracks),
        *tracks.threads(),
    ]


def packed(text: str) -> bytes:
    """The text gzipped, with the same bytes every time."""
    return gzip.compress(text.encode("utf-8"), 6, mtime=0)
