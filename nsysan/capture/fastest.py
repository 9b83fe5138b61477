"""How a recording is exported that nsysan alone will read: nsys takes most of that time, and more for some kinds."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nsysan.capture.nsys import Nsys, abilities_of

SQLITE = "sqlite"
#: The first of these that an nsys writes is taken. Seconds of export and report of a recording of 170 MB (2,400 eager
#: steps of two H200, nsys 2025.3.1, 32 processors), and the most memory of the export: sqlite 36.0 + 5.7, 0.04 GB;
#: parquetdir 28.8 + 5.3, 1.1 GB; arrowdir 28.4 + 5.4, 1.1 GB, on 4.5 times the disk.
FASTEST = ("parquetdir", SQLITE)
#: Whether payloads are wanted in words too. nsysan reads their bytes as well, and nsys takes 0.1 ms for the words of
#: each: of 43 MB a parquetdir took 8.0 s with them and 3.5 without.
WITH_JSON = False
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


def available_memory() -> int | None:
    """Bytes that programs may still take, of this machine and of the container; None where the system does not tell."""
    rooms = []
    with suppress(OSError, ValueError, IndexError):
        line = next(line for line in _MEMINFO.read_text().splitlines() if line.startswith("MemAvailable"))
        rooms.append(int(line.split()[1]) * 1024)
    with suppress(OSError, ValueError):
        rooms.append(int(_MOST.read_text()) - int(_USED.read_text()))
    return min(rooms, default=None)
