"""Other shapes of a planted trace: with a log that is not merged yet, and as a folder of tables."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from plant_kinds import Kind


def into_log(target: Path, planted: Sequence[Kind]) -> None:
    """Leave a write-ahead log beside the file, as a program does that is still writing."""
    kept = target.with_name(f"{target.name}.kept")
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        with connection:
            connection.execute("CREATE TABLE planted_last(x TEXT)")
            connection.executemany("INSERT INTO planted_last VALUES (?)", [(kind.text,) for kind in planted])
        log = target.with_name(f"{target.name}-wal")
        shutil.copyfile(log, kept)
        before = target.read_bytes()
    target.write_bytes(before)
    kept.replace(log)


def to_folder(source: Path, folder: Path, suffix: str) -> None:
    """The tables of a file as a folder of .parquet or .arrow files; what is no number goes as text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    with closing(sqlite3.connect(source)) as connection:
        connection.text_factory = bytes
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in names:
            columns = [row[1].decode() for row in connection.execute(f"PRAGMA table_info({quoted(table.decode())})")]
            rows = connection.execute(f"SELECT * FROM {quoted(table.decode())}").fetchall()
            arrays = [_array([row[i] for row in rows]) for i in range(len(columns))]
            frame = pa.table(arrays, names=columns)
            file = folder / f"{re.sub('[/]', '_', table.decode())[:80]}{suffix}"
            if suffix == ".parquet":
                pq.write_table(frame, file)
            else:
                with pa.ipc.new_stream(str(file), frame.schema) as writer:
                    writer.write_table(frame)


def _array(values: list[object]) -> object:
    import pyarrow as pa

    if all(value is None or isinstance(value, int) for value in values):
        return pa.array(values, type=pa.int64())
    if all(value is None or isinstance(value, int | float) for value in values):
        return pa.array(values, type=pa.float64())
    raw = pa.array(
        [None if v is None else v if isinstance(v, bytes) else str(v).encode() for v in values], pa.large_binary()
    )
    return raw.view(pa.large_string())


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'
