"""Small inputs that would take endless time or memory, or break what reads them: each is one line, or no matter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.budgets import NAME_BYTES
from nsysan.model.payloads import communicator_ranks
from nsysan.text import whole
from nsysan.trace import bulk, guard
from nsysan.trace.guard import read_only_uri
from nsysan.trace.provenance import metrics_rate
from nsysan.trace.sqlite import SqliteFile
from nsysan.trace.topology import Topology, parse_topology, read_topology, topology_file
from tests.clitools import paper_trace, run_cli
from tests.copies import changed

Capsys = pytest.CaptureFixture[str]
TEXT = pl.String()
NOTHING = Topology([], [], 0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("GPU1 X\n" * 130_000, NOTHING),
        ("Link 0: 25 GB/s\n" * 70_000, NOTHING),
        ("\n".join(f"GPU{i} {'X ' * 650}" for i in range(650)), NOTHING),
        (f"GPU0 X {'Z' * 900_000}\nGPU1 X X", Topology([(0, 1, "Z" * 16)], [], 0)),
        (f"GPU0 {'X ' * 450_000}\nGPU1 X X", Topology([(0, 1, "X")], [], 0)),
        (f"GPU0 X NV{'9' * 5_000}\nGPU1 X X", Topology([(0, 1, f"NV{'9' * 14}")], [], 0)),
        (f"GPU0 X NV4\nGPU1 X X\nLink 0: {'9' * 5_000} GB/s", Topology([(0, 1, "NV4")], [], 0)),
        ("\x1b[" + "1;" * 450_000, NOTHING),
    ],
    ids=("rows", "links", "square", "word", "row", "digits", "speed", "escape"),
)
def test_a_topology_of_more_than_a_machine_holds(text: str, found: Topology) -> None:
    topology = parse_topology(text)
    assert topology == found
    assert topology.bonded in (None, 4)


def test_a_pipe_is_no_topology_and_no_trace(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    os.mkfifo(topology_file(trace))
    assert read_topology(trace) is None
    os.mkfifo(tmp_path / "pipe.sqlite")
    for path in (tmp_path / "pipe.sqlite", Path("/dev/zero")):
        with pytest.raises(NsysanError, match="is a pipe or device") as error:
            SqliteFile(path)
        assert error.value.exit_code == ExitCode.NOT_SQLITE
    done = run_cli(capsys, "history", "list", "--db", tmp_path / "pipe.sqlite")
    assert (done.code, done.err.count("\n")) == (ExitCode.OUTPUT_UNWRITABLE, 1)


def test_statements_of_a_file_take_no_longer_than_its_size_can_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    # One instruction of SQLite can follow a text through thousands of pages, which all rows of a file may share.
    trace = paper_trace(tmp_path / "t.sqlite")
    assert bulk.read(read_only_uri(trace), ["SELECT 1 AS a"], {"a": pl.Int64()}, (9, 9), seconds=-1.0) is None
    monkeypatch.setattr(guard, "SQLITE_SECONDS", -1e9)
    for command in (("report", "-q", "--json", "-"), ("info",), ("redact", "-o", tmp_path / "copy.sqlite")):
        done = run_cli(capsys, command[0], trace, *command[1:])
        assert (done.code, done.err.count("\n")) == (ExitCode.DAMAGED, 1)
        assert "it takes longer than" in done.err or "interrupted" in done.err
    assert os.listdir(tmp_path) == ["t.sqlite"]


@pytest.mark.parametrize("text", ["9" * 5_000, "-1", "1.5", "", "\u0661", "\u00b2", None])
def test_what_is_no_number_of_64_bits(text: str | None) -> None:
    assert whole(text) is None
    assert metrics_rate([("X:GPU_METRICS_OPTIONS:SAMPLING_FREQUENCY", text or "")]) is None


def test_polars_has_its_numpy_before_threads_begin() -> None:
    code = """
import sys, nsysan.columns.threads
own = sys.modules.get("polars._dependencies") or sys.modules["polars.dependencies"]
assert own.numpy is sys.modules["numpy"], own.numpy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    "payload",
    ["[" * 100_000, '{"a":' * 100_000, '{"Rank": ' + "9" * 5_000 + "}", '{"Rank": "x", "No. of ranks": 1e400}'],
    ids=("lists", "objects", "digits", "types"),
)
def test_a_payload_that_is_none(payload: str) -> None:
    columns = {"process": pl.Int64(), "domain": TEXT, "name": TEXT, "json": TEXT, "binary": pl.Binary()}
    ranges = pl.DataFrame([(1, "NCCL", "ncclCommInitRank", payload, None)], schema=columns, orient="row")
    entries = ("domain", "schema", "index", "type", "label", "offset")
    assert communicator_ranks(ranges, pl.DataFrame(schema=dict.fromkeys(entries, pl.Int64()))) == []


def test_names_that_are_not_utf8_and_names_of_a_megabyte(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    # Every name of an API call is another: no operation has a launch.
    changed(trace, "UPDATE StringIds SET value = CAST(x'ff' || value AS TEXT)")
    assert run_cli(capsys, "report", trace, "--json", "-", "-q").code == 0
    changed(trace, "UPDATE StringIds SET value = value || '<b>' || printf('%.*c', 1000000, 'x')")
    outputs = ("-o", tmp_path / "o.html", "--json", tmp_path / "o.json", "--markdown", tmp_path / "o.md")
    assert run_cli(capsys, "report", trace, *outputs, "-q").code == 0
    assert max(nsysan.open_trace(trace).kernels["name"].cast(TEXT).str.len_bytes()) <= NAME_BYTES + 2
    assert sum((tmp_path / f"o.{kind}").stat().st_size for kind in ("html", "json", "md")) < 8_000_000


def test_a_rank_of_more_digits_than_ranks_have(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / f"rank_{'9' * 30}.sqlite", ranks=1)
    shutil.copyfile(trace, tmp_path / "rank_1.sqlite")
    assert run_cli(capsys, "report", tmp_path / "rank_1.sqlite", trace, "--json", "-", "-q").code in (0, 12)
