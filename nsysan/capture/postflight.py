"""Checks on a fresh capture: is everything in it that a report needs? Standard library only."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from nsysan.model.classes import COMMUNICATION, load_catalogue
from nsysan.model.health import clocks_agree, says_events_lost
from nsysan.model.steps.engines import load_engines

OK = "ok"
WARN = "warn"
FAIL = "FAIL"


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it stands, what was seen, and the remedy if it is not well."""

    name: str
    status: str
    seen: str
    remedy: str = ""

    def line(self) -> str:
        """The check as one line of text."""
        return f"  {self.status:4}  {self.name}: {self.seen}" + (f" -> {self.remedy}" if self.remedy else "")


class _Export:
    """Just enough of an export for the checks, by plain SQL."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self._connection = connection
        self.tables = {name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def rows(self, sql: str) -> list[tuple]:  # type: ignore[type-arg]
        return self._connection.execute(sql).fetchall()

    def has(self, *tables: str) -> bool:
        return self.tables.issuperset(tables)


def check_export(path: Path, *, expected: int | None, capture_range: bool) -> list[Check]:
    """The checks of one export, in the order in which they matter."""
    checks: list[Callable[[_Export], Check | None]] = [
        lambda export: _ranks(export, expected, capture_range),
        _collectives,
        _graphs,
        lambda export: _sizes(export, capture_range),
        _steps,
        _events,
        _clock,
        _perturbation,
    ]
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        export = _Export(connection)
        found = []
        for check in checks:
            result = check(export)
            if result is not None:
                found.append(result)
            if result is not None and result.status == FAIL:
                break  # without kernels the rest says nothing
    return found


_KERNELS = "CUPTI_ACTIVITY_KIND_KERNEL"
_REPLAYS = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
_RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"


def _kernel_counts(export: _Export) -> Counter[tuple[int, int]]:
    """Kernels and replays per (globalPid, deviceId)."""
    counts: Counter[tuple[int, int]] = Counter()
    for table in (_KERNELS, _REPLAYS):
        if export.has(table):
            for process, device, n in export.rows(f"SELECT globalPid, deviceId, count(*) FROM {table} GROUP BY 1, 2"):
                counts[process, device] += n
    return counts


def _communication_counts(export: _Export) -> Counter[tuple[int, int]]:
    """Communication kernels per (globalPid, deviceId)."""
    if not export.has(_KERNELS, "StringIds"):
        return Counter()
    catalogue = load_catalogue()
    names = export.rows(
        f"SELECT DISTINCT k.shortName, s.value, d.value FROM {_KERNELS} k JOIN StringIds s ON s.id = k.shortName "
        f"LEFT JOIN StringIds d ON d.id = k.demangledName"
    )
    wanted = {i for i, short, full in names if catalogue.classify(short, full or short).op_class in COMMUNICATION}
    if not wanted:
        return Counter()
    ids = ",".join(map(str, wanted))
    rows = export.rows(f"SELECT globalPid, deviceId, count(*) FROM {_KERNELS} WHERE shortName IN ({ids}) GROUP BY 1, 2")
    return Counter({(process, device): n for process, device, n in rows})


def _open_ms(export: _Export) -> float | None:
    """How long the window was open: between what opened and closed it, else by nsys' own figure; None if untold."""
    if export.has("DIAGNOSTIC_EVENT"):
        told = export.rows(
            "SELECT max(CASE WHEN text LIKE 'Profiling %started%' THEN timestamp END), "
            "max(CASE WHEN text LIKE 'Profiling %stopped%' THEN timestamp END) FROM DIAGNOSTIC_EVENT"
        )
        ((opened, closed),) = told
        if isinstance(opened, int) and isinstance(closed, int) and closed > opened:
            return (closed - opened) / 1e6
    if export.has("ANALYSIS_DETAILS"):
        durations = [row[0] for row in export.rows("SELECT max(duration) FROM ANALYSIS_DETAILS")]
        if durations and isinstance(durations[0], int):
            return durations[0] / 1e6
    return None


def _ranks(export: _Export, expected: int | None, window: bool) -> Check:
    counts = _kernel_counts(export)
    if not counts and window and (length := _open_ms(export)) is not None:
        return Check(
            "ranks",
            FAIL,
            f"no GPU work while the window was open, {length:,.0f} ms",
            "nothing was decoded meanwhile: open it while requests run, and close it before they end (a window that "
            "is opened and closed at once, or before the load comes, holds no kernel)",
        )
    if not counts:
        return Check(
            "ranks",
            FAIL,
            "no GPU work in the capture",
            "does the workload use CUDA, and did the capture range open? Another profiler in the process "
            "(torch.profiler) also blocks the trace",
        )
    busy = _communication_counts(export) or counts
    seen = f"{len(busy)} with GPU work" + (f", {expected} expected" if expected else "")
    if expected and len(busy) < expected:
        return Check(
            "ranks",
            WARN,
            seen,
            "workers may be forked or killed before they flush: for vLLM set VLLM_WORKER_MULTIPROC_METHOD=spawn, let "
            "the workers end by themselves, or give each rank its own nsysan capture inside the launcher",
        )
    return Check("ranks", OK, seen)


def _collectives(export: _Export) -> Check:
    counts = _communication_counts(export)
    if not counts:
        hidden = export.has(_REPLAYS)
        remedy = "capture with --cuda-graph-trace=node" if hidden else "is the run tensor-parallel?"
        return Check("collectives", WARN, "no communication kernel visible", remedy)
    numbers = sorted(set(counts.values()))
    if len(numbers) == 1:
        return Check("collectives", OK, f"{numbers[0]:,} on every rank")
    usual = Counter(counts.values()).most_common(1)[0][0]
    odd = sum(n != usual for n in counts.values())
    return Check(
        "collectives",
        WARN,
        f"{numbers[0]:,} to {numbers[-1]:,} a rank ({odd} of {len(counts)} differ from {usual:,})",
        "ranks began or ended at different times; steps that all ranks share are analysed",
    )


def _graphs(export: _Export) -> Check:
    if export.has(_REPLAYS):
        (replays,) = export.rows(f"SELECT count(*) FROM {_REPLAYS}")[0]
        return Check("CUDA graphs", WARN, f"{replays} replays traced as blocks", "use --cuda-graph-trace=node")
    (nodes,) = export.rows(f"SELECT count(graphNodeId) FROM {_KERNELS}")[0]
    return Check("CUDA graphs", OK, f"{nodes:,} kernels inside replays visible" if nodes else "none replayed")


def _sizes(export: _Export, capture_range: bool) -> Check:
    ranges = 0
    if export.has("NVTX_EVENTS"):
        (ranges,) = export.rows("SELECT count(*) FROM NVTX_EVENTS WHERE jsonText LIKE '%Message size%'")[0]
    if ranges:
        return Check("message sizes", OK, f"{ranges:,} NCCL calls carry theirs")
    if capture_range:
        remedy = "the calls were captured into the graph before the range opened; capture from the start to have them"
    else:
        remedy = "needs NCCL >= 2.18 and an nsys that exports payloads (2025 and later); else give the model's shape"
    return Check("message sizes", WARN, "no NCCL call carries its size", remedy)


def _steps(export: _Export) -> Check:
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


def _events(export: _Export) -> Check:
    ranks = {process for process, _ in _kernel_counts(export)}
    lost: list[str] = []
    if export.has("DIAGNOSTIC_EVENT"):
        rows = export.rows("SELECT globalPid, text FROM DIAGNOSTIC_EVENT WHERE severity >= 2")
        lost = sorted({text for process, text in rows if process in ranks and says_events_lost(text)})
    if not lost:
        return Check("events", OK, "the profiler reports none lost on the ranks")
    return Check("events", WARN, "; ".join(lost), "let the workload end by itself, or capture a shorter window")


def _clock(export: _Export) -> Check | None:
    if not export.has(_KERNELS, _RUNTIME):
        return None
    ((least,),) = export.rows(
        f"SELECT min(k.start - r.start) FROM {_KERNELS} k JOIN {_RUNTIME} r ON r.correlationId = k.correlationId "
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


def _perturbation(export: _Export) -> Check | None:
    if export.has(_REPLAYS) or not export.has(_KERNELS):
        return None
    total, nodes = export.rows(f"SELECT count(*), count(graphNodeId) FROM {_KERNELS}")[0]
    if nodes * 2 > total:
        return Check("perturbation", OK, "graph replays: tracing adds a few per cent")
    return Check(
        "perturbation",
        WARN,
        "eager launches: tracing each one inflates host time, up to threefold",
        "read idle and host-late figures as upper bounds, or time a step without nsys for `nsysan report --untraced`",
    )
