"""Folders of Parquet and Arrow files: the same report, exported three ways by one nsys, reads alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.columns.chunks import Chunks
from nsysan.trace import arrow_batches, columnar, parquet_pages
from nsysan.trace.columnar import ColumnarFolder
from nsysan.trace.where import Where
from tests.clitools import run_cli
from tests.fixtures import unpack_exports

I64, TEXT, BYTES = pl.Int64(), pl.String(), pl.Binary()
FOLDERS = ("tp2_pqtdir", "tp2_arwdir")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tp2.sqlite, tp2_pqtdir and tp2_arwdir: one real report, exported by one nsys."""
    folder = tmp_path_factory.mktemp("exports")
    unpack_exports(folder)
    return folder


Capsys = pytest.CaptureFixture[str]


def document(capsys: Capsys, path: Path) -> dict[str, object]:
    outcome = run_cli(capsys, "report", path, "--json", "-", "-q")
    assert outcome.code == 0, outcome.err
    found: dict[str, object] = json.loads(outcome.out)
    return found


@pytest.mark.parametrize("name", FOLDERS)
def test_report_of_a_folder_is_that_of_the_sqlite_export(exports: Path, capsys: Capsys, name: str) -> None:
    expected = document(capsys, exports / "tp2.sqlite")
    found = document(capsys, exports / name)
    text = json.dumps(found).replace(name, "tp2.sqlite")
    assert json.loads(text) == expected
    assert len(expected["per_step"]) > 20  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FOLDERS)
def test_reading_leaves_the_folder_as_it_is(exports: Path, name: str) -> None:
    before = {file: (file.stat().st_size, file.stat().st_mtime_ns) for file in (exports / name).iterdir()}
    nsysan.analyze(nsysan.open_trace(exports / name))
    assert {file: (file.stat().st_size, file.stat().st_mtime_ns) for file in (exports / name).iterdir()} == before


def test_info_of_a_folder(exports: Path, capsys: Capsys) -> None:
    outcome = run_cli(capsys, "info", exports / "tp2_pqtdir")
    assert outcome.code == 0
    assert "tp2_pqtdir" in outcome.out


def test_a_folder_of_folders_is_several_reports(exports: Path, tmp_path: Path, capsys: Capsys) -> None:
    for name in FOLDERS:
        shutil.copytree(exports / name, tmp_path / name)
    outcome = run_cli(capsys, "report", tmp_path, exports / "tp2.sqlite", "--json", "-")
    assert outcome.code == 0, outcome.err
    # All are of one recording.
    assert [one["name"] for one in json.loads(outcome.out)["inputs"]] == ["tp2_arwdir"]
    assert outcome.err.count("shows the same processes at the same times as tp2_arwdir") == 2


def parquet(path: Path, **columns: pa.Array) -> Path:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path.parent


def test_conditions_and_missing_columns(tmp_path: Path) -> None:
    folder = ColumnarFolder(
        parquet(tmp_path / "x" / "T.parquet", a=pa.array([1, 2, 3, None]), b=pa.array([5, 6, 7, 8]))
    )
    assert folder.read("T", {"a": I64}, [Where("b", at_least=6, below=8)])["a"].to_list() == [2, 3]
    assert folder.read("T", {"a": I64}, [Where("b", spans=[(7, 9), (5, 5)])])["a"].to_list() == [1, 3, None]
    assert folder.read("T", {"a": I64}, [Where("b", spans=[])])["a"].to_list() == []
    assert folder.read("T", {"b": I64}, [Where("a", one_of=[3, 9]), Where("none", one_of=[1])])["b"].to_list() == [7]
    assert folder.read("T", {"b": I64}, [Where("a")])["b"].to_list() == [5, 6, 7]
    assert folder.read("T", {"c": TEXT, "a": I64}).rows() == [(None, 1), (None, 2), (None, 3), (None, None)]
    assert folder.read("none", {"a": I64}).is_empty()
    assert folder.count("T") == 4


def test_unsigned_ids_have_the_bits_of_sqlite(tmp_path: Path) -> None:
    ids = pa.array([2**63 + 5, 7], pa.uint64())
    folder = ColumnarFolder(parquet(tmp_path / "x" / "T.parquet", a=ids))
    assert folder.read("T", {"a": I64})["a"].to_list() == [5 - 2**63, 7]


def test_text_that_is_not_utf8_and_bytes_declared_as_text(tmp_path: Path) -> None:
    raw = pa.array([b"caf\xe9", b"", b"ok"], pa.large_binary()).view(pa.large_string())
    folder = ColumnarFolder(parquet(tmp_path / "x" / "T.parquet", a=raw))
    assert folder.read("T", {"a": TEXT})["a"].to_list() == ["caf\ufffd", "", "ok"]
    assert folder.read("T", {"a": BYTES})["a"].to_list() == [b"caf\xe9", None, b"ok"]


@pytest.mark.parametrize("values", [pa.array(["x"]), pa.array([1.5]), pa.array([[1]])])
def test_wrong_type_in_a_number_column_is_damage(tmp_path: Path, values: pa.Array) -> None:
    folder = ColumnarFolder(parquet(tmp_path / "x" / "T.parquet", a=values))
    with pytest.raises(NsysanError, match="table T") as refused:
        folder.read("T", {"a": I64})
    assert refused.value.exit_code == ExitCode.DAMAGED


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("kept", [0, 7, 100, 2_000])
def test_truncated_table_is_damage(exports: Path, tmp_path: Path, capsys: Capsys, name: str, kept: int) -> None:
    folder = tmp_path / name
    shutil.copytree(exports / name, folder)
    table = next(folder.glob("CUPTI_ACTIVITY_KIND_KERNEL.*"))
    table.write_bytes(table.read_bytes()[:kept])
    outcome = run_cli(capsys, "report", folder, "--json", "-")
    assert outcome.code == ExitCode.DAMAGED, outcome.err
    assert "CUPTI_ACTIVITY_KIND_KERNEL" in outcome.err


def test_a_file_of_few_bytes_and_endless_rows_is_refused(tmp_path: Path) -> None:
    many = pa.array([0] * 20_000_000, pa.int8())
    folder = parquet(tmp_path / "x" / "T.parquet", a=many)
    with pytest.raises(NsysanError, match="more rows than its bytes can hold"):
        ColumnarFolder(folder).read("T", {"a": I64})


def arrow(file: Path, table: pa.Table, **options: object) -> Path:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema, **options) as writer:
        writer.write_table(table)
    return file


def refused(folder: Path, column: str, dtype: pl.DataType) -> str:
    with pytest.raises(NsysanError) as error:
        ColumnarFolder(folder).read("T", {column: dtype})
    assert error.value.exit_code == ExitCode.DAMAGED
    return str(error.value)


@pytest.mark.parametrize("bulk_rows", [0, 50_000])
def test_a_long_text_that_rows_name_over_and_over_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bulk_rows: int
) -> None:
    monkeypatch.setattr(columnar, "BULK_ROWS", bulk_rows)
    packed = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["x" * 1_000_000]))
    for folder in (tmp_path / "p", tmp_path / "a"):
        folder.mkdir()
    pq.write_table(pa.table({"a": packed}), tmp_path / "p" / "T.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "p" / "T.parquet").stat().st_size < 10_000
    assert "more is packed into it" in refused(tmp_path / "p", "a", TEXT)
    arrow(tmp_path / "a" / "T.arrow", pa.table({"a": packed}))
    assert "a dictionary is in it" in refused(tmp_path / "a", "a", TEXT)


def test_pages_and_buffers_that_unpack_to_too_much_are_refused(tmp_path: Path) -> None:
    zeros = pa.table({"a": pa.array(["\0" * 1_000_000] * 100), "n": range(100)})
    for folder in (tmp_path / "p", tmp_path / "a"):
        folder.mkdir()
    pq.write_table(zeros, tmp_path / "p" / "T.parquet", compression="zstd", use_dictionary=False)
    arrow(tmp_path / "a" / "T.arrow", zeros, options=pa.ipc.IpcWriteOptions(compression="zstd"))
    for folder in (tmp_path / "p", tmp_path / "a"):
        assert next(folder.iterdir()).stat().st_size < 100_000
        assert "more is packed into it" in refused(folder, "a", TEXT)
    # The other column of the Parquet file is no matter.
    assert ColumnarFolder(tmp_path / "p").read("T", {"n": I64})["n"].to_list() == list(range(100))


def test_pages_are_looked_at_once_and_again_where_the_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    pages = parquet_pages._pages

    def look(descriptor: int, chunk: pq.ColumnChunkMetaData) -> Iterator[int]:
        looked.append(chunk.path_in_schema)
        return pages(descriptor, chunk)

    monkeypatch.setattr(parquet_pages, "_pages", look)
    folder = tmp_path / "p"
    folder.mkdir()
    pq.write_table(pa.table({"n": range(10), "m": range(10)}), folder / "T.parquet")
    store = ColumnarFolder(folder)
    for columns in ({"n": I64}, {"n": I64}, {"n": I64, "m": I64}, {"m": I64}):
        store.read("T", columns)
    assert looked == ["n", "n", "m"]
    pq.write_table(pa.table({"n": range(11), "m": range(11)}), folder / "T.parquet")
    assert len(store.read("T", {"n": I64})) == 11
    assert looked[3:] == ["n"]


def test_a_packed_batch_is_refused_where_it_is_more_than_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of a batch is there at once, whatever its columns; of many small ones only what they become.
    monkeypatch.setattr(arrow_batches, "ARROW_BATCH_BYTES", 100_000)
    zeros = pa.table({"a": [0] * 20_000, "unread": ["x"] * 20_000})
    packed = pa.ipc.IpcWriteOptions(compression="zstd")
    arrow(tmp_path / "T.arrow", zeros, options=packed)
    assert "more is packed into one batch than is read at once" in refused(tmp_path, "a", I64)
    with pa.ipc.new_stream(str(tmp_path / "T.arrow"), zeros.schema, options=packed) as writer:
        writer.write_table(zeros, max_chunksize=1_000)
    assert ColumnarFolder(tmp_path).read("T", {"a": I64})["a"].to_list() == [0] * 20_000
    with pa.ipc.new_stream(str(tmp_path / "T.arrow"), zeros.schema) as writer:
        writer.write_table(zeros)
    assert ColumnarFolder(tmp_path).read("T", {"a": I64})["a"].to_list() == [0] * 20_000


def test_packings_that_nsys_does_not_use(tmp_path: Path) -> None:
    texts = pa.table({"a": ["xxxxxxxx"] * 9})
    folder = tmp_path / "x"
    folder.mkdir()
    pq.write_table(texts, folder / "T.parquet", use_dictionary=False)
    assert ColumnarFolder(folder).read("T", {"a": TEXT})["a"].to_list() == ["xxxxxxxx"] * 9
    pq.write_table(texts, folder / "T.parquet", use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})
    assert "as nsys packs none" in refused(folder, "a", TEXT)


def test_rows_without_bytes_are_refused(tmp_path: Path) -> None:
    arrow(tmp_path / "T.arrow", pa.table({"a": pa.nulls(1 << 21)}))
    assert "more rows than its bytes can hold" in refused(tmp_path, "a", I64)


@pytest.mark.parametrize("content", [{}, {"notes.txt": b"x"}, {"other.parquet": None}])
def test_a_folder_that_is_no_export(tmp_path: Path, capsys: Capsys, content: dict[str, bytes | None]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in content.items():
        if data is None:
            parquet(folder / name, a=pa.array([1]))
        else:
            (folder / name).write_bytes(data)
    outcome = run_cli(capsys, "report", folder)
    assert outcome.code in (ExitCode.NO_SUCH_FILE, ExitCode.NOT_NSYS)
    assert outcome.err.count("\n") == 1


def test_large_tables_in_parts_give_the_same_frames(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = ("kernels", "copies", "launches", "ranges", "graph_nodes")
    whole = [getattr(nsysan.open_trace(exports / "tp2_pqtdir"), frame) for frame in frames]
    monkeypatch.setattr(columnar, "BULK_ROWS", 0)
    monkeypatch.setattr(columnar, "_BATCH", 1_000)
    parts = [getattr(nsysan.open_trace(exports / "tp2_pqtdir"), frame) for frame in frames]
    assert len(whole[0]) > 1_000
    for one, other in zip(whole, parts, strict=True):
        assert one.equals(other)


@pytest.mark.parametrize("bulk_rows", [0, 50_000])
def test_numbers_of_any_width_and_texts_of_any_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bulk_rows: int
) -> None:
    monkeypatch.setattr(columnar, "BULK_ROWS", bulk_rows)
    table = pa.table(
        {
            "a": pa.array([1, None, 2**64 - 1], pa.uint64()),
            "b": pa.array([7, -7, None], pa.int16()),
            "c": pa.array(["x", None, ""]),
            "d": pa.array([b"\x00", b"", None], pa.large_binary()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    folder = ColumnarFolder(tmp_path)
    wanted = {"a": I64, "b": pl.Int32(), "c": TEXT, "d": BYTES}
    found = folder.read("t", wanted)
    assert found.rows() == [(1, 7, "x", b"\x00"), (None, -7, None, None), (-1, None, "", None)]
    assert found.schema == wanted
    assert folder.read("t", {"b": I64}, [Where("b", at_least=-7, below=7)])["b"].to_list() == [-7]
    assert folder.read("t", {"c": TEXT}, [Where("b", one_of=[7, 70_000])])["c"].to_list() == ["x"]
    assert folder.read("t", {"c": TEXT}, [Where("b", one_of=[])])["c"].to_list() == []


@pytest.mark.parametrize("bulk_rows", [0, 50_000])
def test_conditions_compare_numbers_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bulk_rows: int
) -> None:
    monkeypatch.setattr(columnar, "BULK_ROWS", bulk_rows)
    pq.write_table(pa.table({"k": pa.array([5, 7], pa.int32()), "t": pa.array(["5", "7"])}), tmp_path / "t.parquet")
    folder = ColumnarFolder(tmp_path)
    assert folder.read("t", {"k": I64}, [Where("k", one_of=[2**32 + 5, 7])])["k"].to_list() == [7]
    with pytest.raises(NsysanError, match="not integers"):
        folder.read("t", {"k": I64}, [Where("t", one_of=[5])])


def test_many_small_row_groups_take_no_more_than_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "BULK_ROWS", 0)
    made: list[int] = []

    def counted(types: dict[str, pl.DataType]) -> Chunks:
        made.append(1)
        return Chunks(types)

    monkeypatch.setattr(columnar, "Chunks", counted)
    pq.write_table(pa.table({"a": range(5_000)}), tmp_path / "t.parquet", row_group_size=2)
    assert ColumnarFolder(tmp_path).read("t", {"a": I64})["a"].to_list() == list(range(5_000))
    assert len(made) <= 10
