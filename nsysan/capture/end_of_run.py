"""How a run is brought to its end: who is told what, who is killed when, and what people are told meanwhile."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from nsysan.capture.processes import Family, name_of, send
from nsysan.text import counted

_POLL_S = 0.1
#: How long nsys may take to end a collection and to start to write, before a hung workload is what holds it up.
END_OF_COLLECTION_S = 10.0
_LEAST_STALL_S = 1.0
#: What nsys leaves running after a run that ended by itself may do nothing for so long.
_LEFT_BEHIND_S = 3.0
#: An nsys that computes and writes nothing is given up after so long.
_BUSY_S = 300.0
#: What is waited for is said that often.
_SAY_S = 15.0
_NAMES = 4


class Driver(Protocol):
    """What decides when a workload that would run for ever has done enough."""

    @property
    def done(self) -> bool:
        """Whether the workload can end."""
        ...

    def start(self) -> None:
        """Begin; the workload has just been started."""
        ...

    @property
    def apart(self) -> set[int]:
        """Processes that it started, which are no part of the workload."""
        ...

    def cancel(self) -> None:
        """Come to an end soon."""
        ...


class EndOfRun:
    """The end of one run, shared with the signal handlers.

    written: bytes that nsys has written so far. interrupted: the signal that the user sent. killed: the workload did
    not end by itself; abandoned: everything was ended at once, whatever is lost.
    """

    def __init__(
        self,
        kill_after: float,
        written: Callable[[], int],
        say: Callable[[str], None],
        driver: Driver | None = None,
    ) -> None:
        self.driver = driver
        self.mark = uuid.uuid4().hex
        self.family = Family(self.mark)
        self.kill_after = kill_after
        self.interrupted: signal.Signals | None = None
        self.told_to_end: float | None = None
        self.killed = False
        self.abandoned = False
        self._written, self._say = written, say
        self._told: signal.Signals | None = None
        self._signalled: set[int] = set()
        self._said = time.monotonic()
        self._progress = (-1, -1)
        self._progressed = self._wrote = time.monotonic()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """First: end the workload, so that nsys writes its report. Second: end everything."""
        del frame
        if self.interrupted is None:
            self.interrupted = signal.Signals(number)
            if self.driver is not None and not self.driver.done:
                self.driver.cancel()
            else:
                self.tell_to_end(self.interrupted)
        else:
            self.end_all()

    def tell_to_end(self, number: signal.Signals | None) -> None:
        """From now on the workload has `kill_after` seconds to end; None: nsys has told it so."""
        self._told = number
        self.told_to_end = self._progressed = self._wrote = time.monotonic()
        self.pass_on()

    def end_if_done(self) -> None:
        """Once its driver is done, the workload is told to end."""
        if self.driver is not None:
            self.family.apart |= self.driver.apart
            if self.driver.done and self.told_to_end is None:
                self.tell_to_end(self.interrupted or signal.SIGTERM)

    def pass_on(self) -> None:
        """Send the signal to end to every process of the workload, once each."""
        if self._told is not None:
            fresh = [pid for pid in self.family.workload() if pid not in self._signalled]
            send(fresh, self._told)
            self._signalled.update(fresh)

    def kill_if_overdue(self, deadline: float | None) -> None:
        """Kill a workload that still runs long after it was told to end, or after the collection's own end.

        Once it is gone, an nsys that has neither written nor computed for as long is killed too: not earlier, since
        it may wait for what the workload left to be flushed.
        """
        now = time.monotonic()
        told = self.told_to_end is not None and now > self.told_to_end + self.kill_after
        if not told and (deadline is None or now <= deadline):
            return
        overdue = self.family.workload()
        if overdue:
            self.killed = True
            self._progressed = self._wrote = now
            send(overdue, signal.SIGKILL)
        elif self._is_stuck(self.kill_after):
            self._say("nsys does nothing any more, and is killed")
            send(self.family.profiler(), signal.SIGKILL)

    def end_all(self) -> None:
        """Leave nothing behind, report or not."""
        self.killed = self.abandoned = True
        send(self.family.profiler(), signal.SIGKILL)
        send(self.family.workload(), signal.SIGKILL)

    def wait_for_rest(self, *, spares: bool) -> None:
        """nsys is gone: its agent still writes the report once the workload has ended; then nothing may stay."""
        if self.told_to_end is None:
            if spares:
                return
            left = self.family.workload()
            if left:
                self._say(f"nsys ended before {self._named(left)}, which is told to end")
                self.tell_to_end(signal.SIGTERM)
        # What is killed and does not die waits for the kernel, and we do not.
        until = time.monotonic() + self.kill_after + END_OF_COLLECTION_S
        while self.family.workload() and time.monotonic() < until:
            self.pass_on()
            self.kill_if_overdue(None)
            self.tell_what_is_waited_for()
            time.sleep(_POLL_S)
        patience = min(_LEFT_BEHIND_S, self.kill_after) if self.told_to_end is None else self.kill_after
        self._progressed = self._wrote = time.monotonic()
        while self.family.profiler() and not self._is_stuck(patience):
            self.tell_what_is_waited_for()
            time.sleep(_POLL_S)
        send(self.family.workload() + self.family.profiler(), signal.SIGKILL)

    def tell_what_is_waited_for(self) -> None:
        """Say it now and then, where the workload is not what people wait for."""
        now = time.monotonic()
        if now - self._said < _SAY_S:
            return
        self._said = now
        workload = self.family.workload()
        if not workload:
            self._say(
                f"the workload has ended; nsys writes its report ({self._written() / 1e6:,.1f} MB so far); Ctrl-C "
                f"{'again ' if self.interrupted else ''}ends this"
            )
        elif self.told_to_end is not None:
            waited = now - self.told_to_end
            self._say(
                f"waiting for {self._named(workload)} to end ({waited:.0f} s, killed after {self.kill_after:g} s)"
            )

    def _is_stuck(self, patience: float) -> bool:
        """Whether nsys has done nothing for so long; what computes for ever and writes nothing is stuck too."""
        now, patience = time.monotonic(), max(patience, _LEAST_STALL_S)
        written, ticks = self._written(), self.family.profiler_ticks()
        if written != self._progress[0]:
            self._wrote = now
        if (written, ticks) != self._progress:
            self._progress, self._progressed = (written, ticks), now
        return now - self._progressed > patience or now - self._wrote > max(_BUSY_S, patience)

    def _named(self, pids: list[int]) -> str:
        names = sorted({name for pid in pids if (name := name_of(pid))})
        shown = ", ".join(names[:_NAMES]) + (" ..." if len(names) > _NAMES else "")
        return f"{counted(len(pids), 'process', 'processes')} of the workload ({shown})"
