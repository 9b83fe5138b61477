"""Run a program to its end within bounds: of time, of what is kept of its output, and of what it leaves running."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from nsysan.budgets import PRINTED_BYTES
from nsysan.capture.idleness import Idleness, session_ticks

#: What is kept of an output: its beginning, for a help text; its end, for a message.
_HEAD = 1 << 20
_TAIL = 1 << 16
_CHUNK = 1 << 16
_POLL_S = 0.5
_FIRST_POLL_S = 0.01
#: How long the last words are waited for once a program has ended; a child of its may hold the pipe for ever.
_LAST_WORDS_S = 1.0
_DYING_S = 5.0
_SAY_S = 15.0


@dataclass(frozen=True)
class Answer:
    """How a program ended, and what it said: exit code (negative: by a signal), text of either stream."""

    code: int
    out: str
    err: str

    @property
    def last_word(self) -> str:
        """The last line that is none of progress, of stderr if there is any."""
        for text in (self.err, self.out):
            lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return ""


@dataclass(frozen=True)
class Idle:
    """When a program counts as hung: after `seconds` in which it computed nothing and `written` bytes stay the same.

    ticks: what others compute for it, None where it does so itself.
    """

    seconds: float
    written: Callable[[], int]
    ticks: Callable[[], int] | None = None


class EndlessError(OSError):
    """A program that prints more than any answer has."""


class _Drain(threading.Thread):
    """Reads a stream to its end, and keeps its beginning and its end; heard: is given each piece.

    endless: more came than a program may print, and it was read no further.
    """

    def __init__(self, stream: IO[bytes], heard: Callable[[bytes], None] | None = None) -> None:
        super().__init__(daemon=True)
        self._stream, self._heard = stream, heard
        self._head, self._tail = bytearray(), bytearray()
        self.endless = False
        self.start()

    def run(self) -> None:
        read = 0
        # Closed here, so that what outlives the program and prints on is told by its next word.
        with self._stream, contextlib.suppress(OSError):
            while not self.endless and (chunk := os.read(self._stream.fileno(), _CHUNK)):
                read += len(chunk)
                self.endless = read > PRINTED_BYTES
                if self._heard is not None:
                    self._heard(chunk)
                room = _HEAD - len(self._head)
                self._head += chunk[:room]
                self._tail = (self._tail + chunk[max(room, 0) :])[-_TAIL:]

    def end(self) -> None:
        """Read what is left; a child that holds the pipe is not waited for."""
        self.join(_LAST_WORDS_S)

    @property
    def text(self) -> str:
        return bytes(self._head + self._tail).decode("utf-8", "replace")


def ask(
    argv: Sequence[str],
    *,
    patience: float | None = None,
    environment: Mapping[str, str] | None = None,
    shown: bool = False,
    waiting: Callable[[float], None] | None = None,
    heard: Callable[[bytes], None] | None = None,
    alone: bool = True,
    idle: Idle | None = None,
) -> Answer:
    """Run the program and wait; TimeoutError after `patience` seconds, EndlessError where it prints without end,
    OSError where it cannot be run.

    environment: None for our own. shown: its stdout goes to our stderr. waiting: is told every half second for how long
    it has been waited. heard: is given each piece of its stdout, in another thread. alone: nothing that it started may
    outlive it. idle: TimeoutError when it hangs.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr if shown else subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    streams = ((process.stdout, heard), (process.stderr, None))
    drains = [_Drain(stream, told) for stream, told in streams if stream is not None]
    ended = False
    try:
        _wait(process, drains, patience, waiting, argv, idle)
        ended = True
    finally:
        if alone or not ended:
            end_group(process.pid)
        if not ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_DYING_S)
        for drain in drains:
            drain.end()
    _check_end(drains, argv)
    return Answer(process.returncode, "" if shown else drains[0].text, drains[-1].text)


def now_and_then(say: Callable[[str], None], what: Callable[[], str]) -> Callable[[float], None]:
    """For `waiting`: says every 15 seconds what is waited for, and for how long so far."""
    said = 0

    def waiting(waited: float) -> None:
        nonlocal said
        if waited // _SAY_S > said:
            said = int(waited // _SAY_S)
            say(f"{what()} ({waited:.0f} s)")

    return waiting


def end_group(group: int) -> None:
    """Kill all processes of a group; those that are gone by now are."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _wait(
    process: subprocess.Popen[bytes],
    drains: Sequence[_Drain],
    patience: float | None,
    waiting: Callable[[float], None] | None,
    argv: Sequence[str],
    idle: Idle | None,
) -> None:
    begin, progress = time.monotonic(), Idleness()
    poll = _FIRST_POLL_S
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=poll)
            return
        poll = _POLL_S
        _check_end(drains, argv)
        waited = time.monotonic() - begin
        if patience is not None and waited > patience:
            raise TimeoutError(f"{argv[0]} gave no answer in {patience:.0f} s")
        if idle is not None:
            progress.note(idle.written(), idle.ticks() if idle.ticks else session_ticks(process.pid))
            if progress.idle_s > idle.seconds:
                raise TimeoutError(f"{argv[0]} has done nothing for {idle.seconds:.0f} s")
        if waiting is not None:
            waiting(waited)


def _check_end(drains: Sequence[_Drain], argv: Sequence[str]) -> None:
    if any(drain.endless for drain in drains):
        raise EndlessError(errno.EFBIG, f"{argv[0]} printed more than {PRINTED_BYTES / 1e6:.0f} MB")
