"""Where a trace comes from: what nsys says of the export, of the capture and its processes, and what went wrong."""

from __future__ import annotations

from typing import NamedTuple

from nsysan.text import whole
from nsysan.trace.tables import I64, TEXT, Tables

CAPTURE = "META_DATA_CAPTURE"
SESSION_START = "TARGET_INFO_SESSION_START_TIME"
DIAGNOSTICS = "DIAGNOSTIC_EVENT"
MACHINE = "TARGET_INFO_SYSTEM_ENV"
HOST_NAME = "Hostname"
#: What a host is called that has no name, or whose name was taken out: nothing tells it from others.
_NAMELESS = frozenset(("", "host", "localhost", "localhost.localdomain", "(none)"))
_EXPORT, _EXPORT_TO_2021 = "META_DATA_EXPORT", "EXPORT_META_DATA"


class Diagnostic(NamedTuple):
    """A message of the profiler; severity 1 info, 2 warning, 3 error; process is a globalPid."""

    severity: int
    text: str
    process: int | None


def export_info(tables: Tables) -> dict[str, str]:
    """What nsys says of the export itself, by its own keys."""
    frame = tables.read(_EXPORT if _EXPORT in tables else _EXPORT_TO_2021, {"name": TEXT, "value": TEXT})
    return {name: value or "" for name, value in frame.iter_rows() if name}


def capture_rows(tables: Tables) -> list[tuple[str, str]]:
    """Name and value of each capture option and environment variable, in file order."""
    frame = tables.read(CAPTURE, {"name": TEXT, "value": TEXT})
    return [(name or "", value or "") for name, value in frame.iter_rows()]


def environment(rows: list[tuple[str, str]]) -> dict[str, str]:
    """The environment in `capture_rows`."""
    entries = [value for name, value in rows if name.endswith("ENVIRONMENT_VARIABLE")]
    pairs = (entry.partition("=") for entry in entries)
    return {name: value.strip('"') for name, _, value in pairs}


def metrics_rate(rows: list[tuple[str, str]]) -> int | None:
    """Samples a second of the GPU metrics, as the `capture_rows` ask for."""
    asked = [value for name, value in rows if name.endswith("GPU_METRICS_OPTIONS:SAMPLING_FREQUENCY")]
    return (whole(asked[0], digits=9) or None) if asked else None


def session_start_utc_ns(tables: Tables) -> int | None:
    """UTC of the trace's time 0, in ns since 1970."""
    frame = tables.read(SESSION_START, {"utcEpochNs": I64})
    return frame["utcEpochNs"][0] if len(frame) else None


def host_name(tables: Tables) -> str | None:
    """The machine's name; None where none is told. It is nobody's business: never print it."""
    frame = tables.read(MACHINE, {"name": TEXT, "value": TEXT})
    names = {(value or "").strip().lower() for name, value in frame.iter_rows() if name == HOST_NAME} - _NAMELESS
    return names.pop() if len(names) == 1 else None


def process_names(tables: Tables) -> dict[int, str]:
    """Name of the program behind each globalPid."""
    frame = tables.read("PROCESSES", {"globalPid": I64, "name": TEXT})
    return {process: name or "" for process, name in frame.iter_rows()}


def diagnostics(tables: Tables) -> list[Diagnostic]:
    """Messages of the profiler in file order."""
    frame = tables.read(DIAGNOSTICS, {"severity": I64, "text": TEXT, "globalPid": I64})
    return [Diagnostic(severity or 1, text or "", process) for severity, text, process in frame.iter_rows()]
