"""What a rank's host shows: API calls and NVTX ranges of the threads that launch, and arrows to what they launched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from nsysan.columns.times import in_any, shifted
from nsysan.perfetto.device import stream_name
from nsysan.perfetto.events import Event, Tracks, known
from nsysan.run.placed import PlacedTrace
from nsysan.run.run import Run
from nsysan.text import plain
from nsysan.trace.globals import pid_of

API, NVTX, FLOW = "cuda_api", "nvtx", "launch"
_COLUMNS = ("start", "end", "thread", pl.col("name").cast(pl.String))


def host_events(run: Run, work: pl.DataFrame, windows: pl.DataFrame, tracks: Tracks) -> list[Event]:
    """Calls and ranges of the threads that launched `work`, from each step's first launch to its end, and the arrows.

    A thread that launches for several ranks is shown in the process of the first. Ranges that overlap without
    one being inside the other get a track each.
    """
    threads = work.drop_nulls("thread").group_by("trace", "thread").agg(pl.min("rank")).sort("rank", "thread")
    of_traces = [threads.filter(pl.col("trace") == trace)["thread"].to_list() for trace in range(len(run.metadata))]
    spans = _spans(work, windows)
    asked = run.ask_each(threads_of, [(own, spans) for own in of_traces])
    slices = {(trace, thread): rows for trace, found in enumerate(asked) for thread, rows in found.items()}
    events: list[Event] = []
    calls: dict[tuple[int, int, int], Event] = {}
    for rank, trace, thread in threads.select("rank", "trace", "thread").iter_rows():
        rows = slices[trace, thread]
        for row, lane in zip(rows.iter_rows(named=True), nested_lanes(rows), strict=True):
            event = _slice(row, rank, f"host thread {thread & 0xFFFFFF} of pid {pid_of(thread)}", lane, tracks)
            events.append(event)
            if row["category"] == API:
                calls.setdefault((trace, thread, row["start"]), event)
    return [*events, *_arrows(work, calls, tracks)]


def _slice(row: dict[str, Any], rank: int, thread: str, lane: int, tracks: Tracks) -> Event:
    return Event(
        "X",
        plain(row["name"] or "?"),
        tracks.pid(rank),
        tracks.tid(rank, f"{thread}, overlapping {lane}" if lane else thread),
        row["category"],
        row["start"],
        row["end"] - row["start"],
        known(domain=None if row["domain"] is None else plain(row["domain"]), clipped=row["clipped"] or None),
    )


def _arrows(work: pl.DataFrame, calls: dict[tuple[int, int, int], Event], tracks: Tracks) -> Iterator[Event]:
    """From each launch call to what it launched: of a graph replay, to the first operation on each stream."""
    launched = work.filter(pl.col("launch_start").is_not_null() & (pl.col("end") > pl.col("begin")))
    call = ["rank", "thread", "launch_start", "correlation", "context", "stream"]
    number = 0
    for row in launched.unique(call, keep="first", maintain_order=True).iter_rows(named=True):
        source = calls.get((row["trace"], row["thread"], row["launch_start"]))
        if source is None:
            continue
        number += 1
        target = tracks.tid(row["rank"], stream_name(row["context"], row["stream"]))
        yield Event("s", FLOW, source.pid, source.tid, FLOW, source.ts, flow=number)
        yield Event("f", FLOW, tracks.pid(row["rank"]), target, FLOW, row["begin"], flow=number)


def nested_lanes(slices: pl.DataFrame) -> list[int]:
    """A lane for each slice (start, end; by start, longest first), so that in a lane slices nest or do not touch."""
    open_until: list[list[int]] = []
    lanes = []
    for start, end in slices.select("start", "end").iter_rows():
        for ends in open_until:
            while ends and ends[-1] <= start:
                ends.pop()
        fitting = (lane for lane, ends in enumerate(open_until) if not ends or end <= ends[-1])
        lane = next(fitting, len(open_until))
        open_until[lane:] = open_until[lane:] or [[]]
        open_until[lane].append(end)
        lanes.append(lane)
    return lanes


def _spans(work: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """first, finish: of each step over all ranks, from its first launch."""
    steps = windows.group_by("step").agg(pl.min("begin"), pl.max("finish"))
    launched = work.group_by("step").agg(launch=pl.min("launch_start"))
    return steps.join(launched, on="step", how="left").select(
        first=pl.min_horizontal("begin", "launch"), finish="finish"
    )


def threads_of(placed: PlacedTrace, asked: tuple[list[int], pl.DataFrame]) -> dict[int, pl.DataFrame]:
    """The slices of these threads of a trace in these spans of the run's time, by thread."""
    threads, spans = asked
    wanted = pl.col("thread").is_in(threads)
    calls = placed.trace.launches.filter(wanted)
    calls = calls.select(*_COLUMNS, domain=pl.lit(None, dtype=pl.String), category=pl.lit(API))
    ranges = placed.trace.ranges.filter(wanted).select(*_COLUMNS, "domain", category=pl.lit(NVTX))
    both = shifted(pl.concat([ranges, calls]).drop_nulls(["start", "end"]), placed.placement.shift)
    return {thread: _on_thread(both.filter(pl.col("thread") == thread), spans) for thread in threads}


def _on_thread(both: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """start, end, name, domain, category, clipped of a thread's slices in the spans, the outer before the inner."""
    both = both.with_row_index("row")
    firsts, finishes = spans["first"].to_numpy(), spans["finish"].to_numpy()
    near = in_any(both["start"].to_numpy(), both["end"].to_numpy(), (firsts, finishes))
    from_, to = int(firsts.min()), int(finishes.max())
    inside = both.filter(pl.Series(near)).with_columns(
        clipped=(pl.col("start") < from_) | (pl.col("end") > to),
        start=pl.col("start").clip(from_, to),
        end=pl.col("end").clip(from_, to),
    )
    return inside.sort("start", "end", "row", descending=[False, True, False])
