"""Where the time and the memory of a run go, by stage; nothing is measured unless it is asked for.

A stage that begins inside of another is taken out of it, so that stages sum to the whole. What other threads do beside
a stage has its time by the clock alone: processor time and memory are the process's, and counted where they fall.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, get_ident

_STATUS, _CLEAR, _STAT = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/self/stat")
_FORGET_PEAK = "5"  # proc(5), clear_refs
_SINCE = 19  # of the fields behind the command's name, proc(5): ticks since the machine's start

#: What passed before there was anything to measure with, what is of no stage, and a process that has nothing to do.
STARTED, REST, IDLE = "start", "all else", "wait for requests"


@dataclass
class Spent:
    """What a stage took: ns by the clock, ns of processor time, rows (None where none are counted), bytes at most.

    peak: memory of the process, None where it cannot be told. beside: whether another thread did it, so that wall is
    not part of the sum and cpu is 0.
    """

    wall: int = 0
    cpu: int = 0
    rows: int | None = None
    peak: int | None = None
    beside: bool = False


@dataclass
class Timings:
    """The stages of a process in the order in which they first began. process: its id.

    processes: of those that it had read its traces, once they have told.
    """

    stages: dict[str, Spent] = field(default_factory=dict)
    process: int = field(default_factory=os.getpid)
    processes: list[Timings] = field(default_factory=list)

    @property
    def summed(self) -> Spent:
        """All stages of this process: what its own thread took, and the most memory."""
        own = [spent for spent in self.stages.values() if not spent.beside]
        peaks = [spent.peak for spent in self.stages.values() if spent.peak is not None]
        return Spent(sum(spent.wall for spent in own), sum(spent.cpu for spent in own), peak=max(peaks, default=None))


class _Stopwatch:
    """Times the stages of the thread that made it, and those beside them."""

    def __init__(self) -> None:
        self.found = Timings()
        self._lock = Lock()
        self._thread = get_ident()
        self._open: list[str] = []
        self._mark = self.now()

    def now(self) -> tuple[int, int]:
        return time.monotonic_ns(), time.process_time_ns()

    def begin(self, name: str) -> None:
        self._credit()
        self._open.append(name)
        self._spent(name)

    def end(self, more: int) -> None:
        """End the stage that is open, with so many ns of processor time of others."""
        self._credit(more)
        self._open.pop()

    def _credit(self, more: int = 0) -> None:
        """What passed since the last time is that of the stage that is open."""
        now = self.now()
        if self._open:
            spent = self._spent(self._open[-1])
            spent.wall += now[0] - self._mark[0]
            spent.cpu += now[1] - self._mark[1] + more
            peak = _peak_since()
            if peak is not None:
                spent.peak = max(peak, spent.peak or 0)
        self._mark = now

    def is_own(self) -> bool:
        return get_ident() == self._thread

    def beside(self, name: str, wall: int) -> None:
        with self._lock:
            spent = self._spent(f"{name}, beside others", beside=True)
            spent.wall += wall

    def count(self, name: str, rows: int) -> None:
        with self._lock:
            spent = self._spent(name if self.is_own() else f"{name}, beside others", beside=not self.is_own())
            spent.rows = (spent.rows or 0) + rows

    def _spent(self, name: str, *, beside: bool = False) -> Spent:
        return self.found.stages.setdefault(name, Spent(beside=beside))


@dataclass
class _State:
    """What measures, None while nothing is to be measured."""

    watch: _Stopwatch | None = None


_state = _State()


def begin() -> None:
    """Measure from here on; what passed since the process began is a stage of its own."""
    _state.watch = watch = _Stopwatch()
    age, cpu = _age(), time.process_time_ns()
    watch.found.stages[STARTED] = Spent(cpu if age is None else age, cpu, peak=_peak_since())


def taken() -> Timings:
    """What was measured, which ends here; nothing where it was never begun."""
    watch, _state.watch = _state.watch, None
    return Timings() if watch is None else watch.found


def wanted() -> bool:
    """Whether anything is measured."""
    return _state.watch is not None


def add_process(found: Timings) -> None:
    """What a process of this one took."""
    if _state.watch is not None:
        _state.watch.found.processes.append(found)


@contextmanager
def stage(name: str, *, runs_others: bool = False) -> Iterator[None]:
    """A stage, as a context or a decorator. runs_others: other programs, whose processor time is its own."""
    watch = _state.watch
    if watch is None:
        yield
    elif not watch.is_own():
        begun = time.monotonic_ns()
        try:
            yield
        finally:
            watch.beside(name, time.monotonic_ns() - begun)
    else:
        before = _of_others() if runs_others else 0
        watch.begin(name)
        try:
            yield
        finally:
            watch.end(_of_others() - before if runs_others else 0)


def count(name: str, rows: int) -> None:
    """So many rows of a stage."""
    if _state.watch is not None:
        _state.watch.count(name, rows)


def _of_others() -> int:
    """ns of processor time of the programs that this process ran and that ended."""
    used = os.times()
    return round((used.children_user + used.children_system) * 1e9)


def _peak_since() -> int | None:
    """Bytes of memory at most since it was last asked; since the start where the system cannot tell that."""
    if not _STATUS.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM")), "")
    with suppress(OSError):
        _CLEAR.write_text(_FORGET_PEAK)
    return int(line.split()[1]) * 1024 if line else None


def _age() -> int | None:
    """ns since this process began, in ticks; None where the system does not tell."""
    try:
        started = int(_STAT.read_text().rpartition(")")[2].split()[_SINCE])
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError, ValueError, IndexError):
        return None
    return max(0, now - started * 1_000_000_000 // os.sysconf("SC_CLK_TCK"))
