"""All texts of a folder are there at once, so they are counted together."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nsysan import NsysanError, budgets
from nsysan.budgets import texts_of_files
from nsysan.redact.scan import names_of
from nsysan.trace import columnar
from nsysan.trace.columnar import ColumnarFolder, opened_table

#: 100 rows of 1,000 bytes that lie in the file once.
_ROWS = pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), ["x" * 1_000])})


def _folder(folder: Path, suffix: str) -> Path:
    for name in ("A", "B"):
        file = folder / f"{name}{suffix}"
        if suffix == ".parquet":
            pq.write_table(_ROWS, file, row_group_size=10)
        else:
            with pa.ipc.new_stream(str(file), pa.schema({"text": pa.string()})) as writer:
                writer.write_table(_ROWS.cast(pa.schema({"text": pa.string()})), 10)
    return folder


@pytest.mark.parametrize(("suffix", "bulk_rows"), [(".parquet", 0), (".parquet", 1_000), (".arrow", 0)])
def test_texts_of_all_tables_are_counted_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, bulk_rows: int
) -> None:
    monkeypatch.setattr(columnar, "BULK_ROWS", bulk_rows)
    monkeypatch.setattr(budgets, "FOLDER_TEXTS", 150_000)
    monkeypatch.setattr(budgets, "FOLDER_TEXTS_A_BYTE", 0)
    folder = ColumnarFolder(_folder(tmp_path, suffix))
    for _ in range(3):
        assert folder.read("A", {"text": pl.String()})["text"].str.len_bytes().sum() == 100_000
    with pytest.raises(NsysanError, match=r"table B: more than 0 MiB of texts are in it and the tables before it\)"):
        folder.read("B", {"text": pl.String()})


def test_a_large_folder_may_have_more_up_to_a_bound() -> None:
    assert [texts_of_files(size) >> 20 for size in (0, 100 << 20, 1 << 40)] == [256, 456, 1_024]


def test_texts_of_one_batch_are_bounded_where_they_are_redacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "ARROW_BATCH_BYTES", 5_000)
    folder = _folder(tmp_path, ".parquet")
    with pytest.raises(pa.ArrowInvalid, match="one batch"), opened_table(folder / "A.parquet") as (_, batches):
        list(batches)
    with pytest.raises(NsysanError, match=r"table A: more is packed into one batch than is read at once"):
        names_of(folder)
