"""How far each figure can be trusted: ok, estimated or not measurable, and why."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.model import classes
from nsysan.model.health import clocks_agree, says_events_lost
from nsysan.model.matching import MATCHED, REJECTED, SINGLE, UNMATCHED
from nsysan.model.run import Run

OK = "ok"
ESTIMATED = "estimated"
NOT_MEASURABLE = "not_measurable"

NODE_FLAG = "--cuda-graph-trace=node"
_PARTS_TO_COME = {
    "straggler": "who is late and why",
    "gaps": "causes of idle time",
    "what_if": "savings if skew, wire latency or host delays went",
    "verdict": "the verdict",
    "wire_speed": "latency floor, algbw and busbw",
    "findings": "findings with a fix",
}


@dataclass(frozen=True)
class Quality:
    """Status of one aspect of the evidence; the reason is a sentence for people."""

    id: str
    status: str
    reason: str


def assess(run: Run) -> list[Quality]:
    """Quality rows of a run, each aspect once."""
    rows = [_steps(run), _ranks(run), _graphs(run), _split(run), _bytes(run), _launches(run), _clock(run)]
    rows += [_events(run), _host_time(run), _overlap(run), _unknown_names(run)]
    rows += [
        Quality(aspect, NOT_MEASURABLE, f"{what}: not computed by this version of nsysan")
        for aspect, what in _PARTS_TO_COME.items()
    ]
    return [row for row in rows if row is not None]


def _steps(run: Run) -> Quality:
    found = f"steps found by {run.steps.source}"
    notes = "".join(f"; {note}" for note in run.steps.notes)
    if run.steps.method == "window":
        return Quality("steps", NOT_MEASURABLE, f"{run.steps.notes[0]}; figures are of the whole capture")
    if not run.steady_steps:
        return Quality("steps", NOT_MEASURABLE, f"{found}, but none is a steady decode step{notes}")
    return Quality("steps", ESTIMATED if run.steps.method == "period" else OK, found + notes)


def _ranks(run: Run) -> Quality:
    source = run.ranks[0].source
    guessed = source.startswith("order")
    left_out = "".join(
        f"; pid {process >> 24 & 0xFFFFFF} on device {device} has no step and is left out"
        for process, device in run.bystanders
    )
    return Quality(
        "rank_numbers", ESTIMATED if guessed and len(run.ranks) > 1 else OK, f"numbered by {source}{left_out}"
    )


def _graphs(run: Run) -> Quality | None:
    if run.graph_mode != "graph":
        return None
    replays = sum(trace.graph_replays.height for trace in run.traces)
    return Quality(
        "graph_contents",
        NOT_MEASURABLE,
        f"{replays} CUDA graph replays were traced as one block each, so kernels and communication inside them are "
        f"not visible: they count as busy (graph), and what they may hide is null; capture with {NODE_FLAG}",
    )


def _split(run: Run) -> Quality:
    calls = run.collectives.filter(pl.col("step").is_in(run.steady_steps))
    counts = dict(calls.group_by("verdict").len().iter_rows())
    total = len(calls)
    if total == 0:
        hidden = run.graph_mode == "graph"
        reason = (
            f"communication inside graph replays is not visible; capture with {NODE_FLAG}"
            if hidden
            else ("no communication kernel of the catalogue runs in these steps")
        )
        return Quality("wait_wire", NOT_MEASURABLE if hidden else OK, reason)
    if counts.get(SINGLE, 0) == total:
        return Quality(
            "wait_wire",
            NOT_MEASURABLE,
            "only one rank of the communicator is in the trace, so waiting and transfer cannot be told apart; "
            "capture all ranks in one nsys session",
        )
    bad = {verdict: counts[verdict] for verdict in (UNMATCHED, REJECTED, SINGLE) if verdict in counts}
    if not bad:
        return Quality("wait_wire", OK, f"all {total} collective kernels of the steady steps matched across the ranks")
    detail = ", ".join(f"{n} {verdict}" for verdict, n in bad.items())
    status = ESTIMATED if counts.get(MATCHED) else NOT_MEASURABLE
    return Quality("wait_wire", status, f"of {total} collective kernels {detail}; their time is the line comm_unsplit")


def _bytes(run: Run) -> Quality | None:
    calls = run.collectives
    if calls.is_empty():
        return None
    known = int(calls["message_bytes"].count())
    if known == len(calls):
        return Quality("message_bytes", OK, "from the NCCL payload of every call")
    missing = len(calls) - known
    inside = calls.filter(pl.col("message_bytes").is_null())["graph_node"].is_not_null().any()
    why = (
        "the capture opened after the CUDA graph was built, or the library passes no payload"
        if inside
        else "the call's library passes no NVTX payload, or the export lacks --include-json=true"
    )
    return Quality(
        "message_bytes",
        NOT_MEASURABLE if known == 0 else ESTIMATED,
        f"unknown for {missing} of {len(calls)} calls: {why}",
    )


def _launches(run: Run) -> Quality:
    missing = int(run.work.filter(pl.col("type") != "graph")["launch_start"].null_count())
    if missing == 0:
        return Quality("launches", OK, "every operation has the API call that launched it")
    return Quality("launches", ESTIMATED, f"{missing} of {len(run.work)} operations have no recorded API call")


def _clock(run: Run) -> Quality | None:
    latency = run.work.select(pl.col("start") - pl.col("launch_start")).to_series().drop_nulls()
    if latency.is_empty():
        return None
    least = int(latency.min())  # type: ignore[arg-type]
    if clocks_agree(least):
        return Quality("cpu_gpu_clock", OK, f"shortest launch latency {least / 1e3:.1f} us")
    return Quality(
        "cpu_gpu_clock",
        ESTIMATED,
        f"shortest launch latency {least / 1e3:.1f} us: CPU and GPU clocks of this recording disagree, so launch calls "
        f"and NVTX ranges may not line up with GPU work",
    )


def _events(run: Run) -> Quality:
    processes = {rank.process for rank in run.ranks}
    lost = sorted(
        {
            message.text.strip()
            for trace in run.traces
            for message in trace.diagnostics
            if message.severity >= 2 and message.process in processes and says_events_lost(message.text)
        }
    )
    if not lost:
        return Quality("events", OK, "the profiler reports no lost events for the ranks")
    return Quality("events", ESTIMATED, f"the profiler says of the ranks: {'; '.join(lost)}")


def _host_time(run: Run) -> Quality | None:
    steady = run.work.filter(pl.col("step").is_in(run.steady_steps) & (pl.col("type") == "kernel"))
    eager = int(steady["graph_node"].null_count())
    if steady.is_empty() or run.graph_mode == "graph" or eager < len(steady) / 2:
        return None
    return Quality(
        "host_time",
        ESTIMATED,
        "kernels are launched one by one, and tracing each launch inflates host time (threefold in a measured case): "
        "idle time, and waiting caused by a late host, are shorter without the profiler",
    )


def _overlap(run: Run) -> Quality | None:
    trimmed = run.work.filter(pl.col("step").is_in(run.steady_steps) & (pl.col("trimmed") > 0))
    if trimmed.is_empty():
        return None
    return Quality(
        "pdl",
        OK,
        f"{len(trimmed)} operations start before their predecessor on the stream ends (programmatic dependent launch); "
        f"they count from its end, {int(trimmed['trimmed'].sum()) / 1e3:.1f} us trimmed in all",
    )


def _unknown_names(run: Run) -> Quality | None:
    kernels = run.kernels
    unknown = kernels.filter(pl.col("lookalike"))
    if unknown.is_empty():
        return None
    names = ", ".join(sorted(unknown["name"].unique().to_list())[:5])
    return Quality(
        "unknown_collectives",
        ESTIMATED,
        f"{len(unknown)} kernels look like collectives but are not in the catalogue and count as "
        f"{classes.COMPUTE}: {names}",
    )
