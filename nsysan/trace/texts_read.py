"""How many bytes the texts of a folder's tables take, once each stands for itself: all of them are there at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from nsysan.budgets import Budget, texts_of_files


class TextsRead:
    """Counts them, in any thread, and raises ArrowInvalid where they are more than the folder's files can hold."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._most = texts_of_files(sum(file.stat().st_size for file in files))
        self._lock = Lock()
        self._read: dict[str, int] = {}

    def begin(self, table: str) -> None:
        """Before a table is read, perhaps once more."""
        with self._lock:
            self._read[table] = 0

    def add(self, table: str, size: int) -> None:
        """So many bytes more of it."""
        with self._lock:
            self._read[table] = self._read.get(table, 0) + size
            if sum(self._read.values()) > self._most:
                raise pa.ArrowInvalid(f"more than {self._most >> 20:,} MiB of texts are in it and the tables before it")


def size_of_texts(columns: Iterable[pa.Array | pa.ChunkedArray], budget: Budget) -> int:
    """Bytes of texts that are numbers of distinct ones, once each stands for itself; ArrowInvalid beyond the budget."""
    total = 0
    for column in columns:
        for part in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            if pa.types.is_dictionary(part.type) and is_text(part.type.value_type):
                total += pc.sum(pc.binary_length(part.dictionary).cast(pa.int64()).take(part.indices)).as_py() or 0
        budget.check_bytes(total)
    return total


def is_text(dtype: pa.DataType) -> bool:
    """Whether a column holds texts, or bytes that may be some."""
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(kind(dtype) for kind in kinds)
