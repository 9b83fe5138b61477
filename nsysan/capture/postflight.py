"""Checks on a fresh capture: is everything in it that a report needs? Standard library only."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from nsysan.capture.checks import FAIL, OK, WARN, Check
from nsysan.capture.quick_look import KERNELS, REPLAYS, RUNTIME, Export, communication_counts, kernel_counts
from nsysan.capture.ranks_seen import check_ranks
from nsysan.capture.starters import Engine
from nsysan.model.health import clocks_agree, says_events_lost
from nsysan.model.steps.engines import load_engines
from nsysan.text import counted

#: Numbers of collectives that are told apart.
_STAGES = 8

__all__ = ["FAIL", "OK", "WARN", "Check", "check_export"]


def check_export(
    path: Path,
    *,
    expected: int | None,
    capture_range: bool,
    engine: Engine | None = None,
    replica: int | None = None,
    drops: str = "",
) -> list[Check]:
    """The checks of one export, in the order in which they matter.

    capture_range: collection began after the workload did. engine: what the command was seen to start. replica: ranks
    that are joined by communication, by the command. drops: the nsys that exported, if it drops NCCL's payloads.
    """
    checks: list[Callable[[Export], Check | None]] = [
        lambda export: check_ranks(export, expected, engine, window=capture_range),
        lambda export: _collectives(export, expected, replica),
        _graphs,
        lambda export: None if replica == 1 else _sizes(export, capture_range, drops),
        _steps,
        _events,
        _clock,
        _perturbation,
    ]
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        export = Export(connection)
        found = []
        for check in checks:
            result = check(export)
            if result is not None:
                found.append(result)
            if result is not None and result.status == FAIL:
                break  # without kernels the rest says nothing
    return found


def _collectives(export: Export, expected: int | None, replica: int | None) -> Check:
    counts = communication_counts(export)
    if not counts:
        if expected == 1:
            return Check("collectives", OK, "none, as of one rank")
        if replica == 1:
            return Check("collectives", OK, "none, as each rank is a replica of its own")
        hidden = export.has(REPLAYS)
        remedy = (
            "capture with --cuda-graph-trace=node"
            if hidden
            else "is the run tensor-parallel? Replicas of one GPU make none"
        )
        return Check("collectives", WARN, "no communication kernel visible", remedy)
    numbers = sorted(set(counts.values()))
    if len(numbers) == 1:
        return Check("collectives", OK, f"{numbers[0]:,} on every rank")
    shares = Counter(counts.values())
    if len(set(shares.values())) == 1 and len(numbers) < len(counts):
        told = " or ".join(f"{n:,}" for n in numbers[:_STAGES])
        each = counted(shares[numbers[0]], "rank")
        return Check("collectives", OK, f"{told} on {each} each: of pipeline stages, or of replicas")
    usual = shares.most_common(1)[0][0]
    odd = sum(n != usual for n in counts.values())
    return Check(
        "collectives",
        WARN,
        f"{numbers[0]:,} to {numbers[-1]:,} a rank ({odd} of {len(counts)} differ from {usual:,})",
        "ranks began or ended at different times; steps that all ranks share are analysed",
    )


def _graphs(export: Export) -> Check:
    if export.has(REPLAYS):
        (replays,) = export.rows(f"SELECT count(*) FROM {REPLAYS}")[0]
        return Check("CUDA graphs", WARN, f"{replays} replays traced as blocks", "use --cuda-graph-trace=node")
    (nodes,) = export.rows(f"SELECT count(graphNodeId) FROM {KERNELS}")[0]
    return Check("CUDA graphs", OK, f"{nodes:,} kernels inside replays visible" if nodes else "none replayed")


def _sizes(export: Export, capture_range: bool, drops: str) -> Check | None:
    told = calls = 0
    if export.has("NVTX_EVENTS", "StringIds"):
        ((told, calls),) = export.rows(
            "SELECT count(CASE WHEN e.jsonText LIKE '%Message size%' THEN 1 END), "
            "count(CASE WHEN coalesce(e.text, s.value) LIKE 'nccl%' THEN 1 END) "
            "FROM NVTX_EVENTS e LEFT JOIN StringIds s ON s.id = e.textId WHERE e.eventType IN (59, 60)"
        )
    if not calls and not communication_counts(export) and not export.has(REPLAYS):
        return None
    if told:
        return Check("message sizes", OK, f"{told:,} NCCL calls carry theirs")
    if drops and calls:
        return Check(
            "message sizes",
            WARN,
            f"{calls:,} NCCL calls, whose payloads {drops} drops on export",
            "export the recording with nsys 2025 or later (nsysan report NAME.nsys-rep --nsys PATH), or give the "
            "model's shape",
        )
    if capture_range:
        remedy = "the calls were captured into the graph before the range opened; capture from the start to have them"
    elif not calls:
        remedy = "only NCCL's calls tell sizes, and none is in the trace; for other all-reduces give the model's shape"
    else:
        remedy = "their payloads need NCCL >= 2.18; else give the model's shape"
    seen = f"none of {calls:,} NCCL calls carries its size" if calls else "no NCCL call carries its size"
    return Check("message sizes", WARN, seen, remedy)


def _steps(export: Export) -> Check:
    names: list[str] = []
    if export.has("NVTX_EVENTS", "StringIds"):
        names = [
            name
            for (name,) in export.rows(
                "SELECT DISTINCT coalesce(e.text, s.value) FROM NVTX_EVENTS e LEFT JOIN StringIds s ON s.id = e.textId "
                "WHERE e.eventType IN (59, 60)"
            )
            if name
        ]
    for engine in load_engines():
        matching = sorted({re.sub(r"\d+", "#", name) for name in names if engine.range.search(name)})
        if matching:
            return Check("steps", OK, f"NVTX ranges {', '.join(matching[:3])} ({engine.name})")
    return Check(
        "steps", OK, "no step ranges; graph replays or the kernels' period will serve, or mark decode_step_<i>"
    )


def _events(export: Export) -> Check:
    ranks = {process for process, _ in kernel_counts(export)}
    lost: list[str] = []
    if export.has("DIAGNOSTIC_EVENT"):
        rows = export.rows("SELECT globalPid, text FROM DIAGNOSTIC_EVENT WHERE severity >= 2")
        lost = sorted({text for process, text in rows if process in ranks and says_events_lost(text)})
    if not lost:
        return Check("events", OK, "the profiler reports none lost on the ranks")
    return Check("events", WARN, "; ".join(lost), "let the workload end by itself, or capture a shorter window")


def _clock(export: Export) -> Check | None:
    if not export.has(KERNELS, RUNTIME):
        return None
    ((least,),) = export.rows(
        f"SELECT min(k.start - r.start) FROM {KERNELS} k JOIN {RUNTIME} r ON r.correlationId = k.correlationId "
        f"AND (r.globalTid & -16777216) = k.globalPid AND r.eventClass IN (0, 1)"
    )
    if least is None:
        return Check(
            "clock", WARN, "no kernel has its launch call", "start the capture before the workload's CUDA context"
        )
    good = clocks_agree(least)
    return Check(
        "clock",
        OK if good else WARN,
        f"shortest launch latency {least / 1e3:,.1f} µs",
        "" if good else "CPU and GPU clocks disagree: launch latencies and NVTX ranges are not reliable",
    )


def _perturbation(export: Export) -> Check | None:
    if export.has(REPLAYS) or not export.has(KERNELS):
        return None
    total, nodes = export.rows(f"SELECT count(*), count(graphNodeId) FROM {KERNELS}")[0]
    if nodes * 2 > total:
        return Check(
            "perturbation",
            OK,
            "graph replays: tracing adds a few per cent to GPUs, and up to a third to hosts that pace",
        )
    return Check(
        "perturbation",
        WARN,
        "eager launches: tracing each one inflates host time, up to threefold",
        "read idle and host-late figures as upper bounds, or time a step without nsys for `nsysan report --untraced`",
    )
