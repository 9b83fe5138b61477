"""A recording is exported as what nsysan reads soonest, where nsys and the machine can; its report is the same."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nsysan import progress
from nsysan.capture import fastest
from nsysan.capture import nsys as nsys_module
from nsysan.capture.fastest import WORTH_BYTES, kinds_for
from nsysan.capture.nsys import Nsys, export, export_command, require_nsys
from nsysan.cli.inputs import exported
from tests.clitools import run_cli
from tests.fakensys import GENERATIONS, fake_nsys
from tests.fixtures import unpack_exports

Capsys = pytest.CaptureFixture[str]
ROOM = 1 << 40


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real recording as the exports that a fake nsys gives."""
    folder = tmp_path_factory.mktemp("exports")
    unpack_exports(folder)
    for name, kind in (("tp2_pqtdir", "parquetdir"), ("tp2_arwdir", "arrowdir")):
        (folder / name).rename(folder / f"tp2.sqlite.{kind}")
    return folder


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exports: Path) -> Path:
    """A recording that is worth another kind than SQLite, and an nsys that exports it."""
    monkeypatch.setenv("NSYSAN_NSYS", str(fake_nsys(tmp_path, "2025.3.1", export=exports / "tp2.sqlite")))
    monkeypatch.setattr(fastest, "available_memory", lambda: ROOM)
    path = tmp_path / "run.nsys-rep"
    with path.open("wb") as file:
        file.truncate(WORTH_BYTES)
    return path


@pytest.fixture(scope="module")
def expected(exports: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the SQLite export, written by it once."""
    folder = tmp_path_factory.mktemp("expected")
    (folder / "run.sqlite").symlink_to(exports / "tp2.sqlite")
    return folder / "run.sqlite"


def nsys_of(folder: Path, version: str) -> Nsys:
    return require_nsys(str(fake_nsys(folder, version)))


@pytest.mark.parametrize("version", GENERATIONS)
def test_an_nsys_that_can_writes_parquet(tmp_path: Path, recording: Path, version: str) -> None:
    folder = tmp_path / version
    folder.mkdir()
    kinds = ("parquetdir", "sqlite") if version >= "2025" else ("sqlite",)
    assert kinds_for(nsys_of(folder, version), recording) == kinds


def test_a_small_recording_or_little_room_is_for_sqlite(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nsys = nsys_of(tmp_path, "2025.3.1")
    monkeypatch.setattr(fastest, "available_memory", lambda: 10 * WORTH_BYTES - 1)
    assert kinds_for(nsys, recording) == ("sqlite",)
    monkeypatch.setattr(fastest, "available_memory", lambda: None)
    assert kinds_for(nsys, recording)[0] == "parquetdir"
    with recording.open("r+b") as file:
        file.truncate(WORTH_BYTES - 1)
    assert kinds_for(nsys, recording) == ("sqlite",)


def test_room_is_that_of_the_machine_or_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"_MEMINFO": "MemTotal: 9 kB\nMemAvailable:    2000 kB\n", "_MOST": "max\n", "_USED": "500000\n"}

    def write() -> None:
        for name, text in files.items():
            (tmp_path / name).write_text(text)
            monkeypatch.setattr(fastest, name, tmp_path / name)

    write()
    assert fastest.available_memory() == 2_048_000
    files["_MOST"] = "1500000\n"
    write()
    assert fastest.available_memory() == 1_000_000
    for name in files:
        monkeypatch.setattr(fastest, name, tmp_path / "none")
    assert fastest.available_memory() is None


@pytest.mark.parametrize("kind", ["parquetdir", "arrowdir", "hdf"])
def test_the_report_of_a_recording_is_the_same_by_every_kind(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, recording: Path, expected: Path, kind: str
) -> None:
    # What nsys cannot export after all, as hdf here, is exported to SQLite.
    monkeypatch.setattr(fastest, "FASTEST", (kind, "sqlite"))
    monkeypatch.setattr(nsys_module, "_KINDS", re.compile(r"sqlite|arrowdir|parquetdir|hdf"))
    result = run_cli(capsys, "report", recording, "--json", "-")
    first = f"exporting run.nsys-rep with nsys 2025.3.1.99 ({kind})\n"
    then = "exporting run.nsys-rep with nsys 2025.3.1.99 (sqlite)\n" if kind == "hdf" else ""
    assert (result.code, result.err) == (0, first + then)
    assert result.out == run_cli(capsys, "report", expected, "--json", "-").out


def test_what_others_read_too_is_sqlite(recording: Path) -> None:
    with exported(recording, quiet=True) as export:
        assert export.is_dir()
    with exported(recording, quiet=True, for_others=True) as export:
        assert export.is_file()
    assert not export.parent.exists()


def test_how_far_an_export_is_is_told(recording: Path, tmp_path: Path) -> None:
    told: list[int] = []
    nsys = require_nsys()
    export(nsys, recording, tmp_path / "out", "parquetdir", percent=told.append)
    # Pieces come as the pipe gives them.
    assert told[-1] == 100
    assert set(told) <= {50, 100}
    with exported(recording, quiet=True):
        assert progress.line(1.0, 1.0).endswith("reading")


def test_words_of_payloads_are_for_others(recording: Path) -> None:
    alone = export_command(require_nsys(), recording, Path("t"), "parquetdir", json=False)
    assert alone[-3:] == ["--include-blobs", "true", str(recording)]
    assert "--include-json" not in alone


def test_a_report_is_the_same_without_the_words_of_payloads(
    capsys: Capsys, tmp_path: Path, exports: Path, expected: Path
) -> None:
    bare = tmp_path / "run.sqlite"
    shutil.copytree(exports / "tp2.sqlite.parquetdir", bare)
    ranges = pq.read_table(bare / "NVTX_EVENTS.parquet")
    assert ranges["jsonText"].null_count < len(ranges)
    pq.write_table(ranges.drop_columns(["jsonText"]), bare / "NVTX_EVENTS.parquet")
    assert run_cli(capsys, "report", bare, "--json", "-").out == run_cli(capsys, "report", expected, "--json", "-").out
