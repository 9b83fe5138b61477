"""A window of a live server under load: wait until it is ready, load it, collect while it decodes steadily, end it."""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.capture.completions import SETTLED, Load
from nsysan.capture.held import Held
from nsysan.capture.server import answers, post
from nsysan.text import counted

_POLL_S = 0.2
#: What is waited for is said that often.
_SAY_S = 15.0
#: How long the time of a token is measured before the window opens.
_MEASURED_S = 1.0
#: Streams that do not decode after so long never will.
_STEADY_S = 300.0
#: A window in steps ends after so long, whatever the streams give.
_LONGEST_S = 30.0
#: How long nsys may take to open a window while the requests go on.
_OPENING_S = 30.0
#: A stream may get so many tokens while the slowest gets one.
_UNEVEN = 1.25
_END_OF_LOAD_S = 5.0


@dataclass(frozen=True)
class Serve:
    """How a server's windows are to be taken.

    url: where it answers. load: a command that loads it, None for streams of our own, so many as `requests`. settle:
    seconds of that command before the first window. seconds, steps: length of a window, steps by the tokens of the
    slowest stream (and then seconds is None). windows: how many. startup: seconds that the server may take to be ready.
    profiler: routes that turn the server's own profiler on and off, where that names its steps. key: what the server
    wants to be shown, not to be printed.
    """

    url: str
    load: str | None = None
    requests: int = 8
    model: str | None = None
    settle: float = 5.0
    seconds: float | None = None
    steps: int = 100
    windows: int = 1
    startup: float = 900.0
    profiler: tuple[str, str] | None = None
    key: str | None = field(default=None, repr=False)


class Serving(threading.Thread):
    """Takes the windows while the caller watches the processes.

    done: nothing is left to do, and the server can end. closing: it waits for nsys to end a window. failure: why there
    are not all the windows. token_ns: the time a token takes with the window closed and open, None where none was
    measured. apart: processes of the load.
    """

    def __init__(self, held: Held, serve: Serve, output: Path, say: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._held, self._serve, self._output, self._say = held, serve, output, say
        self._cancelled = threading.Event()
        self._finished = threading.Event()
        self.failure: NsysanError | None = None
        self.token_ns: tuple[int | None, int | None] = (None, None)
        self.taken = 0
        self.closing = False
        self.apart: set[int] = set()

    @property
    def done(self) -> bool:
        return self._finished.is_set()

    def cancel(self) -> None:
        """Close the window if one is open, and end."""
        self._cancelled.set()

    def run(self) -> None:
        """The whole of it; a failure is kept for the caller."""
        try:
            self._wait_until_ready()
            with self._loaded() as load:
                for number in range(1, self._serve.windows + 1):
                    self._take(number, load)
        except NsysanError as error:
            self.failure = error
        except _CancelledError:
            pass
        except Exception as error:  # a thread's traceback would be lost, and the server never ended
            self.failure = NsysanError(f"the window could not be taken: {error!r}", ExitCode.NO_REPORT)
        finally:
            self._finished.set()

    def _wait_until_ready(self) -> None:
        url = self._serve.url
        if not self._until(lambda: answers(url), self._serve.startup, f"for the server at {url}"):
            raise NsysanError(
                f"{url}: the server was not ready in {self._serve.startup:.0f} s; what it said is above "
                "(another address: --url, more time: --startup-timeout)",
                ExitCode.NO_REPORT,
            )
        self._say(f"the server at {url} is ready")

    @contextlib.contextmanager
    def _loaded(self) -> Iterator[Load | None]:
        """The load, running and steady."""
        if self._serve.load is None:
            load = Load(self._serve.url, self._serve.requests, self._serve.model, self._serve.key)
            load.start()
            self._say(f"{self._serve.requests} streams from {load.model}")
            try:
                self._until_steady(load)
                yield load
            finally:
                load.stop()
            return
        process = _started(self._serve.load)
        self.apart.add(process.pid)
        self._say(f"the load runs; the window opens in {self._serve.settle:g} s")
        try:
            self._sleep(self._serve.settle, process)
            yield None
        finally:
            _ended(process)

    def _until_steady(self, load: Load) -> None:
        steady = self._until(lambda: load.steady or bool(load.failure), _STEADY_S, "for every stream to decode")
        if load.failure:
            raise NsysanError(f"{self._serve.url}: the load fails: {load.failure}", ExitCode.NO_REPORT)
        if not steady:
            raise NsysanError(
                f"{self._serve.url}: not every stream decodes after {_STEADY_S:.0f} s: fewer --requests, or a load of "
                "your own with --load",
                ExitCode.NO_REPORT,
            )

    def _take(self, number: int, load: Load | None) -> None:
        name = self._output.name if self._serve.windows == 1 else f"{self._output.name}.{number}"
        before, closed_ns = time.monotonic(), None
        if load is not None:
            self._until(lambda: False, _MEASURED_S, "")
            closed_ns = load.interval_ns(before, time.monotonic())
            self._prepare(load, closed_ns)
        self._profiler("start")
        self._held.open_window(self._output.with_name(name), self._say)
        self._say(f"window {number} is open" if self._serve.windows > 1 else "the window is open")
        try:
            if load is not None:
                self._renew_if_short(load, self._wanted(closed_ns))
            opened = time.monotonic()
            self._while_open(load)
        finally:
            until = time.monotonic()
            self._say("the window closes; nsys writes its recording")
            self.closing = True
            self._held.close_window(self._say)
            self._profiler("stop")
            self.closing = False
            self.taken += 1
        if load is not None:
            self.token_ns = (closed_ns, load.interval_ns(opened, until))
            if begun := load.begun(opened, until):
                self._say(f"{counted(begun, 'request')} began while the window was open: it holds their prefills too")

    def _prepare(self, load: Load, token_ns: int | None) -> None:
        """Requests that last until the window closes, so that it shows decoding alone."""
        opening = int(_OPENING_S * 1e9 / token_ns) if token_ns else load.length
        if load.left < self._wanted(token_ns) + opening:
            load.renew()
            self._until_steady(load)

    def _renew_if_short(self, load: Load, wanted: int) -> None:
        """Where nsys took long to open the window, the requests that are left are too short for it."""
        if wanted > load.length - SETTLED:
            self._say(
                f"requests end after {load.length:,} tokens, as the model's context does, and the window takes "
                f"{wanted:,}: it will hold prefills of new ones; ask for fewer --window-steps, or less --window"
            )
        elif load.left < min(wanted * _UNEVEN, load.length - SETTLED):
            self._say("the requests are nearly over: new ones begin, and the window with their prefills")
            load.renew()
            self._until_steady(load)

    def _wanted(self, token_ns: int | None) -> int:
        """Tokens of each stream while the window is open."""
        if self._serve.seconds is None:
            return self._serve.steps
        return int(self._serve.seconds * 1e9 / token_ns) if token_ns else 0

    def _profiler(self, verb: str) -> None:
        """The server's own profiler on and off, for the ranges it marks its steps with; they are not needed."""
        if self._serve.profiler is not None:
            route = self._serve.profiler[verb == "stop"]
            try:
                post(self._serve.url + route, self._serve.key)
            except (OSError, http.client.HTTPException) as error:
                self._say(f"the server's steps may have no names: {route}: {error}")

    def _while_open(self, load: Load | None) -> None:
        if self._serve.seconds is not None or load is None:
            self._until(lambda: False, self._serve.seconds or 1.0, "")
            return
        end = load.tokens + self._serve.steps
        self._until(lambda: load.tokens >= end or bool(load.failure), _LONGEST_S, f"for {self._serve.steps} steps")

    def _until(self, condition: Callable[[], bool], patience: float, what: str) -> bool:
        """Whether it came true in time; what is waited for is said every few seconds."""
        begin = said = time.monotonic()
        while True:
            if self._cancelled.is_set():
                raise _CancelledError
            if condition():
                return True
            now = time.monotonic()
            if now - begin >= patience:
                return False
            if what and now - said >= _SAY_S:
                said = now
                self._say(f"waiting {what} ({now - begin:.0f} s)")
            self._cancelled.wait(min(_POLL_S, begin + patience - now))

    def _sleep(self, seconds: float, process: subprocess.Popen[bytes]) -> None:
        if self._until(lambda: process.poll() is not None, seconds, "") and process.returncode:
            raise NsysanError(
                f"--load: the command ended with exit code {process.returncode} before the window opened; what it said "
                "is above",
                ExitCode.NO_REPORT,
            )


class _CancelledError(Exception):
    """The user, or the server's end, came first."""


def _started(command: str) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(shlex.split(command), stdin=subprocess.DEVNULL, start_new_session=True)
    except (OSError, ValueError) as error:
        raise NsysanError(f"--load {command!r}: cannot be run: {error}", ExitCode.NO_REPORT) from error


def _ended(process: subprocess.Popen[bytes]) -> None:
    """End the load and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_END_OF_LOAD_S)
            return
