"""Folders of tables on their way into the file that is redacted: no value is lost, however the rows are cut."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nsysan.redact.folder import to_sqlite
from nsysan.redact.scan.names import names_of


def folder_of(path: Path, table: pa.Table, rows: int = 2) -> Path:
    """A folder of one table, in groups of so many rows; the file of the copy does not exist."""
    path.mkdir()
    pq.write_table(table, path / "NVTX_EVENTS.parquet", row_group_size=rows)
    return path


def test_columns_without_a_value_in_some_groups_of_rows_keep_those_of_others(tmp_path: Path) -> None:
    columns = {
        "start": pa.array([1, 2, None, None, 5, None], pa.int64()),
        "text": pa.array([None, None, b"a", b"\xff", b"a", None], pa.binary()),
        "ratio": pa.array([None, None, None, None, 0.5, None], pa.float64()),
    }
    to_sqlite(folder_of(tmp_path / "t", pa.table(columns)), tmp_path / "t.sqlite")
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as connection:
        rows = connection.execute("SELECT * FROM NVTX_EVENTS ORDER BY rowid").fetchall()
    assert rows == [
        (1, None, None),
        (2, None, None),
        (None, "a", None),
        (None, b"\xff", None),
        (5, "a", "0.5"),
        (None, None, None),
    ]


@pytest.mark.parametrize("begin", [0, 3])
def test_names_are_found_where_columns_before_them_are_empty(tmp_path: Path, begin: int) -> None:
    values = [None] * begin + [b"HOSTNAME=gpu-node-17"] + [None] * (3 - begin)
    table = pa.table({"id": pa.nulls(4, pa.binary()), "text": pa.array(values, pa.binary())})
    assert "gpu-node-17" in names_of(folder_of(tmp_path / "t", table)).kinds
