"""Run a planned capture, pass signals on in the order that saves the report, and collect what nsys left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from nsysan.capture.command import MARKER, Plan
from nsysan.capture.nsys import Nsys
from nsysan.capture.processes import open_files, profiler_processes, send, workload_processes

_POLL_S = 0.1
#: How long nsys may take to end a collection and start to write, before a hung workload is what holds it up.
_END_OF_COLLECTION_S = 10.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RECORDINGS = ("*.nsys-rep", "*.qdrep", "*.qdstrm")


@dataclass(frozen=True)
class Outcome:
    """How a capture ended.

    exit_code: nsys' own, that of the workload if all went well; negative if a signal ended nsys. interrupted:
    the signal that the user sent. killed: the workload did not end by itself. reports: recordings, oldest first.
    rescued: they were not where nsys should have put them.
    """

    exit_code: int
    interrupted: signal.Signals | None
    killed: bool
    reports: list[Path]
    rescued: bool


class Driver(Protocol):
    """What decides when a workload that would run for ever has done enough."""

    @property
    def done(self) -> bool:
        """Whether the workload can end."""
        ...

    def start(self) -> None:
        """Begin; the workload has just been started."""
        ...

    def cancel(self) -> None:
        """Come to an end soon."""
        ...


class _Run:
    """State of one run, shared with the signal handlers."""

    def __init__(self, kill_after: float, driver: Driver | None = None) -> None:
        self.driver = driver
        self.mark = uuid.uuid4().hex
        self.kill_after = kill_after
        self.interrupted: signal.Signals | None = None
        self.told_to_end: float | None = None
        self.killed = False
        self.abandoned = False
        self._told: signal.Signals | None = None
        self._signalled: set[int] = set()

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
        self.told_to_end = time.monotonic()
        self.pass_on()

    def end_if_done(self) -> None:
        """Once its driver is done, the workload is told to end."""
        if self.driver is not None and self.driver.done and self.told_to_end is None:
            self.tell_to_end(self.interrupted or signal.SIGTERM)

    def pass_on(self) -> None:
        """Send the signal to end to every process of the workload, once each."""
        if self._told is not None:
            fresh = [pid for pid in workload_processes(self.mark) if pid not in self._signalled]
            send(fresh, self._told)
            self._signalled.update(fresh)

    def kill_if_overdue(self, deadline: float | None) -> None:
        """Kill a workload that still runs long after it was told to end, or after the collection's own end."""
        now = time.monotonic()
        told = self.told_to_end is not None and now > self.told_to_end + self.kill_after
        if told or (deadline is not None and now > deadline):
            overdue = workload_processes(self.mark)
            if overdue:
                self.killed = True
                send(overdue, signal.SIGKILL)

    def end_all(self) -> None:
        """Leave nothing behind, report or not."""
        self.killed = self.abandoned = True
        send(profiler_processes(self.mark), signal.SIGKILL)
        send(workload_processes(self.mark), signal.SIGKILL)


def run_capture(
    plan: Plan,
    nsys: Nsys,
    staging: Path,
    *,
    ends_after: float | None,
    ends_workload: bool,
    kill_after: float,
    driver: Driver | None = None,
) -> Outcome:
    """Run the plan, whose reports go into the folder `staging`; with a driver, until that is done.

    ends_after: seconds from the start after which nsys itself ends the collection (delay + duration).
    ends_workload: nsys ends the workload with the collection; it does not wait for that to succeed.
    kill_after: seconds that a workload may take to end once it was told to, or the collection ended.
    """
    run = _Run(kill_after, driver)
    before = set(_left_in_temporary_folder())
    environment = {**os.environ, **plan.environment, MARKER: run.mark}
    with _handling(run):
        started = time.monotonic()
        deadline = None if ends_after is None else started + ends_after + kill_after + _END_OF_COLLECTION_S
        # In a session of its own: the terminal's Ctrl-C must reach the workload before it reaches nsys.
        process = subprocess.Popen(plan.argv, env=environment, start_new_session=True)
        if driver is not None:
            driver.start()
        while process.poll() is None:
            time.sleep(_POLL_S)
            run.end_if_done()
            run.pass_on()
            run.kill_if_overdue(deadline)
        if driver is not None and not driver.done:
            driver.cancel()
        if run.interrupted is None and process.returncode < 0:
            run.tell_to_end(signal.SIGTERM)
        elif run.interrupted is None and ends_workload:
            run.tell_to_end(None)
        if run.told_to_end is not None:
            _wait_for_rest(run)
    reports = _recordings(staging)
    rescued = False
    if not reports and not run.abandoned:
        reports = _rescue(nsys, staging, before)
        rescued = bool(reports)
    return Outcome(process.returncode, run.interrupted, run.killed, reports, rescued)


@contextmanager
def _handling(run: _Run) -> Iterator[None]:
    # Not those that are ignored, as SIGHUP is under nohup.
    handled = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, run.on_signal) for number in handled}
    # Where that of a child's end is ignored, the system throws exit codes away.
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _wait_for_rest(run: _Run) -> None:
    """nsys is gone: its agent still writes the report once the workload has ended; then nothing may stay."""
    until = time.monotonic() + run.kill_after + _END_OF_COLLECTION_S
    while workload_processes(run.mark) and time.monotonic() < until:
        run.pass_on()
        run.kill_if_overdue(None)
        time.sleep(_POLL_S)
    until = time.monotonic() + run.kill_after + _END_OF_COLLECTION_S
    while profiler_processes(run.mark) and time.monotonic() < until:
        time.sleep(_POLL_S)
    run_again = workload_processes(run.mark) + profiler_processes(run.mark)
    send(run_again, signal.SIGKILL)


def _recordings(folder: Path) -> list[Path]:
    found = [path for pattern in _RECORDINGS[:2] for path in folder.glob(pattern) if path.stat().st_size]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _left_in_temporary_folder() -> list[Path]:
    folder = Path(tempfile.gettempdir())
    return [path for pattern in _RECORDINGS for path in folder.glob(f"nsys-report-{pattern}")]


def _rescue(nsys: Nsys, staging: Path, before: set[Path]) -> list[Path]:
    """Recordings that nsys left in the temporary folder, or as a raw stream that was never imported."""
    # A file that is open belongs to another capture, which goes on.
    mine = [p for p in _left_in_temporary_folder() if p not in before and p.stat().st_uid == os.getuid()]
    mine = [p for p in mine if p not in open_files()] if mine else []
    for path in mine:
        shutil.move(path, staging / path.name)
    if not _recordings(staging):
        for stream in staging.glob("*.qdstrm"):
            _import(nsys, stream)
    return _recordings(staging)


def _import(nsys: Nsys, stream: Path) -> None:
    installed = nsys.path.resolve().parent
    importers = [p for up in (installed, *installed.parents[:2]) for p in up.glob("host-linux-*/QdstrmImporter")]
    if importers:
        subprocess.run([str(importers[0]), "--input-file", str(stream)], capture_output=True, check=False)
