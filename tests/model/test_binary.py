"""NCCL's payloads as bytes: on paper, in every spelling, and equal to the words beside them in a real trace."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan.model.binary import Row, decode, schemas_of
from nsysan.model.payloads import communicator_ranks
from tests.copies import altered

COMM = 14_457_976_229_529_282_169
ALL_REDUCE = struct.pack("<QQi4x", COMM, 8_192, 0)
SCHEMA = (1 << 24) + 5


def blob(payload: bytes, *, domain: int = 1, schema: int = SCHEMA, size: int | None = None) -> bytes:
    return struct.pack("<IIIIQQ", domain, 0, schema, 0, len(payload) if size is None else size, 32) + payload


# ---- bytes without schemas: the layouts of NCCL's source


@pytest.mark.parametrize(
    ("call", "payload", "expected"),
    [
        ("AllReduce", ALL_REDUCE, {"NCCL communicator ID": COMM, "Message size [bytes]": 8_192}),
        ("AllReduce", struct.pack("<Qi4x", 8_192, 0), {"Message size [bytes]": 8_192}),
        ("AllGather", struct.pack("<QQ", COMM, 64), {"NCCL communicator ID": COMM, "Message size [bytes]": 64}),
        ("AllGather", struct.pack("<Q", 64), {"Message size [bytes]": 64}),
        ("Send", struct.pack("<QQi4x", COMM, 64, 3), {"NCCL communicator ID": COMM, "Message size [bytes]": 64}),
        (
            "CommInitRankConfig",
            struct.pack("<Qiii4x", COMM, 4, 3, 1),
            {"NCCL communicator ID": COMM, "No. of ranks": 4, "Rank": 3, "CUDA device": 1},
        ),
        (
            "CommSplit",
            struct.pack("<QQiiiii4x", COMM, 5, 2, 1, 7, 0, 0),
            {"NCCL communicator ID": COMM, "No. of ranks": 2, "Rank": 1, "CUDA device": 7},
        ),
        ("CommInitAll", struct.pack("<Qi4x", COMM, 4), {}),
        ("AllReduce", b"\0" * 40, {}),
        ("GroupEnd", ALL_REDUCE, {}),
    ],
)
def test_documented_layouts(call: str, payload: bytes, expected: dict[str, int]) -> None:
    assert decode(call, blob(payload), {}) == expected


@pytest.mark.parametrize(
    "spelt",
    [
        blob(ALL_REDUCE),
        blob(ALL_REDUCE) + b"rest",
        blob(ALL_REDUCE).hex().encode(),
        blob(ALL_REDUCE).hex().upper().encode(),
        base64.b64encode(blob(ALL_REDUCE)),
    ],
)
def test_bytes_and_texts_of_them(spelt: bytes) -> None:
    assert decode("AllReduce", spelt, {})["Message size [bytes]"] == 8_192


@pytest.mark.parametrize("cut", [None, b"", b"\0" * 31, blob(ALL_REDUCE)[:-1], blob(ALL_REDUCE, size=1 << 60), b"text"])
def test_what_cannot_be_read_says_nothing(cut: bytes | None) -> None:
    assert decode("AllReduce", cut, {}) == {}


# ---- with schemas: by label and offset


def test_entries_are_read_where_the_schema_puts_them() -> None:
    rows: list[Row] = [
        (1, SCHEMA, 0, 5, "Reduction operation", None),
        (1, SCHEMA, 1, 22, "Message size [bytes]", 8),
        (1, SCHEMA, 2, 18, "NCCL communicator ID", 16),
        (1, SCHEMA, 3, 5, "beyond the payload", 24),
        (1, SCHEMA, 4, 1 << 25, "an enum", 0),
    ]
    found = decode("AllReduce", blob(struct.pack("<i4xQQ", -1, 77, COMM)), schemas_of(rows))
    assert found == {"Reduction operation": -1, "Message size [bytes]": 77, "NCCL communicator ID": COMM}


def test_a_schema_that_two_processes_tell_differently_is_left_out() -> None:
    rows: list[Row] = [(1, SCHEMA, 0, 18, "NCCL communicator ID", None), (1, SCHEMA, 0, 22, "something else", None)]
    assert schemas_of(rows) == {}
    assert decode("AllReduce", blob(ALL_REDUCE), schemas_of(rows))["Message size [bytes]"] == 8_192


def test_entries_without_an_offset_are_first_or_unknown() -> None:
    rows: list[Row] = [(1, 2, 0, 18, "a", None), (1, 2, 1, 18, "b", None), (None, 2, 2, 18, "c", 0)]
    assert schemas_of(rows) == {(1, 2): (("a", 18, 0),)}


# ---- a real trace, which holds both


def told(path: Path) -> tuple[object, pl.DataFrame]:
    trace = nsysan.open_trace(path)
    run = nsysan.analyze(trace)
    return communicator_ranks(trace.ranges, trace.payload_entries), run.collectives.sort("row").select(
        "message_bytes", "communicator", "verdict"
    )


def test_bytes_of_a_real_trace_say_what_its_words_say(real_trace: Callable[[str], Path]) -> None:
    trace = nsysan.open_trace(real_trace("tp4_graph_node"))
    columns = ("domain", "schema", "index", "type", "label", "offset")
    schemas = schemas_of(trace.payload_entries.select(columns).iter_rows())
    both = trace._nvtx.filter(pl.col("json").is_not_null() & pl.col("binary").is_not_null())
    assert len(both) > 1_000
    for name, text, raw in both.select("name", "json", "binary").iter_rows():
        words = {label: value for label, value in json.loads(text).items() if isinstance(value, int)}
        assert decode(name.removeprefix("nccl"), raw, schemas) == words
        # Destroy, Finalize and the like hold nothing that a report reads.
        documented = decode(name.removeprefix("nccl"), raw, {})
        assert not documented or documented == words


@pytest.mark.parametrize(
    "statements",
    [
        ("UPDATE NVTX_EVENTS SET jsonText = NULL",),
        ("UPDATE NVTX_EVENTS SET jsonText = ''",),
        ("UPDATE NVTX_EVENTS SET jsonText = NULL", "DROP TABLE NVTX_PAYLOAD_SCHEMA_ENTRIES"),
        ("UPDATE NVTX_EVENTS SET jsonText = NULL, binaryData = CAST(binaryData AS TEXT)",),
        ("UPDATE NVTX_EVENTS SET jsonText = NULL, binaryData = hex(binaryData) WHERE binaryData NOT NULL",),
    ],
)
def test_without_words_the_bytes_serve(
    real_trace: Callable[[str], Path], tmp_path: Path, statements: tuple[str, ...]
) -> None:
    source = real_trace("tp4_graph_node")
    inits, calls = told(altered(source, tmp_path / "words.sqlite"))
    other_inits, other_calls = told(altered(source, tmp_path / "bytes.sqlite", *statements))
    assert calls["message_bytes"].unique().to_list() == [8_192]
    assert inits
    assert inits == other_inits
    assert calls.equals(other_calls)


def test_without_both_nothing_is_known(real_trace: Callable[[str], Path], tmp_path: Path) -> None:
    blank = "UPDATE NVTX_EVENTS SET jsonText = NULL, binaryData = NULL"
    inits, calls = told(altered(real_trace("tp4_graph_node"), tmp_path / "blank.sqlite", blank))
    assert inits == []
    assert calls["message_bytes"].null_count() == len(calls)
