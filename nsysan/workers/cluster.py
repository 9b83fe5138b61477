"""The traces of a run read and held by the workers of a Dask cluster; only summaries and figures travel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar, cast
from uuid import uuid4

from nsysan import progress, timings
from nsysan._errors import ExitCode, NsysanError
from nsysan._version import __version__
from nsysan.model.loaded import ReadRequest, TraceSummary
from nsysan.run.placed import Placement
from nsysan.run.trace_set import started
from nsysan.text import plain
from nsysan.workers.packing import packed, unpacked
from nsysan.workers.remote import RemoteTrace, version

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client, Future

    from nsysan.trace.trace import Trace

_T = TypeVar("_T")
#: Seconds for a scheduler to answer, and for a worker to be there.
ANSWER = 4.0
WAIT = 20


class Cluster:
    """The traces of a run on the workers of a scheduler; to be closed.

    A trace is named by a path as the workers see it. Each stays on the worker that read it; where that worker is lost
    the scheduler has another read it again. sent, received: bytes of what travelled between this process and the
    workers, so far.
    """

    is_local = False

    def __init__(self, address: str) -> None:
        self._address = address
        self._client = _connected(address)
        self._run = uuid4().hex[:12]
        self._round = 0
        self._requests: list[ReadRequest] = []
        self._held: dict[int, Future] = {}
        self.sent = self.received = 0

    def started(self, source: Path | Trace) -> int | None:
        """When a trace's session started."""
        return cast("int | None", self._client.submit(started, source, pure=False).result(timeout=WAIT))

    def read(self, requests: Sequence[ReadRequest]) -> list[TraceSummary | NsysanError]:
        """Read each trace; its summary, or why it cannot be read."""
        self._requests = list(requests)
        numbers = range(len(requests))
        progress.stage("reading traces", len(requests), progress.TRACES)
        readings = {n: self._submit("read", n, _read, self._packed(requests[n])) for n in numbers}
        summaries = {n: self._submit("summary", n, _summary, future) for n, future in readings.items()}
        found = {}
        for n, future in summaries.items():
            found[n] = self._answer(n, future)
            progress.advance(1)
        self._held = {n: readings[n] for n in numbers if isinstance(found[n], TraceSummary)}
        return cast("list[TraceSummary | NsysanError]", list(found.values()))

    def place(self, placements: Mapping[int, Placement]) -> None:
        """Give the traces their places; what they were before stays known to the scheduler, but not in memory."""
        self._held = {
            n: self._submit("place", n, _place, self._held[n], self._packed(placement))
            for n, placement in placements.items()
        }

    def ask(self, question: Callable[..., _T], arguments: Sequence[tuple[object, ...]]) -> list[_T]:
        """The answer of each placed trace."""
        self._round += 1
        name = f"ask-{self._round}-{getattr(question, '__name__', '')}"
        asked = {
            n: self._submit(name, n, _ask, held, self._packed((question, own)))
            for (n, held), own in zip(self._held.items(), arguments, strict=True)
        }
        answers = [self._answer(n, future) for n, future in asked.items()]
        lost = next((answer for answer in answers if isinstance(answer, NsysanError)), None)
        if lost is not None:
            raise lost
        return cast("list[_T]", answers)

    def close(self) -> None:
        """Let go of the traces, and of the scheduler."""
        self._held = {}
        self._client.close()

    def _submit(self, name: str, number: int, function: Callable[..., object], *arguments: object) -> Future:
        key = f"nsysan-{name}-{number}-{self._run}"
        return self._client.submit(function, *arguments, key=key, pure=False)

    def _packed(self, value: object) -> bytes:
        message = packed(value)
        self.sent += len(message)
        return message

    def _answer(self, number: int, future: Future) -> object:
        """What a trace answers, or that it takes its workers down."""
        from distributed import KilledWorker

        try:
            with timings.stage("wait for the cluster"):
                message = self._result(future)
        except KilledWorker:
            return NsysanError(
                f"{self._requests[number].source}: every worker that was given it was lost; for want of memory?",
                ExitCode.NO_WORKERS,
            )
        except CancelledError as error:
            raise NsysanError(f"{self._address}: the scheduler was lost", ExitCode.NO_WORKERS) from error
        self.received += len(message)
        return unpacked(message)

    def _result(self, future: Future) -> bytes:
        """What a task returns, however long it takes, as long as there are workers."""
        while True:
            try:
                return cast(bytes, future.result(timeout=WAIT))
            except TimeoutError:
                if future.status == "error":
                    raise
                if future.done():  # meanwhile, or its answer is on the way
                    continue
                if self._client.status != "running":
                    raise CancelledError from None
                if not self._client.scheduler_info().get("workers"):
                    raise NsysanError(f"{self._address}: all workers were lost", ExitCode.NO_WORKERS) from None


def _connected(address: str) -> Client:
    """A client of a scheduler that has workers with this version of nsysan."""
    try:
        from distributed import Client
    except ImportError as error:
        raise NsysanError("--scheduler needs Dask: pip install 'nsysan[cluster]'", ExitCode.NO_WORKERS) from error
    try:
        with ThreadPoolExecutor(1) as beside:  # a notebook has a loop of its own
            beside.submit(asyncio.run, _greet(address)).result()
        client = Client(address, timeout=WAIT, set_as_default=False)
    # Whatever a protocol raises that is not there, or lacks its certificates.
    except Exception as error:
        why = plain(str(error) or type(error).__name__, 200)
        raise NsysanError(f"{address}: no Dask scheduler answers ({why})", ExitCode.NO_WORKERS) from error
    try:
        client.wait_for_workers(1, timeout=WAIT)
        _check_versions(client, address)
    except TimeoutError as error:
        client.close()
        raise NsysanError(f"{address}: the scheduler has no workers", ExitCode.NO_WORKERS) from error
    except BaseException:
        client.close()
        raise
    return client


async def _greet(address: str) -> None:
    """Connect once: a Client that cannot leaves threads and messages behind."""
    from distributed.comm import connect

    comm = await asyncio.wait_for(connect(address, timeout=ANSWER), ANSWER + 0.5)
    comm.abort()


def _check_versions(client: Client, address: str) -> None:
    there = client.run(import_module, "nsysan.workers.remote", on_error="return")
    without = [worker for worker, found in there.items() if isinstance(found, BaseException)]
    if not without:
        versions = client.run(version)
        without = [worker for worker, found in versions.items() if found != __version__]
    if without:
        raise NsysanError(
            f"{address}: worker {without[0]} does not have nsysan {__version__}; install it there",
            ExitCode.NO_WORKERS,
        )


# ---- what workers do


def _read(request: bytes) -> tuple[RemoteTrace, bytes]:
    held = RemoteTrace(cast(ReadRequest, unpacked(request)))
    return held, packed(held.read())


def _summary(read: tuple[RemoteTrace, bytes]) -> bytes:
    return read[1]


def _place(read: tuple[RemoteTrace, bytes], placement: bytes) -> RemoteTrace:
    return read[0].placed(cast(Placement, unpacked(placement)))


def _ask(held: RemoteTrace, message: bytes) -> bytes:
    question, arguments = cast("tuple[Callable[..., object], tuple[object, ...]]", unpacked(message))
    return packed(held.ask(question, arguments))
