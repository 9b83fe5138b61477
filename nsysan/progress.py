"""What long work is at, for people who wait for it: a line on a terminal after two seconds, and nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TextIO

_AFTER_S = 2.0
_EVERY_S = 0.25
#: An estimate from less than this share of the rows would jump about.
_LEAST_SHARE = 0.1

#: What a stage is counted in.
ROWS, TRACES, PERCENT = "rows", "traces", "per cent"


@dataclass
class _State:
    """The stage that runs, and how much of it is done; written by any thread.

    told: called with the rows that are done beside those that this process shows.
    """

    stage: str = ""
    done: int = 0
    total: int = 0
    unit: str = ROWS
    told: Callable[[int], None] | None = None
    since: float = 0.0
    lock: Lock = field(default_factory=Lock)


_state = _State()


def stage(name: str, total: int = 0, unit: str = ROWS) -> None:
    """Begin a stage, of so many rows (or traces, or per cent) where that is known."""
    with _state.lock:
        _state.stage, _state.done, _state.total, _state.since = name, 0, total, time.monotonic()
        _state.unit = unit


def advance(count: int) -> None:
    """So many rows (or traces) more of the stage are done."""
    with _state.lock:
        _state.done += count
        if _state.told is not None:
            _state.told(count)


def done(count: int) -> None:
    """So many rows of the stage are done by now."""
    with _state.lock:
        _state.done = count


def tell(listener: Callable[[int], None]) -> None:
    """Have all further rows told to another process, say, that shows them."""
    _state.told = listener


def line(now: float, begun: float) -> str:
    """What is shown at `now` of work that began at `begun`, both by the monotonic clock."""
    with _state.lock:
        name, done, total, since = _state.stage, _state.done, _state.total, _state.since
        unit = _state.unit
    text = f"{now - begun:4.0f} s  {name}"
    if not total:
        return text if not done else f"{text}: {done / 1e6:.1f} million rows"
    done = min(done, total)
    text += {
        ROWS: f": {done / 1e6:.1f} of {total / 1e6:.1f} million rows",
        TRACES: f": {done} of {total}",
        PERCENT: f": {done} %",
    }[unit]
    if done >= _LEAST_SHARE * total:
        text += f", {(now - since) * (total - done) / done:.0f} s left"
    return text


@contextmanager
def shown(stream: TextIO | None = None, *, after: float = _AFTER_S) -> Iterator[None]:
    """Show the stages on `stream` (standard error) while the work lasts, if that is a terminal."""
    stream = stream if stream is not None else sys.stderr
    if not stream.isatty():
        yield
        return
    over = Event()
    stage("starting")
    thread = Thread(target=_show, args=(stream, over, after), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _show(stream: TextIO, over: Event, after: float) -> None:
    begun = time.monotonic()
    if over.wait(after):
        return
    while True:
        # To the end of the line, so that a shorter text leaves nothing of a longer one.
        stream.write(f"\r{line(time.monotonic(), begun)}\x1b[K")
        stream.flush()
        if over.wait(_EVERY_S):
            break
    stream.write("\r\x1b[K")
    stream.flush()
