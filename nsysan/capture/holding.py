"""A workload that runs on while windows of it are opened and closed from another terminal.

What `nsysan capture --hold` starts and what `nsysan window` opens know of each other by a small file beside the traces.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.budgets import NOTE_BYTES
from nsysan.capture.command import files_of, outputs_of
from nsysan.capture.exported import Captured, Say, exported
from nsysan.capture.held import Held, alive, plan_held
from nsysan.capture.nccl_debug import take_logs
from nsysan.capture.nsys import require_nsys
from nsysan.capture.runner import run_capture
from nsysan.capture.session import Session

_FORMAT = "nsysan.hold/1"
_SESSION = re.compile(r"nsysan-[0-9a-f]{12}")
_MOST_WINDOWS = 10_000


@dataclass(frozen=True)
class Note:
    """What `window` has to know of a workload that is held. open: the name of the window that is open, None if none."""

    held: Held
    pid: int
    expected_ranks: int | None
    open: str | None = None


def note_file(output: Path) -> Path:
    """Where it is written down that a workload is held for traces of this name; NsysanError where it is no name."""
    if output.name in ("", ".."):
        raise NsysanError(f"{output}: is a folder; name the trace", ExitCode.NO_SUCH_FILE)
    return output.with_name(f".{output.name}.hold")


def hold(session: Session, say: Say) -> int:
    """Run the workload until it ends, with no window open; its exit code."""
    session.check_command()
    plan, held = plan_held(session.request, session.nsys)
    replaced = session.check_output()
    # NCCL is set up once, so what it says lies beside all windows.
    plan = session.speaking(plan, session.output)
    take_logs(session.staging, session.output, keep=True, replaced=replaced)
    path = note_file(session.output)
    try:
        _write(path, Note(held, os.getpid(), session.expected_ranks))
        say(f"held: open a window with `nsysan window open {session.output}`, close it with `nsysan window close`")
        outcome = run_capture(
            plan,
            session.nsys,
            session.staging,
            ends_after=None,
            ends_workload=False,
            kill_after=session.kill_after,
            say=say,
        )
        left = read_note(session.output).open
        if left is not None:
            say(f"window {left} was open when the workload ended; nsys kept what it had")
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            session.staging.rmdir()
    if outcome.interrupted is not None:
        return 128 + outcome.interrupted
    return outcome.exit_code if outcome.exit_code >= 0 else 128 - outcome.exit_code


def open_window(output: Path, say: Say) -> Path:
    """Begin to collect; the name of the window. NsysanError where none can be opened."""
    note = read_note(output)
    if note.open is not None:
        raise NsysanError(
            f"{output}: window {note.open} is open already; close it first: nsysan window close {output}",
            ExitCode.OUTPUT_EXISTS,
        )
    numbered = (output.with_name(f"{output.name}.{k}") for k in range(1, _MOST_WINDOWS))
    name = next((path for path in numbered if not files_of(path)), None)
    if name is None:
        raise NsysanError(f"{output}: has {_MOST_WINDOWS:,} windows here; use another name", ExitCode.OUTPUT_EXISTS)
    note.held.open_window(name.absolute(), say)
    _write(note_file(output), replace(note, open=name.name))
    say(f"window {name.name} is open; close it with `nsysan window close {output}`")
    return name


def close_window(output: Path, say: Say, *, progress: bool = False) -> Captured:
    """End the collection, export and check what it gave."""
    note = read_note(output)
    if note.open is None:
        raise NsysanError(f"{output}: no window is open; open one: nsysan window open {output}", ExitCode.NO_REPORT)
    say(f"closing window {note.open}; nsys writes its recording")
    note.held.close_window(say)
    _write(note_file(output), replace(note, open=None))
    recording, _ = outputs_of(output.with_name(note.open))
    if not recording.exists():
        raise NsysanError(f"{recording}: nsys closed the window but left no recording", ExitCode.NO_REPORT)
    return exported(note.held.nsys, recording, note.expected_ranks, say, late=True, progress=progress)


def read_note(output: Path) -> Note:
    """What is written down of the workload held for this name; NsysanError where none is, or it has ended."""
    path = note_file(output)
    try:
        if not path.is_file() and path.exists():  # a pipe would be waited for
            raise ValueError("it is no file")
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                raise NsysanError(f"{path}: belongs to another user", ExitCode.NO_SUCH_FILE)
            told = json.loads(file.read(NOTE_BYTES))
        note = _read(told)
    except FileNotFoundError:
        raise NsysanError(
            f"{output}: nothing is held under that name here; start it: nsysan capture --hold -o {output} -- COMMAND",
            ExitCode.NO_SUCH_FILE,
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise NsysanError(
            f"{path}: cannot be read as the note of a held workload: {error}", ExitCode.DAMAGED
        ) from error
    if not alive(note.pid):
        raise NsysanError(f"{output}: the workload has ended; remove {path}", ExitCode.NO_SUCH_FILE)
    return note


def _read(told: dict[str, object]) -> Note:
    session, start, pid = told["session"], told["start"], told["pid"]
    opened, expected = told["open"], told["expected_ranks"]
    if told["format"] != _FORMAT or not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise ValueError("not of this version")
    if not isinstance(start, list) or not all(isinstance(word, str) and "\0" not in word for word in start):
        raise ValueError("its options are none")
    if not isinstance(pid, int) or not 0 < pid < 1 << 31:
        raise ValueError("its process is none")
    if opened is not None and (not isinstance(opened, str) or Path(opened).name != opened):
        raise ValueError("the open window has no name")
    if expected is not None and (not isinstance(expected, int) or expected < 1):
        raise ValueError("the number of ranks is none")
    return Note(Held(require_nsys(str(told["nsys"])), session, tuple(start)), pid, expected, opened)


def _write(path: Path, note: Note) -> None:
    told = {
        "format": _FORMAT,
        "nsys": str(note.held.nsys.path),
        "session": note.held.session,
        "start": list(note.held.start),
        "pid": note.pid,
        "expected_ranks": note.expected_ranks,
        "open": note.open,
    }
    whole = path.with_name(f"{path.name}.part")
    try:
        whole.write_text(json.dumps(told), encoding="utf-8")
        whole.replace(path)
    except OSError as error:
        raise NsysanError(f"{path}: cannot be written: {error.strerror}", ExitCode.OUTPUT_UNWRITABLE) from error
