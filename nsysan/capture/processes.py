"""The processes of one capture, found by a marker in their environment (Linux /proc)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from nsysan.capture.command import MARKER

_PROFILER_NAMES = ("nsys", "QdstrmImporter", "quadd")


def workload_processes(mark: str) -> list[int]:
    """Process ids of the workload: marked, and not part of the profiler."""
    return [pid for pid in _marked(mark) if not _name(pid).startswith(_PROFILER_NAMES)]


def profiler_processes(mark: str) -> list[int]:
    """Process ids of the profiler: nsys itself, its agent and its launcher."""
    return [pid for pid in _marked(mark) if _name(pid).startswith(_PROFILER_NAMES)]


def send(pids: list[int], number: signal.Signals) -> None:
    """Signal processes; those that are gone by now are."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def open_files() -> set[Path]:
    """The files that this user's processes hold open."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            found.add(link.readlink())
    return found


def _marked(mark: str) -> list[int]:
    entry = f"{MARKER}={mark}".encode()
    own = os.getpid()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == own:
            continue
        try:
            marked = entry in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if marked:
            found.append(int(folder.name))
    return sorted(found)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


@contextlib.contextmanager
def exit_on(*numbers: signal.Signals) -> Iterator[None]:
    """Leave in order on these signals, as on Ctrl-C, so that no child and no unfinished file stays."""

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + number)

    previous = {n: signal.signal(n, leave) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
