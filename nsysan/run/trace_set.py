"""Where the traces of a run are held: each read, given its place, and then asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from nsysan._errors import NsysanError
from nsysan.model.loaded import LoadedTrace, ReadRequest, TraceSummary, read, summarise
from nsysan.run.placed import PlacedTrace, Placement
from nsysan.timings import stage
from nsysan.trace.trace import Trace

_T = TypeVar("_T")


class TraceSet(Protocol):
    """The traces of a run wherever they are held: read and placed once, and then asked."""

    @property
    def is_local(self) -> bool:
        """Whether they are held in this process, whose threads may ask at the same time."""

    def started(self, source: Path | Trace) -> int | None:
        """When a trace's session started, ns since 1970; None where it does not tell or cannot be read."""

    def read(self, requests: Sequence[ReadRequest]) -> list[TraceSummary | NsysanError]:
        """Read each trace; its summary, or why it cannot be read."""

    def place(self, placements: Mapping[int, Placement]) -> None:
        """Give the traces their places, by the position of their request; the others are let go."""

    def ask(self, question: Callable[..., _T], arguments: Sequence[tuple[object, ...]]) -> list[_T]:
        """The answer of each placed trace, in their order.

        question: a function at the top of a module, called with the PlacedTrace and the trace's arguments.
        """


class LocalTraces:
    """The traces held in this process."""

    is_local = True

    def __init__(self) -> None:
        self._loaded: list[LoadedTrace | None] = []
        self._placed: list[PlacedTrace] = []

    def started(self, source: Path | Trace) -> int | None:
        """When a trace's session started."""
        return started(source)

    def read(self, requests: Sequence[ReadRequest]) -> list[TraceSummary | NsysanError]:
        """Read each trace; its summary, or why it cannot be read."""
        found: list[TraceSummary | NsysanError] = []
        for request in requests:
            loaded = attempt(request)
            self._loaded.append(loaded if isinstance(loaded, LoadedTrace) else None)
            found.append(summarise(loaded) if isinstance(loaded, LoadedTrace) else loaded)
        return found

    def place(self, placements: Mapping[int, Placement]) -> None:
        """Give the traces their places; what they were before is let go one by one."""
        readings, self._loaded = self._loaded, []
        for number, placement in placements.items():
            loaded, readings[number] = readings[number], None
            if loaded is not None:
                self._placed.append(place(loaded, placement))

    def ask(self, question: Callable[..., _T], arguments: Sequence[tuple[object, ...]]) -> list[_T]:
        """The answer of each placed trace."""
        with stage(asked_for(question)):
            return [question(placed, *own) for placed, own in zip(self._placed, arguments, strict=True)]


class OfRanks:
    """Some ranks of the traces of a run, wherever these are held."""

    def __init__(self, held: TraceSet, ranks: frozenset[int]) -> None:
        self._held = held
        self._ranks = ranks

    @property
    def is_local(self) -> bool:
        """Whether they are held in this process."""
        return self._held.is_local

    def started(self, source: Path | Trace) -> int | None:
        """When a trace's session started."""
        return self._held.started(source)

    def read(self, requests: Sequence[ReadRequest]) -> list[TraceSummary | NsysanError]:
        """Read each trace; its summary, or why it cannot be read."""
        return self._held.read(requests)

    def place(self, placements: Mapping[int, Placement]) -> None:
        """Give the traces their places."""
        self._held.place(placements)

    def ask(self, question: Callable[..., _T], arguments: Sequence[tuple[object, ...]]) -> list[_T]:
        """The answer of these ranks of each placed trace that has some of them."""
        found = self._held.ask(_asked, [(self._ranks, question, own) for own in arguments])
        return [answer for answers in found for answer in answers]


def _asked(
    placed: PlacedTrace, ranks: frozenset[int], question: Callable[..., _T], own: tuple[object, ...]
) -> tuple[_T, ...]:
    part = placed.of_ranks(ranks)
    with stage(asked_for(question)):
        return (question(part, *own),) if part.ranks else ()


def asked_for(question: Callable[..., object]) -> str:
    """The name of the stage in which a question is answered."""
    return f"ask: {getattr(question, '__name__', '').strip('_').removesuffix('_of').replace('_', ' ')}"


def started(source: Path | Trace) -> int | None:
    """When a trace's session started, ns since 1970; None where it does not tell or cannot be read."""
    try:
        return (source if isinstance(source, Trace) else Trace(source)).session_start_utc_ns
    except NsysanError:
        return None


def attempt(request: ReadRequest) -> LoadedTrace | NsysanError:
    """The trace, or why it cannot be read, as a value."""
    try:
        return read(request)
    except NsysanError as error:
        return error


@stage("place traces")
def place(loaded: LoadedTrace, placement: Placement) -> PlacedTrace:
    """The trace as part of a run."""
    work, windows = loaded.work, loaded.step_windows.windows
    numbered = windows.select("rank_key", "begin").join(
        placement.opened, on=["rank_key", "begin"], how="left", maintain_order="left"
    )
    # The last place is that of no window.
    step_of = np.append(numbered["step"].fill_null(-1).to_numpy(), -1).astype(np.int32)
    steps = step_of[loaded.step_windows.member]
    steps[placement.passing["row"].to_numpy()] = placement.passing["step"].to_numpy()
    rows = {}
    selection = loaded.request.selection
    for key in placement.keys if selection.steps is not None else ():
        first, last = work.rows(key)
        times = work.frame(["begin", "end"], key)
        rows[key] = first + selection.of_work(times, steps[first:last] >= 0, placement.windows, placement.shift)
    return PlacedTrace(placement, loaded.trace, work, steps, rows, loaded.payloads)
