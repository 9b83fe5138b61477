"""Parts of the work done at the same time: numpy and polars let go of the interpreter while they compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nsysan.processors import processors

_A = TypeVar("_A")
_B = TypeVar("_B")
#: More at a time would hold more in memory than it gains.
_MOST = 4


def each_of(function: Callable[[_A], _B], values: Sequence[_A]) -> list[_B]:
    """The function of each value, in their order."""
    threads = min(_MOST, processors(), len(values))
    if threads < 2:
        return [function(value) for value in values]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, values))
