"""Which recordings a page is of, by what a report and its document know of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from nsysan.output import subject


class Recorded(Protocol):
    """A trace: its name, and when its session started, which no other's did; None where it does not tell."""

    @property
    def name(self) -> str: ...

    @property
    def session_start(self) -> int | None: ...


class Named(NamedTuple):
    """The same of a trace of which nothing else is read."""

    name: str
    session_start: int | None


def recorded(inputs: Iterable[Recorded]) -> str:
    """The subject of a page of these traces, in whichever order: for output.signed."""
    return subject(sorted(str(one.session_start or one.name) for one in inputs))
