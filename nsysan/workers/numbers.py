"""Columns of whole numbers as few bytes, to the last bit: most are times, which rise, or lie close to another column's.

A column is sent as what is left where it is foretold, byte by byte of all rows, which compresses far better than number
by number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
#: So many rows tell which way is the shortest.
_TRIED = 8_192


class _By(IntEnum):
    """By what a row is foretold."""

    NOTHING = 0
    BEFORE = 1  # the row before
    BESIDE = 2  # the same row of the column before
    BOTH = 3  # as far from that as in the row before
    AFTER = 4  # the row before of the next column, which is foretold by this one: spans of time


#: By what, the first number, and the bytes of the others.
Coded = tuple[int, int, bytes]


def coded(columns: Sequence[I64]) -> list[Coded]:
    """Columns of one length, not empty."""
    chosen = [_shortest(column, columns[i - 1] if i else None) for i, column in enumerate(columns)]
    for i, column in enumerate(columns[:-1]):
        alone, following = chosen[i] in (_By.NOTHING, _By.BEFORE), chosen[i + 1] in (_By.BESIDE, _By.BOTH)
        if alone and following:
            span = columns[i + 1] - column
            if _bits(_after(column, span)) < _bits(_LEFT[chosen[i]](column, column)):
                chosen[i] = _By.AFTER
    found = []
    for i, (by, column) in enumerate(zip(chosen, columns, strict=True)):
        beside = columns[i + 1] - column if by is _By.AFTER else columns[i - 1]
        found.append((int(by), int(column[0]), _bytes(_LEFT[by](column, beside)[1:])))
    return found


def decoded(parts: Sequence[Coded], rows: int) -> list[I64]:
    """The columns again."""
    found: list[I64] = []
    for i, (by, first, data) in enumerate(parts):
        left = _numbers(data, rows)
        if by == _By.AFTER:
            left[0] = first
            left[1:] += _beside(parts[i + 1], rows, first)[:-1]
            column = np.cumsum(left)
        elif by in (_By.BESIDE, _By.BOTH):
            column = found[i - 1] + _beside(parts[i], rows, int(found[i - 1][0]))
        else:
            left[0] = first
            column = np.cumsum(left) if by == _By.BEFORE else left
        found.append(column)
    return found


def _beside(part: Coded, rows: int, before: int) -> I64:
    """How far a column is from the one before, which begins with that number."""
    by, first, data = part
    left = _numbers(data, rows)
    left[0] = _wrapped(first - before)
    return np.cumsum(left) if by == _By.BOTH else left


def _wrapped(number: int) -> int:
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _rising(column: I64) -> I64:
    return np.diff(column, prepend=column[:1])


def _after(column: I64, span: I64) -> I64:
    left = _rising(column)
    left[1:] -= span[:-1]
    return left


#: What is left of a column, by the one beside it or, of AFTER, by its spans.
_LEFT: dict[_By, Callable[[I64, I64], I64]] = {
    _By.NOTHING: lambda column, _: column,
    _By.BEFORE: lambda column, _: _rising(column),
    _By.BESIDE: lambda column, beside: column - beside,
    _By.BOTH: lambda column, beside: _rising(column - beside),
    _By.AFTER: _after,
}


def _shortest(column: I64, beside: I64 | None) -> _By:
    ways = [_By.NOTHING, _By.BEFORE] + ([_By.BESIDE, _By.BOTH] if beside is not None else [])
    head, other = column[:_TRIED], column[:_TRIED] if beside is None else beside[:_TRIED]
    return min(ways, key=lambda by: (_bits(_LEFT[by](head, other)), by))


def _bits(left: I64) -> float:
    return float(np.log2(_folded(left[1:_TRIED]).astype(np.float64) + 1).sum())


def _folded(numbers: I64) -> npt.NDArray[np.uint64]:
    """Numbers of small size of either sign as small ones."""
    return ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)


def _bytes(left: I64) -> bytes:
    """Byte by byte of all rows, the lowest first, without those that none has."""
    planes = np.ascontiguousarray(_folded(left)).astype("<u8").view(np.uint8).reshape(-1, 8).T
    used = np.flatnonzero(planes.any(axis=1))
    return planes[: used[-1] + 1].tobytes() if len(used) else b""


def _numbers(data: bytes, rows: int) -> I64:
    """The numbers of _bytes, behind a 0 for the first row."""
    found = np.zeros((rows, 8), dtype=np.uint8)
    if rows > 1 and data:
        planes = np.frombuffer(data, dtype=np.uint8).reshape(-1, rows - 1)
        found[1:, : len(planes)] = planes.T
    folded = found.view("<u8").ravel().astype(np.uint64)
    return (folded >> np.uint64(1)).astype(np.int64) ^ -(folded & np.uint64(1)).astype(np.int64)
