"""Columns that grow part by part, each part in as few bytes as it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

if TYPE_CHECKING:
    import pyarrow as pa

_INT32 = np.iinfo(np.int32)
#: Rows of a block: what holds a few thousand rows at a time would leave the memory in pieces.
_BLOCK = 1 << 20


class Chunks:
    """Rows of a table as pyarrow gives them, a part after the other, and the frame that they make.

    A column of type Int32 becomes Int64 if a number does not fit; one without any value takes no memory until then.
    """

    def __init__(self, types: Mapping[str, pl.DataType]) -> None:
        self._columns: dict[str, _Column] = {
            name: _Bytes() if dtype == pl.Binary() else _Numbers(small=dtype == pl.Int32())
            for name, dtype in types.items()
        }
        self.rows = 0

    def add(self, columns: Sequence[pa.Array]) -> None:
        """Rows of all columns, of which nothing is held on to; numbers as int64."""
        self.rows += len(columns[0])
        for own, column in zip(self._columns.values(), columns, strict=True):
            own.add(column)

    def exceeds(self, rows: int, size: int) -> bool:
        """Whether there are more rows, or more bytes in columns of bytes."""
        return self.rows > rows or sum(own.size for own in self._columns.values() if isinstance(own, _Bytes)) > size

    def extend(self, others: Chunks) -> None:
        """The rows of another, behind the own; it is left without its columns, or their memory would be held twice."""
        self.rows += others.rows
        for name, own in self._columns.items():
            own.extend(others._columns.pop(name))

    def frame(self) -> pl.DataFrame:
        """All rows, which are no longer held here: a column is let go when the next is made."""
        return pl.DataFrame([self._columns.pop(name).series().alias(name) for name in list(self._columns)])


class _Column(Protocol):
    def add(self, column: pa.Array) -> None: ...
    def extend(self, other: _Column) -> None: ...
    def series(self) -> pl.Series: ...


class _Exported:
    """An array of pyarrow by Arrow's C interface alone: known for pyarrow's, polars would import pyarrow.compute."""

    def __init__(self, array: pa.Array) -> None:
        self._array = array

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        schema, array = self._array.__arrow_c_array__(requested_schema)
        return schema, array


class _Bytes:
    def __init__(self) -> None:
        self._parts: list[pa.Array] = []
        self.size = 0

    def add(self, column: pa.Array) -> None:
        import pyarrow as pa

        # Any buffer of a batch that is held on to holds all of its columns.
        own = [None if buffer is None else pa.py_buffer(buffer.to_pybytes()) for buffer in column.buffers()]
        self._parts.append(pa.Array.from_buffers(column.type, len(column), own, offset=column.offset))
        self.size += column.nbytes

    def extend(self, other: _Column) -> None:
        assert isinstance(other, _Bytes)
        self.size += other.size
        self._parts += other._parts

    def series(self) -> pl.Series:
        import pyarrow as pa

        return pl.Series(pa.chunked_array(self._parts, self._parts[0].type if self._parts else pa.binary())).rechunk()


class _Numbers:
    def __init__(self, *, small: bool) -> None:
        self._dtype: type[np.int32] | type[np.int64] = np.int32 if small else np.int64
        # Blocks, all full but for the last; None stands for a number of nulls.
        self._blocks: list[npt.NDArray[np.int32] | npt.NDArray[np.int64] | None] = []
        self._sizes: list[int] = []
        self._valid: dict[int, list[tuple[int, npt.NDArray[np.bool_]]]] = {}

    def add(self, column: pa.Array) -> None:
        rows = len(column)
        if column.null_count == rows:
            self._add_nulls(rows)
            return
        # By their buffers: pyarrow's own ways to numpy, and from it, import pandas.
        validity, data = column.buffers()
        values = np.frombuffer(data, dtype=np.int64, count=rows + column.offset)[column.offset :]
        if column.null_count:
            bits = np.unpackbits(np.frombuffer(validity, dtype=np.uint8), bitorder="little")
            valid = bits[column.offset : column.offset + rows].astype(np.bool_)
            values = np.where(valid, values, 0)
        small = self._dtype is np.int32 and values.min() >= _INT32.min and values.max() <= _INT32.max
        block = self._room(rows, np.dtype(np.int32 if small else np.int64))
        filled = self._sizes[-1]
        block[filled : filled + rows] = values
        if column.null_count:
            self._valid.setdefault(len(self._blocks) - 1, []).append((filled, valid))
        self._sizes[-1] += rows

    def _add_nulls(self, rows: int) -> None:
        if self._blocks and self._blocks[-1] is None:
            self._sizes[-1] += rows
            return
        self._blocks.append(None)
        self._sizes.append(rows)

    def _room(self, rows: int, dtype: np.dtype[Any]) -> npt.NDArray[np.int64]:
        """The last block, if it has room for so many more rows of the type, else a new one."""
        last = self._blocks[-1] if self._blocks else None
        if last is None or last.dtype != dtype or self._sizes[-1] + rows > len(last):
            last = np.empty(max(rows, _BLOCK), dtype=dtype)
            self._blocks.append(last)
            self._sizes.append(0)
        return last  # type: ignore[return-value]

    def extend(self, other: _Column) -> None:
        assert isinstance(other, _Numbers)
        shift = len(self._blocks)
        self._valid |= {number + shift: parts for number, parts in other._valid.items()}
        self._blocks += other._blocks
        self._sizes += other._sizes

    def series(self) -> pl.Series:
        import pyarrow as pa

        total = sum(self._sizes)
        types = {block.dtype for block in self._blocks if block is not None}
        dtype = np.dtype(np.int64 if np.dtype(np.int64) in types else self._dtype)
        if not types:
            return pl.repeat(None, total, dtype=pl.Int64 if dtype == np.int64 else pl.Int32, eager=True)
        values = np.empty(total, dtype=dtype)
        has_nulls = bool(self._valid) or any(block is None for block in self._blocks)
        valid = np.ones(total, dtype=np.bool_) if has_nulls else None
        first = 0
        for number, size in enumerate(self._sizes):
            block, self._blocks[number] = self._blocks[number], None
            if valid is not None:
                valid[first : first + size] = block is not None
                for filled, part in self._valid.get(number, ()):
                    valid[first + filled : first + filled + len(part)] = part
            values[first : first + size] = 0 if block is None else block[:size]
            first += size
        validity = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
        whole = pa.Array.from_buffers(pa.from_numpy_dtype(dtype), total, [validity, pa.py_buffer(values)])
        return pl.Series(_Exported(whole))


def fitted(values: pl.Series) -> pl.Series:
    """Whole numbers as Int32, or as Int64 where one does not fit."""
    least, most = values.min(), values.max()
    fits = not isinstance(least, int) or not isinstance(most, int) or (least >= _INT32.min and most <= _INT32.max)
    return values.cast(pl.Int32 if fits else pl.Int64)
