"""Events of the Chrome trace format, the tracks that they lie on, and their text with exact times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nsysan.model.ranks import Rank
from nsysan.text import plain

#: A template's demangled name can fill pages; this much tells it from any other.
MAX_NAME = 2_000
_FIRST_THREAD = 1_000


@dataclass(frozen=True)
class Event:
    """One event: ts and dur in ns, None where the kind has none; args without what is not known."""

    phase: str
    name: str
    pid: int
    tid: int | None = None
    category: str | None = None
    ts: int | None = None
    dur: int | None = None
    args: dict[str, Any] = field(default_factory=dict)
    flow: int | None = None


class Tracks:
    """Numbers for the tracks: a process a rank, and threads in it in the order in which they are asked for.

    No rank is process 0 and no two threads share a number: trace_processor takes the first for the idle
    process, and a thread's number for the system's.
    """

    def __init__(self, ranks: Sequence[Rank]) -> None:
        self._ranks = list(ranks)
        self._pids = {rank.rank: number for number, rank in enumerate(ranks, 1)}
        self._threads: dict[tuple[int, str], int] = {}

    def pid(self, rank: int) -> int:
        """The process of a rank."""
        return self._pids[rank]

    def tid(self, rank: int, name: str) -> int:
        """The thread of that name in a rank's process."""
        return self._threads.setdefault((rank, name), _FIRST_THREAD + len(self._threads))

    def processes(self) -> Iterator[Event]:
        """Names and order of the processes."""
        for rank in self._ranks:
            name = f"rank {rank.rank}: {plain(rank.model or 'unknown GPU')}"
            yield Event("M", "process_name", self.pid(rank.rank), args={"name": name})
            yield Event("M", "process_sort_index", self.pid(rank.rank), args={"sort_index": self.pid(rank.rank)})

    def threads(self) -> Iterator[Event]:
        """Names and order of the threads asked for so far."""
        for (rank, name), tid in self._threads.items():
            yield Event("M", "thread_name", self.pid(rank), tid, args={"name": name})
            yield Event("M", "thread_sort_index", self.pid(rank), tid, args={"sort_index": tid})


def to_json(events: Sequence[Event], origin: int, told: dict[str, Any]) -> str:
    """The events as one JSON object, one a line, their times from `origin`; told: its otherData."""
    head = f'{{"displayTimeUnit":"ns","otherData":{json.dumps(told)},"traceEvents":['
    lines = ",\n".join(_text(event, origin) for event in events)
    return f"{head}\n{lines}\n]}}\n"


def known(**args: object) -> dict[str, Any]:
    """The args that have a value."""
    return {name: value for name, value in args.items() if value is not None}


def _text(event: Event, origin: int) -> str:
    parts = [f'"ph":"{event.phase}","name":{json.dumps(event.name)},"pid":{event.pid}']
    if event.tid is not None:
        parts.append(f'"tid":{event.tid}')
    if event.category is not None:
        parts.append(f'"cat":{json.dumps(event.category)}')
    if event.ts is not None:
        parts.append(f'"ts":{_us(event.ts - origin)}')
    if event.dur is not None:
        parts.append(f'"dur":{_us(event.dur)}')
    if event.flow is not None:
        parts.append(f'"id":{event.flow}')
    if event.phase == "f":
        parts.append('"bp":"e"')
    if event.args:
        parts.append(f'"args":{json.dumps(event.args, separators=(",", ":"))}')
    return f"{{{','.join(parts)}}}"


def _us(ns: int) -> str:
    """Nanoseconds as exact decimal us: a float would lose them in a trace of days."""
    return f"{ns // 1000}.{ns % 1000:03d}"
