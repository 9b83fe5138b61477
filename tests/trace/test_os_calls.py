"""Calls into the operating system, of every kind of export: which wait, of which threads, and when."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nsysan.trace.opening import open_store
from nsysan.trace.os_calls import read_os_calls
from nsysan.trace.tables import Tables
from tests.tracebuilder import TraceBuilder

NAMES: dict[str, str | None] = {
    "poll": "for_others",
    "__poll_chk": "for_others",
    "pread64": "for_others",
    "usleep": "sleeps",
}
NAMES |= {"sched_yield": "yields", "write": None, "pollute": None}
THREAD = 9
ROWS = [(1_000 * n, 1_000 * n + 500, THREAD + n // len(NAMES), n % len(NAMES)) for n in range(2 * len(NAMES))]


def sqlite(folder: Path) -> Path:
    builder = TraceBuilder()
    for start, end, thread, name in ROWS:
        builder.row(
            "OSRT_API",
            start=start,
            end=end,
            eventClass=27,
            globalTid=thread,
            nameId=builder.string_id(list(NAMES)[name]),
            returnValue=0,
            callchainId=0,
        )
    return builder.write(folder / "t.sqlite")


def tables() -> dict[str, pa.Table]:
    start, end, thread, name = (list(column) for column in zip(*ROWS, strict=True))
    calls = {"start": start, "end": end, "globalTid": pa.array(thread, pa.uint64()), "nameId": name}
    strings = {"id": list(range(len(NAMES))), "value": list(NAMES)}
    kernels = {"start": pa.array([], pa.int64())}
    return {
        "OSRT_API": pa.table(calls),
        "StringIds": pa.table(strings),
        "CUPTI_ACTIVITY_KIND_KERNEL": pa.table(kernels),
    }


def parquet(folder: Path) -> Path:
    for name, table in tables().items():
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


def arrow(folder: Path) -> Path:
    for name, table in tables().items():
        with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return folder


@pytest.mark.parametrize("write", [sqlite, parquet, arrow])
def test_every_export_gives_the_same_calls(tmp_path: Path, write: object) -> None:
    assert callable(write)
    store = open_store(write(tmp_path))
    found = read_os_calls(Tables(store), [THREAD, 4], 1_000, 6_000)
    # The first begins before, the last after; those of the other thread are not asked for.
    assert found.rows() == [
        (start, end, thread, list(NAMES)[name], list(NAMES.values())[name]) for start, end, thread, name in ROWS[1:6]
    ]
    assert read_os_calls(Tables(store), range(2_000), 0, 1 << 60).height == len(ROWS)
    store.close()
