"""Parts of the work done at the same time: numpy and polars let go of the interpreter while they compute."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar, cast

import numpy as np
import polars as pl

# polars imports numpy when it first meets an array, which breaks where two threads do so at once: so it is done here.
pl.Series(np.zeros(0))

_A = TypeVar("_A")
_B = TypeVar("_B")
#: More at a time would hold more in memory than it gains.
_MOST = 4
#: So few rows are done before threads, which wait for each other's Python, would have begun.
FEW_ROWS = 100_000


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each_of(function: Callable[[_A], _B], values: Sequence[_A], rows: int, most: int = _MOST) -> list[_B]:
    """The function of each value, in their order; rows: of them all; most: values at a time."""
    threads = min(most, _MOST, processors(), len(values)) if rows >= FEW_ROWS else 1
    if threads < 2:
        return [function(value) for value in values]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, values))


class Beside:
    """Work begun beside what comes next. An error on the way waits for what was begun, or the process could end while
    its threads are at work; an interrupt does not.
    """

    def __init__(self) -> None:
        self._threads: list[Thread] = []

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, Exception):
            for thread in self._threads:
                thread.join()

    def begin(self, function: Callable[[], _B]) -> Callable[[], _B]:
        """Begin the function; what is returned waits for its result, or raises its error."""
        results: SimpleQueue[tuple[_B | None, BaseException | None]] = SimpleQueue()

        def work() -> None:
            try:
                results.put((function(), None))
            except BaseException as error:  # a thread has nobody to tell but the one that waits for its result
                results.put((None, error))

        # A daemon, or an interrupt would wait for it after all.
        self._threads.append(Thread(target=work, daemon=True))
        self._threads[-1].start()

        def result() -> _B:
            value, error = results.get()
            if error is not None:
                raise error
            return cast(_B, value)

        return result
