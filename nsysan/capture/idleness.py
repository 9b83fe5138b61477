"""Whether processes that are waited for still do something: by the time they computed, and what they wrote."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

#: The kernel's ticks in a second, in which it counts how long a process computed.
_HERTZ = os.sysconf("SC_CLK_TCK")
#: Less of a CPU is polling.
_WORKING_SHARE = 0.05
_FEWEST_TICKS = 2
#: Fields of /proc/PID/stat behind the name: state, parent, session, times of user and system.
_STATE, _PARENT, _SESSION, _USER, _SYSTEM = 0, 1, 3, 11, 12


@dataclass(frozen=True)
class Stat:
    """What the kernel says of a process. ticks: how long it computed, in ticks of the kernel's clock."""

    pid: int
    parent: int
    session: int
    ticks: int


def running() -> list[Stat]:
    """All processes that run; what has ended and was not asked for does not."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            parent, session, user, system = (int(fields[i]) for i in (_PARENT, _SESSION, _USER, _SYSTEM))
        except (OSError, ValueError, IndexError):
            continue
        if fields[_STATE] not in (b"Z", b"X"):
            found.append(Stat(int(folder.name), parent, session, user + system))
    return found


def session_ticks(session: int) -> int:
    """How long the processes of one session have computed."""
    return sum(process.ticks for process in running() if process.session == session)


class Idleness:
    """Since when nothing was done: nothing written, and less computed than polling takes."""

    def __init__(self) -> None:
        self.restart(0, 0)

    def restart(self, written: int, ticks: int) -> None:
        """From now on, with so many bytes written and ticks computed."""
        self._written, self._ticks = written, ticks
        self._at = self._wrote_at = time.monotonic()

    def note(self, written: int, ticks: int) -> None:
        """bytes that were written and ticks that were computed so far."""
        now = time.monotonic()
        wrote = written != self._written
        worked = ticks - self._ticks >= max(_FEWEST_TICKS, _WORKING_SHARE * _HERTZ * (now - self._at))
        # Some of those that computed are gone, and their ticks with them: what is left begins anew.
        if wrote or worked or ticks < self._ticks:
            self._at, self._ticks = now, ticks
        if wrote:
            self._written, self._wrote_at = written, now

    @property
    def idle_s(self) -> float:
        """For how long nothing was done."""
        return time.monotonic() - self._at

    @property
    def silent_s(self) -> float:
        """For how long nothing was written."""
        return time.monotonic() - self._wrote_at
