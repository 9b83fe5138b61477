"""The processes of one capture, wherever they went (Linux /proc)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType

from nsysan.capture.command import MARKER
from nsysan.capture.idleness import Stat, running

#: What ends a run but for Ctrl-C: Ctrl-\, and what a system sends.
ENDING = (signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
_PROFILER_NAMES = ("nsys", "QdstrmImporter", "quadd")
#: prctl: orphans below this process become its children, whatever they did to their session and environment.
_SUBREAPER = 36


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

    def command(self) -> list[int]:
        """Process ids of what nsys itself started, and not of what that started in turn."""
        members = self._members()
        profiler = {p.pid for p in members if name_of(p.pid).startswith(_PROFILER_NAMES)}
        return [p.pid for p in members if p.pid not in profiler and p.parent in profiler]

    def profiler(self) -> list[int]:
        """Process ids of the profiler: nsys itself, its agent and its launcher."""
        return [p.pid for p in self._members() if name_of(p.pid).startswith(_PROFILER_NAMES)]

    def profiler_ticks(self) -> int:
        """How long the profiler has computed, in ticks of the kernel's clock."""
        return sum(p.ticks for p in self._members() if name_of(p.pid).startswith(_PROFILER_NAMES))

    def _members(self) -> list[Stat]:
        own, session = os.getpid(), os.getsid(0)
        table = {process.pid: process for process in running() if process.pid != own}
        found = []
        for process in table.values():
            if process.session in self.apart or process.pid in self.apart:
                continue
            # An orphan that came to us was below nsys: what we start by ourselves is of our session, or apart.
            ancestors = _ancestors(process, table)
            ours = any(a.pid == self.root or (a.parent == own and a.session != session) for a in ancestors)
            if (ours and not any(a.pid in self.apart for a in ancestors)) or self._is_marked(process.pid):
                found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def _is_marked(self, pid: int) -> bool:
        try:
            return self._entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False


def profilers_ticks() -> int:
    """How long all profilers of this machine have computed."""
    return sum(process.ticks for process in running() if name_of(process.pid).startswith(_PROFILER_NAMES))


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


def _ancestors(process: Stat, table: Mapping[int, Stat]) -> list[Stat]:
    """The process and those above it, as far as the table goes."""
    found, above = [process], table.get(process.parent)
    while above is not None and above not in found:
        found.append(above)
        above = table.get(above.parent)
    return found


@contextlib.contextmanager
def exit_on(*numbers: signal.Signals) -> Iterator[None]:
    """Leave in order on these signals, as on Ctrl-C, so that no child and no unfinished file stays."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    with handling(numbers, leave):
        yield


@contextlib.contextmanager
def handing_on(receivers: Callable[[], list[int]]) -> Iterator[None]:
    """Send these processes what a workload may use, and what SLURM sends before it ends a job: SIGUSR1 and SIGUSR2."""
    numbers = (signal.SIGUSR1, signal.SIGUSR2)
    with handling(numbers, lambda number, _: send(receivers(), signal.Signals(number))):
        yield


@contextlib.contextmanager
def handling(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle these signals so, but for those that are ignored, as SIGHUP is under nohup."""
    previous = {n: signal.signal(n, handler) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
