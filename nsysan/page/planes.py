"""Columns of whole numbers as bytes that compress well: of each a plane of the lowest bytes, then of the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_Numbers = npt.NDArray[Any]


class Planes:
    """The bytes of several tables, and where their columns are in them, as steps.js reads it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    @property
    def content(self) -> bytes:
        return b"".join(self._parts)

    def add(self, columns: Mapping[str, _Numbers], rows: list[int]) -> dict[str, Any]:
        """The description of a table. columns: of one length; rows: how many of them are each step's, in order.

        A column is named with its width in bytes, and whether its numbers have a sign, which is then their lowest bit.
        """
        found = {"at": self._length, "rows": rows, "columns": [self._add(*column) for column in columns.items()]}
        self._length = sum(map(len, self._parts))
        return found

    def _add(self, name: str, values: _Numbers) -> list[str | int]:
        signed = bool(len(values)) and int(values.min()) < 0
        if signed:
            values = (values << 1) ^ (values >> (8 * values.itemsize - 1))
        most = int(values.max()) if len(values) else 0
        width = max(1, -(-most.bit_length() // 8))
        size = 1 << (width - 1).bit_length()
        bytes_of = values.astype(f"<u{size}").view(np.uint8).reshape(-1, size)
        self._parts += [bytes_of[:, plane].tobytes() for plane in range(width)]
        return [name, width, int(signed)]
