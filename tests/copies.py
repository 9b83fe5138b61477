"""Traces changed: by statements, or one twice in one file, as two independent replicas of one workload look like."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

#: Process ids of the copy are so much higher, in the bits of a global id that hold them.
_PIDS = 40_000 << 24
_DEVICES = 4
_GLOBAL = {"globalPid", "globalTid", "endGlobalTid"}
_TIMES = {"start", "end", "timestamp"}
_COMMUNICATOR = re.compile(r'("NCCL communicator ID":)(\d+)')
#: Tables whose rows are of a process.
_COPIED = ("CUPTI_ACTIVITY_KIND_", "NVTX_EVENTS", "CUDA_GRAPH_NODE_EVENTS")


def changed(path: Path, *statements: str) -> Path:
    """The trace, changed by these statements."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return path


def altered(source: Path, target: Path, *statements: str) -> Path:
    """A copy of the trace, changed by these statements."""
    shutil.copyfile(source, target)
    return changed(target, *statements)


def twice(trace: Path, target: Path, *, shift: int, named: bool) -> Path:
    """The trace and a copy of it by other processes on other devices, `shift` ns later.

    named: whether both keep their ranges and payloads, the copy with communicators of its own; else no range and no
    payload is there.
    """
    shutil.copy(trace, target)
    with closing(sqlite3.connect(target)) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if not named:
            database.execute("DELETE FROM NVTX_EVENTS")
        for table in tables:
            if table.startswith(_COPIED):
                _copy(database, table, shift)
            elif table == "TARGET_INFO_CUDA_DEVICE":
                database.execute(
                    f"INSERT INTO {table} (gpuId, cudaId, pid) "
                    f"SELECT gpuId + {_DEVICES}, cudaId + {_DEVICES}, pid + 40000 FROM {table}"
                )
    return target


def _copy(database: sqlite3.Connection, table: str, shift: int) -> None:
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    rows = database.execute(f"SELECT * FROM {table}").fetchall()
    changed = [tuple(_changed(name, value, shift) for name, value in zip(columns, row, strict=True)) for row in rows]
    database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", changed)


def _changed(column: str, value: object, shift: int) -> object:
    if isinstance(value, int):
        if column in _GLOBAL:
            return value + _PIDS
        if column in _TIMES:
            return value + shift
        if column == "deviceId":
            return value + _DEVICES
    if column == "jsonText" and isinstance(value, str):
        text = _COMMUNICATOR.sub(lambda found: f"{found[1]}{int(found[2]) ^ 1}", value)
        json.loads(text)
        return text
    # Where a payload is in words, its bytes are not needed.
    return None if column == "binaryData" else value
