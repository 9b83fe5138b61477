"""Small inputs that would take endless time or memory, or break what reads them: each is one line, or no matter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.budgets import NAME_BYTES
from nsysan.columns.memory import settle
from nsysan.model.payloads import communicator_ranks
from nsysan.redact import logs
from nsysan.text import plain, whole
from nsysan.trace import bulk, guard
from nsysan.trace.guard import read_only_uri
from nsysan.trace.provenance import metrics_rate
from nsysan.trace.sqlite import SqliteFile
from nsysan.trace.topology import Topology, parse_topology, read_topology, topology_file
from tests.clitools import paper_trace, run_cli
from tests.copies import changed
from tests.tracebuilder import TraceBuilder, decode_loop

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
        ("GPU0 X NV0\nGPU1 NV0 X\nLink 0: 0 GB/s\nLink 1: 0.000 GB/s", Topology([(0, 1, "NV0")], [], 2)),
    ],
    ids=("rows", "links", "square", "word", "row", "digits", "speed", "escape", "none"),
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


@pytest.mark.parametrize(
    ("told", "kept"), [("0", None), ("99999", None), ("4", "4"), ("x", "x"), ("9" * 5_000, "9" * 5_000)]
)
def test_polars_is_told_a_number_of_threads_that_it_can_begin(
    monkeypatch: pytest.MonkeyPatch, told: str, kept: str | None
) -> None:
    monkeypatch.setenv("POLARS_MAX_THREADS", told)
    settle()
    assert os.environ.get("POLARS_MAX_THREADS") == kept


def test_what_a_terminal_obeys_or_nobody_sees_is_replaced() -> None:
    odd = "\x1b\x9b\x7f\u202e\u2066\u200f\u200e\u061c\u200b\u2060\ufeff\udcff"
    assert plain(f"a{odd}b") == f"a{'?' * len(odd)}b"
    assert plain("a\r\n\v\u2028b \u0639\u200c") == "a b \u0639\u200c"


@pytest.mark.parametrize("bound", ["NCCL_BYTES", "NCCL_LINES"])
def test_a_log_is_redacted_within_what_is_read_of_one(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    log = tmp_path / "big.log"
    log.write_text("host1:1:1 [0] NCCL INFO cudaDriverVersion 12080\n" * 20)
    assert run_cli(capsys, "redact", log, "-o", tmp_path / "clean.log").code == 0
    assert "host1" not in (tmp_path / "clean.log").read_text()
    monkeypatch.setattr(logs, bound, 19)
    done = run_cli(capsys, "redact", log, "-o", tmp_path / "more.log")
    assert (done.code, "larger than what a report reads of a log" in done.err) == (ExitCode.DAMAGED, True)
    assert done.err.count("\n") == 1


def test_a_pipe_is_no_note_of_what_is_held(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(".srv.hold")
    done = run_cli(capsys, "window", "open", "srv")
    assert (done.code, "it is no file" in done.err) == (ExitCode.DAMAGED, True)


def test_messages_of_the_profiler_are_one_line(tmp_path: Path, capsys: Capsys) -> None:
    builder = TraceBuilder()
    (process, *_) = decode_loop(builder)
    builder.diagnostic("Not all CUDA events might have been collected.a\r\n\x1b[1mb\u2028c", process=process)
    done = run_cli(capsys, "report", "-v", builder.write(tmp_path / "t.sqlite"), "-o", tmp_path / "o.html")
    assert "collected.a ?[1mb c" in " ".join(done.out.split())
    assert "\r" not in done.out


def test_a_folder_is_no_name_of_what_is_held(capsys: Capsys) -> None:
    for name in (".", "..", "/"):
        done = run_cli(capsys, "window", "open", name)
        assert (done.code, done.err) == (ExitCode.NO_SUCH_FILE, f"nsysan: {name}: is a folder; name the trace\n")


@pytest.mark.parametrize(("names", "why"), [(["id", "id"], "duplicate column"), (None, "too many columns")])
def test_a_table_that_sqlite_cannot_hold_is_not_redacted(
    tmp_path: Path, capsys: Capsys, names: list[str] | None, why: str
) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    columns = names or [f"c{n}" for n in range(2_001)]
    table = pa.table([pa.array([1])] * len(columns), names=columns)
    with pa.ipc.new_stream(str(folder / "StringIds.arrow"), table.schema) as writer:
        writer.write_table(table)
    shutil.copyfile(folder / "StringIds.arrow", folder / "NVTX_EVENTS.arrow")
    done = run_cli(capsys, "redact", folder, "-o", tmp_path / "clean")
    assert (done.code, why in done.err, done.err.count("\n")) == (ExitCode.DAMAGED, True, 1)
    assert sorted(os.listdir(tmp_path)) == ["tables"]


def test_a_stream_for_each_kernel_is_not_replayed(tmp_path: Path, capsys: Capsys) -> None:
    # As many pairs of streams as their number squared; a program has dozens.
    trace = paper_trace(tmp_path / "t.sqlite", ranks=2, steps=90)
    changed(trace, "UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET streamId = rowid")
    done = run_cli(capsys, "report", trace, "--json", tmp_path / "o.json", "-q")
    assert done.code == 0
    told = json.loads((tmp_path / "o.json").read_text())
    assert {row["id"] for row in told["quality"] if row["status"] == "not_measurable"} >= {"straggler", "what_if"}
