"""What is read of a folder's table, at most, by the bytes of its file: few that are packed can stand for endless ones.

nsys writes some 18 bytes a row, and 200 where they are unpacked; samples of GPU metrics take less than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

#: Rows of a table, and of one of samples, for each byte of its file.
_ROWS_A_BYTE = 2
_SAMPLES_A_BYTE = 20
_SAMPLES = "METRIC"
#: Unpacked bytes for each byte of the file, and those that any file may have.
_BYTES_A_BYTE = 32
_BYTES = 64 << 20


@dataclass(frozen=True)
class Budget:
    """rows: of the table; bytes: unpacked, as they are in the file or as texts are once each stands for itself."""

    rows: int
    bytes: int

    def check_rows(self, rows: int) -> None:
        """ArrowInvalid where a table says that it has more."""
        if not 0 <= rows <= self.rows:
            raise pa.ArrowInvalid("more rows than its bytes can hold")

    def check_bytes(self, unpacked: int) -> None:
        """ArrowInvalid where what is unpacked is more."""
        if not 0 <= unpacked <= self.bytes:
            raise pa.ArrowInvalid("more is packed into it than its bytes can hold")


def budget_of(file: Path) -> Budget:
    """The budget of a table's file."""
    size = file.stat().st_size
    rows = _SAMPLES_A_BYTE if _SAMPLES in file.stem else _ROWS_A_BYTE
    return Budget(rows * size, _BYTES + _BYTES_A_BYTE * size)
