"""The traces of a run read and held by several processes of this machine, each trace by one of them."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import c_longlong
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from typing import TYPE_CHECKING, TypeVar, cast

from nsysan import progress, timings
from nsysan._errors import ExitCode, NsysanError
from nsysan.columns.memory import settle
from nsysan.columns.threads import processors

if TYPE_CHECKING:
    from pathlib import Path

    from nsysan.model.loaded import ReadRequest, TraceSummary
    from nsysan.run.placed import Placement
    from nsysan.trace.trace import Trace
    from nsysan.workers.remote import RemoteTrace

_T = TypeVar("_T")
#: A process that is lost with a trace twice will be lost with it again.
_MOST_LOSSES = 2
_SHOWN_EVERY_S = 0.25
_LOST = object()
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Request = tuple[str, tuple[object, ...]]


class Pool:
    """The traces of a run, which are files, in so many processes of this machine; to be closed.

    A process that is lost (for want of memory, say) is replaced, and reads its traces again. NsysanError if the next
    is lost too.
    """

    is_local = False

    def __init__(self, processes: int) -> None:
        # polars has threads, which do not survive a fork.
        self._context = get_context("spawn")
        self._threads = max(1, processors() // processes)
        self._processes = [_Process(self._context, self._threads) for _ in range(processes)]
        self._home: dict[int, _Process] = {}
        self._requests: dict[int, ReadRequest] = {}
        self._placements: dict[int, Placement] = {}

    def started(self, source: Path | Trace) -> int | None:
        """When a trace's session started."""
        from nsysan.run.trace_set import started

        return started(source)

    def read(self, requests: Sequence[ReadRequest]) -> list[TraceSummary | NsysanError]:
        """Read each trace; its summary, or why it cannot be read."""
        self._requests = dict(enumerate(requests))
        progress.stage(f"reading {len(requests)} traces")
        found = self._answers({number: ("read", (number, request)) for number, request in self._requests.items()})
        for number, request in self._requests.items():
            if found[number] is _LOST:
                found[number] = NsysanError(
                    f"{request.source}: the process that read it was killed, twice; for want of memory? (try --jobs 1)",
                    ExitCode.NO_WORKERS,
                )
        return cast("list[TraceSummary | NsysanError]", [found[number] for number in self._requests])

    def place(self, placements: Mapping[int, Placement]) -> None:
        """Give the traces their places."""
        self._placements = dict(placements)
        self._required({number: ("place", (number, placement)) for number, placement in placements.items()})

    def ask(self, question: Callable[..., _T], arguments: Sequence[tuple[object, ...]]) -> list[_T]:
        """The answer of each placed trace."""
        numbers = list(self._placements)
        own = zip(numbers, arguments, strict=True)
        found = self._required({number: ("ask", (number, question, values)) for number, values in own})
        return cast("list[_T]", [found[number] for number in numbers])

    def tell_timings(self) -> None:
        """Add what the processes took to what is measured here, if anything is."""
        for process in self._processes if timings.wanted() else ():
            process.send(("timings", ()))
            answer = process.receive()
            if isinstance(answer, timings.Timings):
                timings.add_process(answer)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.stop()

    def _required(self, requests: Mapping[int, Request]) -> dict[int, object]:
        found = self._answers(requests)
        lost = [str(self._requests[number].source) for number, answer in found.items() if answer is _LOST]
        if lost:
            raise NsysanError(
                f"{lost[0]}: the process that held it was killed, twice; for want of memory? (try --jobs 1)",
                ExitCode.NO_WORKERS,
            )
        return found

    def _answers(self, requests: Mapping[int, Request]) -> dict[int, object]:
        """The answer to each trace's request, _LOST where its process was lost each time.

        A process has one request at a time, so that neither side waits to send while the other does.
        """
        waiting = list(requests)
        busy: dict[_Process, int] = {}
        losses: Counter[int] = Counter()
        found: dict[int, object] = {}
        while waiting or busy:
            for process in [process for process in self._processes if process not in busy]:
                number = next((n for n in waiting if self._home.get(n, process) is process), None)
                if number is not None:
                    waiting.remove(number)
                    self._home[number] = process
                    process.send(requests[number])
                    busy[process] = number
            with timings.stage("wait for processes"):
                ready = set(wait([process.connection for process in busy], _SHOWN_EVERY_S))
            progress.done(sum(process.rows.value for process in self._processes))
            for process in [process for process in busy if process.connection in ready]:
                number = busy.pop(process)
                answer = process.receive()
                if answer is not _LOST:
                    found[number] = answer
                    continue
                losses[number] += 1
                self._replace(process)
                if losses[number] < _MOST_LOSSES:
                    waiting.insert(0, number)
                else:
                    found[number] = _LOST
        return found

    def _replace(self, process: _Process) -> None:
        """Start the process anew, with the traces that it held; they are read when they are asked next."""
        process.stop()
        process.start()
        for number in (number for number, home in self._home.items() if home is process):
            process.send(("hold", (number, self._requests[number], self._placements.get(number))))
            process.receive()


class _Process:
    """One process, and the connection to it."""

    def __init__(self, context: SpawnContext, threads: int) -> None:
        self._context, self._threads = context, threads
        # Without a lock, which a process that is killed could keep.
        self.rows = context.RawValue("q", 0)
        self.start()

    def start(self) -> None:
        self.connection, theirs = self._context.Pipe()
        arguments = (theirs, self._threads, self.rows, timings.wanted())
        self._process = self._context.Process(target=_serve, args=arguments, daemon=True)
        with _undisturbed():
            self._process.start()
        theirs.close()

    def send(self, request: Request) -> None:
        """Send a request; if the process is lost, `receive` says so."""
        try:
            self.connection.send(request)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> object:
        """The answer, or _LOST; the error that it is, raised."""
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return _LOST
        if isinstance(answer, _Raised):
            raise answer.error
        return answer

    def stop(self) -> None:
        self.connection.close()
        self._process.terminate()
        self._process.join()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let what ends us wait until a process is told what it is for: without, it would end with a traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # its start lets SIGINT through again
    came: list[int] = []
    before = {n: signal.signal(n, lambda number, _: came.append(number)) for n in _ENDING if _is_heard(n)}
    # Ctrl-C reaches the new process, too, which ignores it only once it serves; until then it inherits this.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def _is_heard(number: signal.Signals) -> bool:
    return signal.getsignal(number) not in (signal.SIG_IGN, None)


class _Raised:
    """An error on its way from a process."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _serve(connection: Connection, threads: int, rows: c_longlong, timed: bool) -> None:
    """Answer the requests of a Pool until it closes the connection, and count the rows that are read.

    timed: whether it is to tell where its time went.
    """

    def count(read: int) -> None:
        rows.value += read

    progress.tell(count)
    # Ctrl-C reaches all processes of a terminal; the first ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    settle(threads)
    if timed:
        timings.begin()
    holder = _Holder()
    while True:
        try:
            with timings.stage(timings.IDLE):
                name, arguments = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            with timings.stage(timings.REST):
                answer = getattr(holder, name)(*arguments)
        except Exception as error:
            answer = _Raised(error)
        try:
            with timings.stage("send answers"):
                connection.send(answer)
        except Exception as error:
            connection.send(_Raised(RuntimeError(f"cannot be sent: {error}")))


class _Holder:
    """The traces that one process holds, by number."""

    timings = staticmethod(timings.taken)

    def __init__(self) -> None:
        self._held: dict[int, RemoteTrace] = {}

    def hold(self, number: int, request: ReadRequest, placement: Placement | None) -> None:
        from nsysan.workers.remote import RemoteTrace

        self._held[number] = RemoteTrace(request, placement)

    def read(self, number: int, request: ReadRequest) -> TraceSummary | NsysanError:
        self.hold(number, request, None)
        return self._held[number].read()

    def place(self, number: int, placement: Placement) -> None:
        self._held[number] = self._held[number].placed(placement)

    def ask(self, number: int, question: Callable[..., _T], arguments: tuple[object, ...]) -> _T:
        return self._held[number].ask(question, arguments)
