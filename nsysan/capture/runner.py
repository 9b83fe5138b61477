"""Run a planned capture, pass signals on in the order that saves the report, and collect what nsys left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nsysan.capture.bounded import Idle, ask, now_and_then
from nsysan.capture.command import MARKER, Plan
from nsysan.capture.cures import temporary_folder
from nsysan.capture.end_of_run import END_OF_COLLECTION_S, Driver, EndOfRun, patience_of
from nsysan.capture.nsys import Nsys
from nsysan.capture.processes import ENDING, adopting_orphans, handing_on, handling, open_files

_POLL_S = 0.1
_RECORDINGS = ("*.nsys-rep", "*.qdrep", "*.qdstrm")


@dataclass(frozen=True)
class Outcome:
    """How a capture ended.

    exit_code: nsys' own, that of the workload if all went well; negative if a signal ended nsys. interrupted:
    the signal that the user sent. killed: the workload did not end by itself. reports: recordings, oldest first.
    rescued: they were not where nsys should have put them. stuck: nsys had to be killed, as it did nothing any more.
    """

    exit_code: int
    interrupted: signal.Signals | None
    killed: bool
    reports: list[Path]
    rescued: bool
    stuck: bool = False


def run_capture(
    plan: Plan,
    nsys: Nsys,
    staging: Path,
    *,
    ends_after: float | None,
    ends_workload: bool,
    kill_after: float,
    driver: Driver | None = None,
    spares: bool = False,
    say: Callable[[str], None] | None = None,
) -> Outcome:
    """Run the plan, whose reports go into the folder `staging`; with a driver, until that is done.

    ends_after: seconds from the start after which nsys itself ends the collection (delay + duration).
    ends_workload: nsys ends the workload with the collection; it does not wait for that to succeed.
    kill_after: seconds that a workload may take to end once it was told to, or the collection ended.
    spares: what nsys leaves running is meant to run on. say: told what is waited for.
    """
    before = set(_left_in_temporary_folder())
    run = EndOfRun(kill_after, lambda: _written(staging, before), say or _silent, driver)
    environment = {**os.environ, **plan.environment, MARKER: run.mark}
    with (
        handling((signal.SIGINT, *ENDING), run.on_signal),
        handing_on(run.family.command),
        _ends_of_children(),
        adopting_orphans(),
    ):
        started = time.monotonic()
        deadline = None if ends_after is None else started + ends_after + kill_after + END_OF_COLLECTION_S
        # In a session of its own: the terminal's Ctrl-C must reach the workload before it reaches nsys.
        process = subprocess.Popen(plan.argv, env=environment, start_new_session=True)
        run.family.root = process.pid
        if driver is not None:
            driver.start()
        while process.poll() is None:
            time.sleep(_POLL_S)
            run.end_if_done()
            run.pass_on()
            run.kill_if_overdue(deadline)
            run.tell_what_is_waited_for()
        if driver is not None and not driver.done:
            driver.cancel()
        if run.interrupted is None and process.returncode < 0:
            run.tell_to_end(signal.SIGTERM)
        elif run.interrupted is None and ends_workload:
            run.tell_to_end(None)
        run.wait_for_rest(spares=spares)
    reports = _recordings(staging)
    rescued = False
    if not reports and not run.abandoned:
        reports = _rescue(nsys, staging, before, patience_of(kill_after, stuck=run.stuck), say or _silent)
        rescued = bool(reports)
    return Outcome(process.returncode, run.interrupted, run.killed, reports, rescued, run.stuck)


@contextmanager
def _ends_of_children() -> Iterator[None]:
    """Where the signal of a child's end is ignored, the system throws exit codes away."""
    previous = signal.getsignal(signal.SIGCHLD)
    if previous is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, previous)


def _recordings(folder: Path) -> list[Path]:
    found = [path for pattern in _RECORDINGS[:2] for path in folder.glob(pattern) if path.stat().st_size]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _left_in_temporary_folder() -> list[Path]:
    folder = temporary_folder()
    return [path for pattern in _RECORDINGS for path in folder.glob(f"nsys-report-{pattern}")]


def _silent(text: str) -> None:
    del text


def _written(staging: Path, before: set[Path]) -> int:
    """Bytes that nsys has written so far, in either place."""
    total = 0
    for path in [*staging.rglob("*"), *(p for p in _left_in_temporary_folder() if p not in before)]:
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _rescue(nsys: Nsys, staging: Path, before: set[Path], patience: float, say: Callable[[str], None]) -> list[Path]:
    """Recordings that nsys left in the temporary folder, or as a raw stream that was never imported."""
    # A file that is open belongs to another capture, which goes on.
    mine = [p for p in _left_in_temporary_folder() if p not in before and p.stat().st_uid == os.getuid()]
    mine = [p for p in mine if p not in open_files()] if mine else []
    for path in mine:
        shutil.move(path, staging / path.name)
    if not _recordings(staging):
        for stream in staging.glob("*.qdstrm"):
            _import(nsys, stream, patience, say)
    return _recordings(staging)


def _import(nsys: Nsys, stream: Path, patience: float, say: Callable[[str], None]) -> None:
    installed = nsys.path.resolve().parent
    folders = (installed, *installed.parents[:2], Path("/usr/lib/nsight-systems"))
    importers = [path for folder in folders for path in folder.glob("host-linux-*/QdstrmImporter")]
    if importers:
        waiting = now_and_then(say, lambda: f"making a report of {stream.name}")
        with contextlib.suppress(OSError):
            argv = [str(importers[0]), "--input-file", str(stream)]
            ask(argv, waiting=waiting, idle=Idle(patience, lambda: _written(stream.parent, set())))
