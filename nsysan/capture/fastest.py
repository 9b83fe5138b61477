"""Which kind of export nsysan reads soonest of a recording: nsys takes most of that time, and more for some kinds."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nsysan.capture.nsys import Nsys, abilities_of
from nsysan.trace.known_tables import READ

SQLITE = "sqlite"
#: The first of these that an nsys writes is taken. Seconds of export and report, and the most memory of the export, of
#: a recording of 170 MB (8.2 million rows; nsys 2025.3.1, H200, 32 processors, medians of 3):
#: parquetdir 28.8 + 5.3, 1.1 GB; arrowdir 28.4 + 5.4, 1.1 GB, and 4.5 times the disk; sqlite 36.0 + 5.7, 0.04 GB.
FASTEST = ("parquetdir", SQLITE)
#: Patterns for --tables where a kind is not for others, none for all tables.
TABLES: tuple[str, ...] = READ
#: Smaller recordings gain less than it takes to load what reads the other kinds.
WORTH_BYTES = 8_000_000
#: Bytes of memory that nsys may need for each of the recording, where the kind is not SQLite; measured: 6.7.
_MEMORY = 10
_MEMINFO = Path("/proc/meminfo")
_MOST, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def kinds_for(nsys: Nsys, recording: Path) -> tuple[str, ...]:
    """The kinds in which to export a recording that nsysan alone will read: the first, and the next should it fail."""
    known = abilities_of(nsys)
    size = recording.stat().st_size
    room = available_memory()
    # An nsys that does not know of payloads is older than those whose other kinds read the same.
    if size < WORTH_BYTES or "--include-json" not in known.export or (room is not None and room < _MEMORY * size):
        return (SQLITE,)
    return tuple(kind for kind in FASTEST if kind in known.kinds or kind == SQLITE)


def tables_for(nsys: Nsys) -> tuple[str, ...]:
    """Patterns of the tables that a report is made of, for an nsys that can leave out the others; else none."""
    known = abilities_of(nsys).export
    return TABLES if {"--tables", "--include-json"} <= known else ()


def available_memory() -> int | None:
    """Bytes that programs may still take, of this machine and of the container; None where the system does not tell."""
    rooms = []
    with suppress(OSError, ValueError, IndexError):
        line = next(line for line in _MEMINFO.read_text().splitlines() if line.startswith("MemAvailable"))
        rooms.append(int(line.split()[1]) * 1024)
    with suppress(OSError, ValueError):
        rooms.append(int(_MOST.read_text()) - int(_USED.read_text()))
    return min(rooms, default=None)
