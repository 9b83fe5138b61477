"""The processes of one capture, wherever they went (Linux /proc)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from nsysan.capture.command import MARKER

_PROFILER_NAMES = ("nsys", "QdstrmImporter", "quadd")
#: prctl: orphans below this process become its children, whatever they did to their session and environment.
_SUBREAPER = 36
#: Fields of /proc/PID/stat behind the name: state, parent, session, times of user and system, start.
_STATE, _PARENT, _SESSION, _USER, _SYSTEM = 0, 1, 3, 11, 12


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    session: int
    ticks: int
    marked: bool


class Family:
    """The processes of one capture: marked in their environment, or descendants of nsys, also those that left it.

    root: nsys, once it runs. apart: processes of ours that are no part of it, with all of their session.
    """

    def __init__(self, mark: str) -> None:
        self._entry = f"{MARKER}={mark}".encode()
        self.root: int | None = None
        self.apart: set[int] = set()

    def workload(self) -> list[int]:
        """Process ids of the workload: all that are not part of the profiler."""
        return [p.pid for p in self._members() if not name_of(p.pid).startswith(_PROFILER_NAMES)]

    def profiler(self) -> list[int]:
        """Process ids of the profiler: nsys itself, its agent and its launcher."""
        return [p.pid for p in self._members() if name_of(p.pid).startswith(_PROFILER_NAMES)]

    def profiler_ticks(self) -> int:
        """How long the profiler has computed, in ticks of the kernel's clock."""
        return sum(p.ticks for p in self._members() if name_of(p.pid).startswith(_PROFILER_NAMES))

    def _members(self) -> list[_Process]:
        own, session = os.getpid(), os.getsid(0)
        table = {process.pid: process for process in _table(self._entry) if process.pid != own}
        found = []
        for process in table.values():
            if process.session in self.apart or process.pid in self.apart:
                continue
            # An orphan that came to us was below nsys: what we start by ourselves is of our session, or apart.
            ancestors = _ancestors(process, table)
            ours = any(a.pid == self.root or (a.parent == own and a.session != session) for a in ancestors)
            if process.marked or (ours and not any(a.pid in self.apart for a in ancestors)):
                found.append(process)
        return sorted(found, key=lambda process: process.pid)


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """Meanwhile the orphans of our descendants become our children, so that none is out of sight."""
    set_to = _prctl(_SUBREAPER, 1)
    try:
        yield
    finally:
        if set_to:
            _prctl(_SUBREAPER, 0)


def _prctl(option: int, value: int) -> bool:
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


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


def name_of(pid: int) -> str:
    """What a process is called; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _table(entry: bytes) -> list[_Process]:
    """All processes that run; marked: that entry is in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            if fields[_STATE] in b"ZX":
                continue
            parent, session, user, system = (int(fields[i]) for i in (_PARENT, _SESSION, _USER, _SYSTEM))
        except (OSError, ValueError, IndexError):
            continue
        try:
            marked = entry in (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            marked = False
        found.append(_Process(int(folder.name), parent, session, user + system, marked))
    return found


def _ancestors(process: _Process, table: Mapping[int, _Process]) -> list[_Process]:
    """The process and those above it, as far as the table goes."""
    found, above = [process], table.get(process.parent)
    while above is not None and above not in found:
        found.append(above)
        above = table.get(above.parent)
    return found


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
