"""The batches of an Arrow file one after the other, as they lie there, and none that says it holds more than it may.

A file's footer, which may name one batch over and over, is not read. Messages are flatbuffers
(https://github.com/apache/arrow/blob/main/format/Message.fbs), which pyarrow verifies before it gives them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from nsysan.budgets import ARROW_BATCH_BYTES, Budget

_FILE_FORMAT = b"ARROW1"
_BEFORE = 8
#: Fields of a message and of a record batch, by number.
_HEADER, _BUFFERS, _COMPRESSION = 2, 2, 3
_BUFFER = struct.Struct("<qq")


def is_file_format(file: Path) -> bool:
    """Whether an Arrow file is in the file format, and not in that of a stream."""
    with file.open("rb") as head:
        return head.read(len(_FILE_FORMAT)) == _FILE_FORMAT


@contextmanager
def opened_arrow(file: Path, budget: Budget) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Schema and batches; nsys 2025.3 writes the stream format under the name of the other.

    ArrowInvalid where the file is none, or its batches hold more than the budget.
    """
    with pa.OSFile(str(file)) as source:
        if is_file_format(file):
            source.seek(_BEFORE)  # a file is a stream between its name and its footer
        messages = pa.ipc.MessageReader.open_stream(source)
        first = _next(messages)
        if first is None or first.type != "schema":
            raise pa.ArrowInvalid("it does not begin with a schema")
        schema = pa.ipc.read_schema(first)
        yield schema, _batches(messages, schema, budget)


def _batches(messages: pa.ipc.MessageReader, schema: pa.Schema, budget: Budget) -> Iterator[pa.RecordBatch]:
    rows = unpacked = 0
    while (message := _next(messages)) is not None:
        if message.type != "record batch":
            raise pa.ArrowInvalid(f"a {message.type} is in it, of which nsys writes none")
        own = _unpacked(message)
        unpacked += own
        budget.check_bytes(unpacked)
        if own > ARROW_BATCH_BYTES:
            raise pa.ArrowInvalid("more is packed into one batch than is read at once")
        batch = pa.ipc.read_record_batch(message, schema)
        rows += batch.num_rows
        budget.check_rows(rows)
        yield batch


def _next(messages: pa.ipc.MessageReader) -> pa.Message | None:
    try:
        return messages.read_next_message()
    except StopIteration:
        return None


def _unpacked(message: pa.Message) -> int:
    """Bytes that the buffers of a batch say they unpack to, 0 where they are not packed."""
    data, body = memoryview(message.metadata), message.body
    try:
        batch = _below(data, _u32(data, 0), _HEADER)
        if batch is None or _field(data, batch, _COMPRESSION) is None:
            return 0
        buffers = _below(data, batch, _BUFFERS)
        if buffers is None:
            return 0
        inside = memoryview(body)
        told = 0
        for number in range(_u32(data, buffers)):
            offset, length = _BUFFER.unpack_from(data, buffers + 4 + number * _BUFFER.size)
            if length >= 8:
                told += max(length, *struct.unpack_from("<q", inside, offset))
    except (struct.error, TypeError, ValueError) as error:
        raise pa.ArrowInvalid("a batch that cannot be read") from error
    return told


def _u32(data: memoryview, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _field(data: memoryview, table: int, number: int) -> int | None:
    """Where a field of a table lies."""
    (back,) = struct.unpack_from("<i", data, table)
    index = table - back
    (size,) = struct.unpack_from("<H", data, index)
    if 4 + 2 * number + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", data, index + 4 + 2 * number)
    return table + offset if offset else None


def _below(data: memoryview, table: int, number: int) -> int | None:
    """Where what a field points at lies."""
    at = _field(data, table, number)
    return None if at is None else at + _u32(data, at)
