"""Columns of whole numbers as bytes that compress well: of each a plane of the lowest bytes, then of the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_Numbers = npt.NDArray[Any]


class Planes:
    """The bytes of several tables, which go to `sink`, and where their columns are in them, as steps.js reads it."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._length = 0

    def add(self, columns: Mapping[str, _Numbers], rows: list[int]) -> dict[str, Any]:
        """The description of a table. columns: of one length; rows: how many of them are each step's, in order.

        A column is named with its width in bytes, and whether its numbers have a sign, which is then their lowest bit.
        """
        return self.add_parts([columns], rows)

    def add_parts(self, parts: Iterable[Mapping[str, _Numbers]], rows: list[int]) -> dict[str, Any]:
        """The same of a table that comes in parts, each behind the one before."""
        found: dict[str, _Column] = {}
        for columns in parts:
            for name, values in columns.items():
                found.setdefault(name, _Column()).extend(values)
        at = self._length
        for column in found.values():
            for part in column.content():
                self._sink(part)
            self._length += column.rows * column.width
        return {"at": at, "rows": rows, "columns": [[name, own.width, int(own.signed)] for name, own in found.items()]}


class _Column:
    """A column's planes, in parts."""

    def __init__(self) -> None:
        self.signed, self.rows = False, 0
        self._planes: list[list[bytes]] = [[]]

    @property
    def width(self) -> int:
        return len(self._planes)

    def extend(self, values: _Numbers) -> None:
        if not self.signed and len(values) and int(values.min()) < 0:
            self._sign()
        if self.signed:
            values = (values << 1) ^ (values >> (8 * values.itemsize - 1))
        most = int(values.max()) if len(values) else 0
        width = max(1, -(-most.bit_length() // 8))
        size = 1 << (width - 1).bit_length()
        bytes_of = values.astype(f"<u{size}").view(np.uint8).reshape(-1, size)
        while self.width < width:
            self._planes.append([bytes(self.rows)])
        for number, plane in enumerate(self._planes):
            plane.append(bytes_of[:, number].tobytes() if number < width else bytes(len(values)))
        self.rows += len(values)

    def _sign(self) -> None:
        """What has come so far, with signs."""
        planes = [np.frombuffer(b"".join(plane), dtype=np.uint8).astype(np.int64) for plane in self._planes]
        self.signed, self.rows, self._planes = True, 0, [[]]
        self.extend(np.bitwise_or.reduce([plane << 8 * number for number, plane in enumerate(planes)]))

    def content(self) -> Iterator[bytes]:
        for plane in self._planes:
            yield from plane
