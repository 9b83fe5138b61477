"""One trace where it is held; it travels as its read request, never as what was read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nsysan._errors import NsysanError
from nsysan._version import __version__
from nsysan.model.loaded import LoadedTrace, ReadRequest, TraceSummary, read, summarise
from nsysan.run.placed import PlacedTrace, Placement
from nsysan.run.trace_set import asked_for, attempt, place
from nsysan.timings import stage

_T = TypeVar("_T")


class RemoteTrace:
    """A trace that was read, or its part in a run once it has a place.

    Pickled it is empty, and reads the file again when it is asked.
    """

    def __init__(self, request: ReadRequest, placement: Placement | None = None) -> None:
        self._request = request
        self._placement = placement
        self._value: LoadedTrace | PlacedTrace | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return RemoteTrace, (self._request, self._placement)

    def __sizeof__(self) -> int:
        value = self._value
        return 0 if value is None else (value.work if isinstance(value, LoadedTrace) else value.operations).size

    def read(self) -> TraceSummary | NsysanError:
        """Read it; its summary, or why it cannot be read."""
        loaded = attempt(self._request)
        if isinstance(loaded, NsysanError):
            return loaded
        self._value = loaded
        return summarise(loaded)

    def placed(self, placement: Placement) -> RemoteTrace:
        """The same trace with a place in a run."""
        held = RemoteTrace(self._request, placement)
        held._value = place(self._loaded(), placement)
        return held

    def ask(self, question: Callable[..., _T], arguments: tuple[object, ...]) -> _T:
        """The answer of its part."""
        part = self._part()
        with stage(asked_for(question)):
            return question(part, *arguments)

    def _loaded(self) -> LoadedTrace:
        if not isinstance(self._value, LoadedTrace):
            self._value = read(self._request)
        return self._value

    def _part(self) -> PlacedTrace:
        if not isinstance(self._value, PlacedTrace):
            assert self._placement is not None
            self._value = place(read(self._request), self._placement)
        return self._value


def version() -> str:
    """The version of nsysan where this is called."""
    return __version__
