"""NVTX payloads as bytes: what `nsys export --include-blobs` puts into binaryData (DEFINITIONS.md, section 9)."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterable, Mapping

#: domain, 0, schema, 0, size of the payload, size of the whole; little-endian.
_HEADER = struct.Struct("<IIIIQQ")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
#: NVTX's type codes of the integers that NCCL passes, as struct has them.
_TYPES = {5: "<i", 6: "<I", 7: "<q", 8: "<Q", 9: "<q", 10: "<Q", 15: "<i", 16: "<I", 17: "<q", 18: "<Q", 22: "<Q"}
_U64, _I32 = 18, 5

COMMUNICATOR = "NCCL communicator ID"
BYTES = "Message size [bytes]"
RANKS = "No. of ranks"
RANK = "Rank"
DEVICE = "CUDA device"
PEER = "Peer rank"

#: label, type and offset of one entry of a payload.
Entry = tuple[str, int, int]
#: domain, schema, index, type, label, offset (None: 0) of one entry, as the export has them.
Row = tuple[int | None, int | None, int | None, int | None, str | None, int | None]
#: The entries of each payload, by domain and schema.
Schemas = Mapping[tuple[int, int], tuple[Entry, ...]]

_COMM_INIT: tuple[Entry, ...] = ((COMMUNICATOR, _U64, 0), (RANKS, _I32, 8), (RANK, _I32, 12), (DEVICE, _I32, 16))
_COMM_SPLIT: tuple[Entry, ...] = ((COMMUNICATOR, _U64, 0), (RANKS, _I32, 16), (RANK, _I32, 20), (DEVICE, _I32, 24))
_CALL: tuple[Entry, ...] = ((COMMUNICATOR, _U64, 0), (BYTES, _U64, 8))
_CALL_TO_2_24: tuple[Entry, ...] = ((BYTES, _U64, 0),)
_ONLY_BYTES = ("AllGather", "AlltoAll")
_WITH_MORE = ("AllReduce", "ReduceScatter", "Broadcast", "Bcast", "Reduce", "Send", "Recv", "Gather", "Scatter")


def schemas_of(rows: Iterable[Row]) -> Schemas:
    """Schemas from the rows (domain, schema, index, type, label, offset) of all processes.

    The rows do not say whose they are: a schema of which two processes tell different things is left out.
    """
    found: dict[tuple[int, int], dict[int, set[Entry]]] = {}
    for domain, schema, index, kind, label, offset in rows:
        if domain is None or schema is None or index is None or kind is None or (offset is None and index > 0):
            continue
        entries = found.setdefault((domain, schema), {})
        entries.setdefault(index, set()).add((label or "", kind, offset or 0))
    return {
        key: tuple(next(iter(entries[index])) for index in sorted(entries))
        for key, entries in found.items()
        if all(len(told) == 1 for told in entries.values())
    }


def decode(call: str, blob: bytes | None, schemas: Schemas) -> dict[str, int]:
    """The integers in the payload of an NCCL range by label; empty where it cannot be read.

    call: name of the range without its nccl prefix. Without a schema, the layouts of NCCL's source serve.
    """
    raw = _raw(blob or b"")
    if len(raw) < _HEADER.size:
        return {}
    domain, _, schema, _, size, _ = _HEADER.unpack_from(raw)
    payload = raw[_HEADER.size : _HEADER.size + size]
    if len(payload) != size:
        return {}
    values = {}
    for label, kind, offset in schemas.get((domain, schema)) or _documented(call, size):
        form = _TYPES.get(kind)
        if form is not None and 0 <= offset <= size - struct.calcsize(form):
            values[label] = int(struct.unpack_from(form, payload, offset)[0])
    return values


def _documented(call: str, size: int) -> tuple[Entry, ...]:
    """Entries of a payload by its size: NCCL passes the communicator from 2.25 on."""
    if call.startswith("CommInit") and call != "CommInitAll":
        return _COMM_INIT if size == 24 else ()
    if call == "CommSplit":
        return _COMM_SPLIT if size == 40 else ()
    sizes = {8: _CALL_TO_2_24, 16: _CALL} if call in _ONLY_BYTES else {16: _CALL_TO_2_24, 24: _CALL}
    return sizes.get(size, ()) if call in (*_ONLY_BYTES, *_WITH_MORE) else ()


def _raw(blob: bytes) -> bytes:
    """The bytes themselves, where an export spells them in hex or base64; they hold zeros, which text does not."""
    if _HEX.fullmatch(blob):
        return bytes.fromhex(blob.decode("ascii"))
    if _BASE64.fullmatch(blob):
        try:
            return base64.b64decode(blob, validate=True)
        except binascii.Error:
            return blob
    return blob
