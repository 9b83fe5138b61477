"""Which ranks a fresh export shows, and why others may be missing: the processes tell, with names and environment."""

from __future__ import annotations

import json
import re
from pathlib import Path

from nsysan.capture.checks import FAIL, OK, WARN, Check
from nsysan.capture.quick_look import Export, communication_counts, kernel_counts, open_ms
from nsysan.capture.starters import Engine, load_starters
from nsysan.model.health import NO_CUDA, SPAWN_AND_TRACE_FORKS
from nsysan.text import counted, numbered

#: Rows of communicators that are looked at: more say the same again.
_MOST = 4096
_LET_END = "let the workers end by themselves (--kill-after gives them longer), so that they write what they have"
_MORE = "say with --tp how many the command starts, so that ranks that are missing are seen"
_LAUNCHED = "or give each rank its own nsysan capture inside the launcher"


def check_ranks(export: Export, expected: int | None, engine: Engine | None, *, window: bool) -> Check:
    """How many ranks worked, against those expected: by the command, else by the largest communicator."""
    counts = kernel_counts(export)
    if not counts and window and (length := open_ms(export)) is not None:
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
    busy = communication_counts(export) or counts
    world, here = _communicator(export, {process for process, _ in busy})
    wanted = expected or world
    seen = f"{len(busy)} with GPU work" + (f", {expected} expected" if expected else "")
    if expected and len(busy) > expected:
        return Check("ranks", WARN, f"{seen}: {len(busy) - expected} more", _MORE)
    if not wanted or len(busy) >= wanted:
        return Check("ranks", OK, seen)
    if not expected:
        seen += f", {wanted} in its communicator"
    missing = sorted(set(range(wanted)) - here) if len(here) == len(busy) and max(here) < wanted else []
    seen += f": missing {numbered('rank', missing) if missing else counted(wanted - len(busy), 'rank')}"
    silent = _silent(export) - {process for process, _ in counts}
    if silent:
        seen += f"; {counted(len(silent), 'process', 'processes')} without CUDA events"
    remedy = _remedy(export, engine or engine_seen(export, silent | {process for process, _ in counts}))
    if not silent and not expected:
        remedy = f"ranks of other nodes are in traces of their own: give all to one nsysan report; else {remedy}"
    return Check("ranks", WARN, seen, remedy)


def engine_seen(export: Export, processes: set[int]) -> Engine | None:
    """The engine that these processes, the command, or their environment speak of."""
    names = _names(export, processes)
    command = " ".join(
        str(value)
        for name, value in _capture(export)
        if re.fullmatch(r"(?:PROCESS_\d+:)?(?:COMMAND|ARGUMENT_\d+)", str(name))
    )
    words = {Path(word.partition(".")[0]).name for word in command.split()}
    variables = [entry.partition("=")[0] for entry in _environment(export)]
    for engine in load_starters().engines:
        if any(engine.workers.search(name) for name in names) or words & set(engine.commands):
            return engine
    for engine in load_starters().engines:
        if any(engine.variables.search(name) for name in variables):
            return engine
    return None


def _remedy(export: Export, engine: Engine | None) -> str:
    """Why ranks are missing, as far as the engine and its environment tell."""
    fork = next((e.fork for e in load_starters().engines if e.fork), None) if engine is None else engine.fork
    if fork is None:
        return f"{_LET_END}, {_LAUNCHED}"
    name, value = fork
    if f"{name}={value}" in _environment(export):
        return f"workers were spawned, so they may have been killed: {_LET_END}, {_LAUNCHED}"
    return (
        f"workers that are forked may not be traced: capture with {SPAWN_AND_TRACE_FORKS}, which nsysan capture sets "
        f"where it sees the engine in the command; {_LET_END}, {_LAUNCHED}"
    )


def _communicator(export: Export, processes: set[int]) -> tuple[int | None, set[int]]:
    """The size of the largest communicator, and the ranks that these processes have in it."""
    found: list[tuple[int, int]] = []
    if export.has("NVTX_EVENTS"):
        rows = export.rows(
            "SELECT globalTid & -16777216, jsonText FROM NVTX_EVENTS WHERE jsonText LIKE '%No. of ranks%' "
            f"LIMIT {_MOST}"
        )
        for process, text in rows:
            try:
                told = json.loads(text)
                size, rank = told["No. of ranks"], told["Rank"]
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if process in processes and isinstance(size, int) and isinstance(rank, int) and 0 <= rank < size:
                found.append((size, rank))
    world = max((size for size, _ in found), default=None)
    return world, {rank for size, rank in found if size == world}


def _silent(export: Export) -> set[int]:
    """Processes that the tracer was in, and that gave nothing of CUDA."""
    if not export.has("DIAGNOSTIC_EVENT"):
        return set()
    rows = export.rows(f"SELECT DISTINCT globalPid FROM DIAGNOSTIC_EVENT WHERE text LIKE '{NO_CUDA}%'")
    return {process for (process,) in rows if process is not None}


def _names(export: Export, processes: set[int]) -> set[str]:
    """What these processes and their threads are called."""
    names: set[str] = set()
    if export.has("PROCESSES"):
        rows = export.rows("SELECT globalPid, name FROM PROCESSES")
        names |= {Path(str(name)).name for process, name in rows if process in processes}
    if export.has("ThreadNames", "StringIds"):
        rows = export.rows(
            "SELECT DISTINCT t.globalTid & -16777216, s.value FROM ThreadNames t JOIN StringIds s ON s.id = t.nameId"
        )
        names |= {str(name) for process, name in rows if process in processes}
    return names


def _environment(export: Export) -> set[str]:
    """NAME=VALUE of the processes, as the export keeps it: never to be printed."""
    told = {
        str(value).replace('"', "") for name, value in _capture(export) if str(name).endswith("ENVIRONMENT_VARIABLE")
    }
    if export.has("StringIds"):
        # A whole environment is one string, its entries ended by null bytes.
        rows = export.rows("SELECT CAST(value AS BLOB) FROM StringIds WHERE instr(CAST(value AS BLOB), x'00') > 0")
        told |= {
            entry for (raw,) in rows for entry in bytes(raw).decode("utf-8", "replace").split("\0") if "=" in entry
        }
    return told


def _capture(export: Export) -> list[tuple[str, str]]:
    return export.rows("SELECT name, value FROM META_DATA_CAPTURE") if export.has("META_DATA_CAPTURE") else []
