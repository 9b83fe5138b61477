"""How a run is brought to its end: who is told what, who is killed when, and what people are told meanwhile."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from nsysan.capture.idleness import Idleness
from nsysan.capture.processes import Family, name_of, send
from nsysan.text import counted

_POLL_S = 0.1
#: How long nsys may take to end a collection and to start to write, before a hung workload is what holds it up.
END_OF_COLLECTION_S = 10.0
#: What nsys may do with the end of a workload that had to be killed, as a share of the time that all may take.
_SHARE = 1 / 6
_LONGEST_SHARE_S = 10.0
_LEAST_STALL_S = 1.0
#: What comes after nsys has to be started first.
_LEAST_NEXT_S = 5.0
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
    def closing(self) -> bool:
        """Whether it waits for nsys to end a collection."""
        ...

    @property
    def apart(self) -> set[int]:
        """Processes that it started, which are no part of the workload."""
        ...

    def cancel(self) -> None:
        """Come to an end soon."""
        ...


def patience_of(kill_after: float, *, stuck: bool) -> float:
    """How long what comes next may do nothing. stuck: nsys has hung already, for as long as all may."""
    return max(min(kill_after * _SHARE, _LONGEST_SHARE_S) if stuck else kill_after, _LEAST_NEXT_S)


class EndOfRun:
    """The end of one run, shared with the signal handlers.

    What hangs is gone `kill_after` seconds after the workload was told to end, or after the last that nsys did: the
    workload is killed a little before, so that an nsys that waits for it can still write its report.

    written: bytes that nsys has written so far. interrupted: the signal that the user sent. killed: the workload did
    not end by itself; abandoned: everything was ended at once, whatever is lost. stuck: nsys had to be killed.
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
        self.stuck = False
        self._share = min(kill_after * _SHARE, _LONGEST_SHARE_S)
        self._closing = False
        self._written, self._say = written, say
        self._told: signal.Signals | None = None
        self._signalled: set[int] = set()
        self._said = time.monotonic()
        self._idleness = Idleness()

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

    def tell_to_end(self, number: signal.Signals | None, hung_s: float = 0.0) -> None:
        """From now on the workload has `kill_after` seconds to end; None: nsys has told it so.

        hung_s: for how long nsys has done nothing already, where that is why; it is part of those seconds.
        """
        # Ctrl-\ would have it dump its memory, and write nothing of what nsys collected in it.
        self._told = signal.SIGINT if number is signal.SIGQUIT else number
        self.told_to_end = time.monotonic() - hung_s
        if not hung_s:
            self._watch()
        self.pass_on()

    def end_if_done(self) -> None:
        """Once its driver is done, or nsys does not let it be, the workload is told to end."""
        if self.driver is None or self.told_to_end is not None:
            return
        self.family.apart |= self.driver.apart
        if self.driver.done:
            self.tell_to_end(self.interrupted or signal.SIGTERM)
            return
        closing = self.interrupted is not None or self.driver.closing
        if closing and not self._closing:
            self._watch()
        self._closing = closing
        if closing and self._is_stuck(self.kill_after - 2 * self._share):
            self._say("nsys does not end the collection, so the workload is told to end")
            self.tell_to_end(self.interrupted or signal.SIGTERM, self._idleness.idle_s)

    def pass_on(self) -> None:
        """Send the signal to end to every process of the workload, once each."""
        if self._told is not None:
            fresh = [pid for pid in self.family.workload() if pid not in self._signalled]
            send(fresh, self._told)
            self._signalled.update(fresh)

    def kill_if_overdue(self, deadline: float | None) -> None:
        """Kill a workload that still runs long after it was told to end, or after the collection's own end.

        An nsys that has neither written nor computed for as long is killed too, whatever became of the workload.
        """
        now = time.monotonic()
        if self.told_to_end is None:
            if deadline is None or now <= deadline:
                return
            self.told_to_end = now - self.kill_after + self._share
            self._watch()
        if now > self.told_to_end + self.kill_after - self._share and (overdue := self.family.workload()):
            self.killed = True
            send(overdue, signal.SIGKILL)
        if self._is_stuck(self.kill_after) and now > self.told_to_end + self.kill_after:
            self._say("nsys does nothing any more, and is killed")
            self.stuck = True
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
        patience = self.kill_after
        if self.told_to_end is None:
            patience = min(_LEFT_BEHIND_S, self.kill_after)
            self._watch()
        until = (self.told_to_end or time.monotonic()) + self.kill_after
        while self.family.workload() and time.monotonic() < until:
            self.pass_on()
            self.kill_if_overdue(None)
            self.tell_what_is_waited_for()
            time.sleep(_POLL_S)
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

    def _watch(self) -> None:
        """What nsys does from now on counts."""
        self._idleness.restart(self._written(), self.family.profiler_ticks())

    def _is_stuck(self, patience: float) -> bool:
        """Whether nsys has done nothing for so long; what computes for ever and writes nothing is stuck too."""
        self._idleness.note(self._written(), self.family.profiler_ticks())
        patience = max(patience, _LEAST_STALL_S)
        return self._idleness.idle_s > patience or self._idleness.silent_s > max(_BUSY_S, patience)

    def _named(self, pids: list[int]) -> str:
        names = sorted({name for pid in pids if (name := name_of(pid))})
        shown = ", ".join(names[:_NAMES]) + (" ..." if len(names) > _NAMES else "")
        return f"{counted(len(pids), 'process', 'processes')} of the workload ({shown})"
