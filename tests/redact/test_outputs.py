"""A trace with every kind of secret in every place: none is in any output, of any kind, and the figures stay."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sqlite3
import struct
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.page.png import figures_of
from nsysan.redact.file import redact_file, redact_log
from nsysan.redact.redaction import Redaction
from nsysan.redact.scan import names as scanned
from nsysan.redact.scan import names_of, scan, scan_bytes
from nsysan.redact.scrub import Scrubber
from nsysan.report.build import build_report
from tests.clitools import run_cli
from tests.fixtures import unpack_exports
from tests.planting import kinds, left_in, names, plant_module

SOURCE = "tp4_slow"


@pytest.fixture(scope="session")
def planted(real_trace: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real trace, planted once for all tests, which do not change it."""
    target = tmp_path_factory.mktemp("planted") / "wesker_rank_3.sqlite"
    plant_module().plant(real_trace(SOURCE), target)
    return target


@pytest.fixture(scope="session")
def clean(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its copy."""
    target = tmp_path_factory.mktemp("clean") / "clean.sqlite"
    redact_file(planted, target)
    return target


@pytest.fixture(scope="session")
def folders(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The planted trace as folders of tables."""
    place = tmp_path_factory.mktemp("folders")
    for suffix in (".parquet", ".arrow"):
        plant_module("plant_formats").to_folder(planted, place / suffix.strip("."), suffix)
    return {suffix: place / suffix.strip(".") for suffix in (".parquet", ".arrow")}


def test_every_kind_is_planted_in_every_place(planted: Path) -> None:
    assert len(left_in(planted.read_bytes())) == len(kinds())
    leaks = scan(planted, names_of(planted))
    found = {leak.where for leak in leaks}
    places = {"NVTX_EVENTS.text", "NVTX_EVENTS.jsonText", "NVTX_EVENTS.binaryData", "StringIds.value", "PROCESSES.name"}
    places |= {"DIAGNOSTIC_EVENT.text", "META_DATA_CAPTURE.value", "META_DATA_EXPORT.value", "TARGET_INFO_GPU.name"}
    assert places | {"the schema", "the bytes of the file"} <= found


def test_nothing_is_left_in_the_copy(clean: Path, planted: Path) -> None:
    assert left_in(clean.read_bytes()) == []
    assert scan(clean, names_of(planted)) == []
    with closing(sqlite3.connect(clean)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)


def test_another_seed_plants_other_secrets(
    real_trace: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant_module().plant(real_trace(SOURCE), tmp_path / "t.sqlite", seed=7)
    assert run_cli(capsys, "redact", tmp_path / "t.sqlite", "-o", tmp_path / "c.sqlite", "-q").code == 0
    assert left_in((tmp_path / "t.sqlite").read_bytes(), 0) != [kind.name for kind in kinds()]
    assert left_in((tmp_path / "c.sqlite").read_bytes(), 7) == []


def test_figures_of_the_planted_trace_stay(clean: Path, planted: Path) -> None:
    first, second = (_figures(path) for path in (planted, clean))
    # Kernels that differ by what is masked are as many kernels in the copy.
    for told in (first, second):
        del told["inputs"]
        told["ranks"] = [{key: value for key, value in rank.items() if key != "report"} for rank in told["ranks"]]
        told["kernels"] = [{k: v for k, v in row.items() if k not in ("name", "full_name")} for row in told["kernels"]]
    assert first == second


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_nothing_is_left_in_a_folder_of_tables(suffix: str, folders: dict[str, Path], tmp_path: Path) -> None:
    done = redact_file(folders[suffix], tmp_path / "clean")
    assert done.outputs == [tmp_path / "clean"]
    for file in (tmp_path / "clean").iterdir():
        assert file.suffix == suffix
        assert left_in(file.read_bytes()) == [], file.name
        assert left_in("\n".join(_cells(file)).encode()) == [], file.name
        assert left_in(file.name.encode()) == []
    whole = "\n".join(text for file in folders[suffix].iterdir() for text in _cells(file))
    assert len(left_in(whole.encode("utf-8", "replace"))) == len(kinds())


def test_nothing_is_left_in_any_report(planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, data, markdown = (tmp_path / f"r.{suffix}" for suffix in ("html", "json", "md"))
    outputs = ("-o", html, "--json", data, "--markdown", markdown)
    result = run_cli(capsys, "report", planted, "--redact", *outputs)
    assert (result.code, result.err) == (0, "")
    for text in (*_unpacked(html.read_text()), data.read_text(), markdown.read_text(), result.out):
        assert left_in(text.encode()) == []
        assert "wesker" not in text.replace(str(tmp_path), "")
    told = json.loads(data.read_text())
    assert [named["name"] for named in told["inputs"]] == ["trace 1 (rank_3)"]
    assert {rank["report"] for rank in told["ranks"]} == {"trace 1 (rank_3)"}
    assert told["per_step"] == _figures(planted)["per_step"]


def test_nothing_is_left_in_the_charts(planted: Path) -> None:
    with Redaction() as redaction:
        run = nsysan.analyze([redaction.copy(planted, planted)])
        drawn = figures_of(build_report(run, nsysan.__version__))
        assert drawn
        for figure in drawn.values():
            assert left_in(str(figure.to_json()).encode()) == []


def test_nothing_is_left_for_perfetto(planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_, packed = tmp_path / "open.json", tmp_path / "shared.json.gz"
    assert run_cli(capsys, "export", planted, "--perfetto", open_, "-q").code == 0
    assert len(left_in(open_.read_bytes())) == len(kinds())
    assert run_cli(capsys, "export", planted, "--redact", "--perfetto", packed, "-q").code == 0
    text = gzip.decompress(packed.read_bytes())
    assert left_in(text) == []
    assert json.loads(text)["otherData"]["inputs"] == ["trace 1 (rank_3)"]
    assert text.count(b'"ph":"X"') == open_.read_bytes().count(b'"ph":"X"')


# ---- each half without the other


def test_a_copy_that_would_tell_is_not_written(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for treatment in ("label", "code", "word", "model"):
        monkeypatch.setattr(Scrubber, treatment, lambda _, text: text)
    with pytest.raises(NsysanError, match="nothing was written") as error:
        redact_file(planted, tmp_path / "clean.sqlite")
    assert error.value.exit_code == ExitCode.NOT_CLEAN
    assert left_in(str(error.value).replace(str(planted), "").encode()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_would_tell_is_not_written(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scrubber, "label", lambda _, text: text)
    monkeypatch.setattr(Scrubber, "code", lambda _, text: text)
    html, perfetto = tmp_path / "r.html", tmp_path / "p.json"
    result = run_cli(capsys, "report", planted, "--redact", "-o", html)
    assert (result.code, result.out) == (ExitCode.NOT_CLEAN, "")
    assert "the page would still tell" in result.err
    assert run_cli(capsys, "export", planted, "--redact", "--perfetto", perfetto).code == ExitCode.NOT_CLEAN
    assert left_in(result.err.replace(str(planted), "").encode()) == []
    assert list(tmp_path.iterdir()) == []


# ---- what lies beside


def test_a_log_of_sqlite_is_not_passed_over(
    real_trace: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "t.sqlite"
    plant_module().plant(real_trace(SOURCE), source, log=True)
    assert left_in(source.with_name("t.sqlite-wal").read_bytes())
    for command in (("redact", "-o", "c.sqlite"), ("report", "--redact", "-o", "r.html")):
        result = run_cli(capsys, command[0], source, *command[1:-1], tmp_path / command[-1])
        assert result.code == ExitCode.DAMAGED
        assert "t.sqlite-wal" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.sqlite", "t.sqlite-wal"]


def test_the_scan_reads_what_sqlite_left_beside_a_copy(clean: Path, tmp_path: Path) -> None:
    shutil.copyfile(clean, tmp_path / "c.sqlite")
    (tmp_path / "c.sqlite-wal").write_bytes(b"\0\1jill@corp.example\0\0")
    assert {leak.kind for leak in scan(tmp_path / "c.sqlite", names())} >= {"mail address"}


LOG = """\
raccoon07:4123:4123 [0] NCCL INFO Bootstrap: Using eth0:10.47.111.3<0>
raccoon07:4123:4123 [0] NCCL INFO NCCL version 2.28.9+cuda12.8
raccoon07:4123:4200 [0] NCCL INFO NET/IB : Using [0]mlx5_0:1/IB [RO]; OOB eth0:fe80::a00:27ff:fe4e:66a1%eth0<0>
raccoon07:4123:4200 [0] NCCL INFO comm 0x55d3e8a0b1c0 rank 0 nranks 4 busId 1b000 commId 0xd3a1c86ab2a9a3f4 - Init
raccoon07:4123:4200 [0] NCCL INFO Channel 00/24 : 0 1 2 3
raccoon07:4123:4200 [0] NCCL INFO AllReduce: 8192 Bytes -> Algo RING proto LL channel{Lo..Hi}={0..0}
raccoon07:4123:4200 [0] NCCL WARN Call to connect from 10.47.111.3<41234> to raccoon12.hive.example<55000> failed
"""


def test_a_log_of_nccl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "nccl.log", tmp_path / "clean.log"
    source.write_text(LOG + "".join(f"{kind.text}\n" for kind in kinds() if kind.name != "user of the trace"))
    result = run_cli(capsys, "redact", source, "-o", target)
    assert (result.code, result.err) == (0, "")
    lines = target.read_text().splitlines()
    assert left_in(target.read_bytes()) == []
    assert lines[:2] == [
        "<host>:4123:4123 [0] NCCL INFO Bootstrap: Using eth0:<ip><0>",
        "<host>:4123:4123 [0] NCCL INFO NCCL version 2.28.9+cuda12.8",
    ]
    assert lines[2].endswith("OOB eth0:<ip><0>")
    assert [line.partition(" ")[2] for line in lines[3:6]] == [line.partition(" ")[2] for line in LOG.splitlines()[3:6]]
    assert lines[6].endswith("from <ip><41234> to <host><55000> failed")


def test_a_topology_by_itself(tmp_path: Path) -> None:
    source = tmp_path / "t.topology.txt"
    planted = "\n".join(kind.text for kind in kinds())
    source.write_text(f"\tGPU0\tGPU1\nGPU0\t X \tNV18\nGPU1\twesker\t X \n{planted}\n\t Link 0: 26.562 GB/s\n")
    redact_log(source, tmp_path / "c.txt")
    assert (tmp_path / "c.txt").read_text() == "GPU0\tX\tNV18\nGPU1\tNV18\tX\nLink 0: 26.562 GB/s\n"


def test_another_text_file_is_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("nothing of NCCL's\n")
    result = run_cli(capsys, "redact", tmp_path / "notes.txt", "-o", tmp_path / "c.txt")
    assert result.code == ExitCode.NOT_SQLITE
    assert not (tmp_path / "c.txt").exists()


# ---- folders


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording exported three ways by nsys itself."""
    place = tmp_path_factory.mktemp("exports")
    unpack_exports(place)
    return place


@pytest.mark.parametrize("name", ["tp2_pqtdir", "tp2_arwdir"])
def test_folders_keep_figures_and_declarations(name: str, exports: Path, tmp_path: Path) -> None:
    done = redact_file(exports / name, tmp_path / name)
    assert done.changed == []
    for file in (tmp_path / name).iterdir():
        kept, declared = (_read(path).schema for path in (file, exports / name / file.name))
        assert [field.type for field in kept] == [declared.field(field.name).type for field in kept]
    assert _figures(tmp_path / name)["per_step"] == _figures(exports / "tp2.sqlite")["per_step"]


def test_a_column_of_nothing_and_a_row_many_times(
    exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = shutil.copytree(exports / "tp2_pqtdir", tmp_path / "tables")
    file = copied / "NVTX_EVENTS.parquet"
    table = pq.read_table(file)
    table = pa.concat_tables([table.slice(0, 1)] * 2_000)
    pq.write_table(table.set_column(table.column_names.index("color"), "color", pa.nulls(len(table))), file)
    asked: list[tuple[object, ...]] = []
    pairs = scanned._pairs

    def counted(row: tuple[object, ...]) -> Iterator[tuple[str, str]]:
        asked.append(row)
        return pairs(row)

    monkeypatch.setattr(scanned, "_pairs", counted)
    redact_file(copied, tmp_path / "clean")
    assert pq.read_table(tmp_path / "clean" / file.name).schema.field("color").type == pa.null()
    assert 500 < len(asked) < 2_000


def test_a_folder_is_replaced_only_when_asked_and_only_by_its_kind(
    exports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = exports / "tp2_pqtdir", tmp_path / "clean"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    assert run_cli(capsys, "redact", source, "-o", target, "--force").code == ExitCode.OUTPUT_UNWRITABLE
    (target / "mine.txt").rename(target / "old.parquet")
    assert run_cli(capsys, "redact", source, "-o", target).code == ExitCode.OUTPUT_EXISTS
    assert run_cli(capsys, "redact", source, "-o", target, "--force", "-q").code == 0
    assert not (target / "old.parquet").exists()
    for inside in (source, source / "x"):
        assert run_cli(capsys, "redact", source, "-o", inside, "--force").code == ExitCode.OUTPUT_UNWRITABLE
    assert [path.name for path in tmp_path.iterdir()] == ["clean"]


def test_a_damaged_table_is_named(exports: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(exports / "tp2_pqtdir", broken)
    (broken / "NVTX_EVENTS.parquet").write_bytes((broken / "NVTX_EVENTS.parquet").read_bytes()[:2_000])
    with pytest.raises(NsysanError, match="NVTX_EVENTS") as error:
        redact_file(broken, tmp_path / "clean")
    assert error.value.exit_code == ExitCode.DAMAGED


def test_a_table_that_cannot_be_searched_is_named_too(exports: Path, tmp_path: Path) -> None:
    """Its schema can be read, its rows cannot."""
    broken = tmp_path / "broken"
    shutil.copytree(exports / "tp2_arwdir", broken)
    content = bytearray((broken / "StringIds.arrow").read_bytes())
    (broken / "StringIds.arrow").write_bytes(content[: len(content) // 2])
    with pytest.raises(NsysanError, match="damaged or cut off") as error:
        redact_file(broken, tmp_path / "clean")
    assert error.value.exit_code == ExitCode.DAMAGED


# ---- names of traces


@pytest.mark.parametrize("name", ["e", "wait", "rank", "decode"])
def test_the_name_of_a_trace_is_a_field_and_no_word(
    name: str, real_trace: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, data, markdown = tmp_path / name, tmp_path / "r.json", tmp_path / "r.md"
    shutil.copyfile(real_trace(SOURCE), source)
    outputs = ("--json", data, "--markdown", markdown, "-o", tmp_path / "r.html")
    result = run_cli(capsys, "report", source, "--redact", *outputs)
    assert result.code == 0
    told, plain = json.loads(data.read_text()), _figures(source)
    assert told["inputs"][0].pop("name") == "trace 1"
    assert plain["inputs"][0].pop("name") == name
    for report, expected in ((told, "trace 1"), (plain, name)):
        assert {rank.pop("report") for rank in report["ranks"]} == {expected}
    assert told == plain


def test_a_report_that_cannot_be_read_is_named_by_its_number(
    real_trace: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [tmp_path / f"wesker_rank_{i}.sqlite" for i in range(4)]
    for i, source in enumerate(sources[:2]):
        shutil.copyfile(real_trace(f"rank_{i}"), source)
    shutil.copyfile(sources[0], sources[3])
    sources[2].write_bytes(sources[1].read_bytes()[:5_000])
    data = tmp_path / "r.json"
    result = run_cli(capsys, "report", *sources, "--redact", "--json", data, "-q")
    assert result.code == 0
    assert str(sources[2]) in result.err
    assert "wesker" not in data.read_text()
    rows = {row["id"]: row["reason"] for row in json.loads(data.read_text())["quality"]}
    assert rows["reports"] == (
        "2 of 4 traces left out: trace 3 (rank_2): damaged or cut off; trace 4 (rank_3): a copy of another trace"
    )
    assert [rank["report"] for rank in json.loads(data.read_text())["ranks"]] == [
        "trace 1 (rank_0)",
        "trace 2 (rank_1)",
    ]


def test_a_redacted_page_has_no_trace_in_its_name(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_cli(capsys, "report", planted, "--redact", "-q").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["nsysan-report.html"]


# ---- the scan's eyes


def _png(kind: bytes, body: bytes) -> bytes:
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + chunk


MAIL = "jill@corp.example"


@pytest.mark.parametrize(
    "content",
    [
        MAIL.encode(),
        gzip.compress(MAIL.encode(), mtime=0),
        json.dumps({"a": [{"b": MAIL}]}).encode(),
        json.dumps({MAIL: 1}).encode(),
        b'{"a": "' + MAIL.encode() + b'", "a": "b"}',
        f"<!doctype html><p title='{MAIL}'>x".encode(),
        f"<!doctype html><!-- {MAIL} -->".encode(),
        f"<!doctype html><p>{MAIL.replace('@', '&#64;')}</p>".encode(),
        b"<!doctype html><script>" + b"H4sI" + b"</script>" + MAIL.encode(),
        _png(b"tEXt", b"Author\0" + MAIL.encode()),
        _png(b"zTXt", b"Author\0\0" + zlib.compress(MAIL.encode())),
        _png(b"iTXt", b"Author\0\1\0\0\0" + zlib.compress(MAIL.encode())),
        _png(b"IEND", b"") + MAIL.encode(),
        MAIL.replace("@", "%40").encode(),
        MAIL.encode().hex().encode(),
        MAIL.replace("@", "\\u0040").encode(),
        MAIL.replace("corp", "co\u200brp").encode(),
    ],
    ids=range(17),
)
def test_the_scan_sees_through_every_format(content: bytes) -> None:
    assert scan_bytes(content, names()) != []


def test_the_scan_unpacks_the_data_of_a_page() -> None:
    from nsysan.page.pack import packed

    page = f'<!doctype html><script type="application/json">{packed(json.dumps({"x": MAIL}).encode())}</script>'
    leaks = {(leak.kind, leak.where) for leak in scan_bytes(page.encode(), names())}
    assert ("mail address", "the page's data, x") in leaks


@pytest.mark.parametrize("change", ["", "longer", "elsewhere", "not described"])
def test_numbers_of_a_page_that_read_as_letters_are_numbers(change: str) -> None:
    """As many bytes as the tables have, in the place for them; anything else is searched."""
    from nsysan.page.pack import packed
    from nsysan.page.planes import Planes

    parts: list[bytes] = []
    planes, text = Planes(parts.append), f"\n{MAIL}\n".encode()
    tables = {"slices": planes.add({"start": np.frombuffer(text, np.uint8).astype(np.int64)}, [4, len(text) - 4])}
    data = "{}" if change == "not described" else json.dumps({"report": {"tables": tables}}, separators=(",", ":"))
    content = b"".join(parts) + (b"0" if change == "longer" else b"")
    place = "rows" if change == "elsewhere" else "columns"
    page = f'<!doctype html><script>{packed(data.encode())}</script><script id="{place}">{packed(content)}</script>'
    assert text in content
    assert bool(scan_bytes(page.encode(), names())) == bool(change)


@pytest.mark.parametrize("where", ["values", "metadata", "field"])
@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_the_scan_reads_tables_and_what_is_said_of_them(where: str, suffix: str, tmp_path: Path) -> None:
    field = pa.field("x", pa.large_string(), metadata={"desc": MAIL} if where == "field" else None)
    schema = pa.schema([field], metadata={"desc": MAIL} if where == "metadata" else None)
    table = pa.table([[MAIL if where == "values" else "x"]], schema=schema)
    file = tmp_path / f"T{suffix}"
    if suffix == ".parquet":
        pq.write_table(table, file, compression="zstd")
    else:
        with pa.ipc.new_file(str(file), schema) as writer:
            writer.write_table(table)
    assert {leak.kind for leak in scan(tmp_path, names())} >= {"mail address"}


# ---- helpers


def _figures(path: Path) -> dict[str, Any]:
    from nsysan.report.document import to_json

    report = build_report(nsysan.analyze([nsysan.open_trace(path)]), nsysan.__version__, timelines=False)
    found: dict[str, Any] = json.loads(to_json(report))
    return found


def _unpacked(page: str) -> Iterator[str]:
    yield page
    yield unescape(page)
    for packed in re.findall(r"H4sI[A-Za-z0-9+/]+=*", page):
        yield gzip.decompress(b64decode(packed)).decode("utf-8", "replace")


def _read(file: Path) -> pa.Table:
    if file.suffix == ".parquet":
        return pq.ParquetFile(file).read()
    return pa.ipc.open_stream(str(file)).read_all()


def _cells(file: Path) -> Iterator[str]:
    table = _read(file)
    yield str(table.schema)
    for column in table.columns:
        if not pa.types.is_primitive(column.type):
            raw = column.cast(pa.large_binary()).to_pylist()
            yield from (value.replace(b"\0", b"").decode("utf-8", "replace") for value in raw if value)
