"""`nsysan report`: what it says, writes and refuses, and that it leaves the trace alone."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import nsysan
from nsysan import ExitCode
from nsysan.capture import nsys as nsys_module
from nsysan.report.document import SCHEMA
from tests.clitools import graph_level_trace, paper_trace, run_cli
from tests.documents import held
from tests.fakensys import fake_nsys
from tests.nccllogs import write_logs
from tests.tracebuilder import COMPUTE_KERNEL, TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]

FIGURES = (
    "period_ns",
    "compute_ns",
    "fused_ns",
    "wait_ns",
    "wire_ns",
    "comm_unsplit_ns",
    "copy_ns",
    "idle_ns",
    "comm_ns",
    "overlap_ns",
    "pdl_trimmed_ns",
    "collectives",
)
LEDGER_LINES = (
    "compute_ns",
    "fused_ns",
    "wait_ns",
    "wire_ns",
    "comm_unsplit_ns",
    "copy_ns",
    "graph_ns",
    "idle_ns",
)
PER_KERNEL = ("compute_ns", "fused_ns", "wait_ns", "wire_ns", "comm_unsplit_ns", "comm_ns", "overlap_ns", "collectives")


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ledger_rows(text: str) -> list[list[str]]:
    lines = text.splitlines()
    header = next(i for i, line in enumerate(lines) if line.split()[:2] == ["rank", "period"])
    rows: list[list[str]] = [lines[header].split()]
    for line in lines[header + 1 :]:
        if not line[:1].isdigit():
            break
        rows.append(line.split())
    return rows


# ---- what it says


def test_summary_accounts_for_the_paper_trace(tmp_path: Path, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", paper_trace(tmp_path / "paper.sqlite"), "-v")

    assert result.code == 0
    assert result.err == ""
    assert "trace     paper.sqlite" in result.out
    assert f"nsysan {nsysan.__version__}" in result.out
    assert "nsys 2025.3.2.0 (schema 3.20.3)" in result.out
    assert "4 ranks on 4 x NVIDIA H200" in result.out
    assert "4 by NVTX ranges 'decode_step_#'" in result.out
    assert "left out: step 0 (start-up" in result.out
    assert "44.0 µs a step" in result.out
    assert ledger_rows(result.out) == [
        ["rank", "period", "compute", "wait", "wire", "idle", "comm", "overlap"],
        ["0", "44.0", "20.0", "6.0", "16.0", "2.0", "22.0", "0.0"],
        ["1", "44.0", "26.0", "0.0", "16.0", "2.0", "16.0", "0.0"],
        ["2", "44.0", "20.0", "6.0", "16.0", "2.0", "22.0", "0.0"],
        ["3", "44.0", "20.0", "6.0", "16.0", "2.0", "22.0", "0.0"],
    ]
    assert "2 a step  all_reduce of 8 KiB over 4 ranks: 6 of 6 calls matched" in result.out
    assert "wrote paper.html" in result.out


def test_one_rank_says_that_waiting_and_transfer_cannot_be_told_apart(tmp_path: Path, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", paper_trace(tmp_path / "one.sqlite", ranks=1), "-v")

    assert result.code == 0
    assert "wait_wire (not measurable)" in result.out
    assert "1 rank on 1 x" in result.out
    assert "over 1 rank:" in result.out
    header, row = ledger_rows(result.out)
    assert "wait" not in header
    assert "wire" not in header
    assert row[header.index("comm_unsplit")] == "16.0"


def test_lookalike_is_named_with_its_share(tmp_path: Path, capsys: Capsys) -> None:
    builder = TraceBuilder()
    for process in decode_loop(builder, ranks=2):
        process.kernel("my_custom_allreduce_kernel", 2_000_000, 2_010_000)
    result = run_cli(capsys, "report", builder.write(tmp_path / "t.sqlite"), "-v")

    line = next(line for line in result.out.splitlines() if line.startswith("  my_custom_allreduce_kernel"))
    # 2 x 10 us beside 2 ranks x 4 steps x 36 us of other kernels.
    assert "2 calls, 6.5 % of kernel time" in line


def test_without_ranges_steps_fall_back_and_the_summary_says_how(tmp_path: Path, capsys: Capsys) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=2, steps=8, nvtx=False, message_bytes=None)
    trace = builder.write(tmp_path / "t.sqlite", drop_tables=["NVTX_EVENTS"])
    result = run_cli(capsys, "report", trace, "-v")

    assert result.code == 0
    assert "by the repeating sequence of kernels" in result.out
    assert "message_bytes (not measurable)" in result.out


def test_steps_option_overrides_the_ranges_that_are_known(tmp_path: Path, capsys: Capsys) -> None:
    builder = TraceBuilder()
    for process in decode_loop(builder, ranks=2, ahead=False):
        for pair in range(2):
            begin = 1_000_000 + pair * 2 * 38_000
            process.nvtx(f"my pair {pair}", begin - 12_000, begin + 60_000)
    trace = builder.write(tmp_path / "t.sqlite")
    result = run_cli(capsys, "report", trace, "--steps", "^my pair", "--json", "-")

    document = held(result.out)
    assert "'my pair #'" in document["steps"]["source"]
    assert document["steps"]["count"] == 2
    assert document["per_step"][0]["period_ns"] == 2 * 38_000


def test_no_nvtx_leaves_ranges_aside(tmp_path: Path, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), "--no-nvtx", "--json", "-")
    assert held(result.out)["steps"]["method"] == "period"


# ---- what it writes


def test_html_goes_to_the_working_directory_by_default(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "traces").mkdir()
    (tmp_path / "here").mkdir()
    trace = paper_trace(tmp_path / "traces" / "run.of.today.sqlite")
    monkeypatch.chdir(tmp_path / "here")
    assert run_cli(capsys, "report", trace).code == 0

    assert os.listdir(tmp_path / "here") == ["run.of.today.html"]
    assert os.listdir(tmp_path / "traces") == ["run.of.today.sqlite"]
    assert (tmp_path / "here" / "run.of.today.html").read_text("utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("kind", ["paper", "one_rank"])
def test_json_is_as_its_schema_says_and_its_ledger_closes(tmp_path: Path, capsys: Capsys, kind: str) -> None:
    trace = paper_trace(tmp_path / "t.sqlite", ranks=4 if kind == "paper" else 1)
    result = run_cli(capsys, "report", trace, "--json", "out.json")

    assert result.code == 0
    assert sorted(os.listdir(tmp_path)) == ["out.json", "t.sqlite"]
    document = held((tmp_path / "out.json").read_text("utf-8"))
    assert document["schema"] == SCHEMA
    assert len(document["per_step"]) == (16 if kind == "paper" else 4)
    for row in document["per_step"]:
        assert sum(row[line] or 0 for line in LEDGER_LINES) == row["period_ns"]
    if kind == "one_rank":
        assert {(row["wait_ns"], row["wire_ns"]) for row in document["per_step"]} == {(None, None)}


def test_json_holds_the_paper_traces_figures_in_ns(tmp_path: Path, capsys: Capsys) -> None:
    document = held(run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), "--json", "-").out)

    late = next(row for row in document["per_rank"] if row["rank"] == 1)
    assert {name: late[name] for name in FIGURES} == {
        "period_ns": 44_000,
        "compute_ns": 26_000,
        "fused_ns": 0,
        "wait_ns": 0,
        "wire_ns": 16_000,
        "comm_unsplit_ns": 0,
        "copy_ns": 0,
        "idle_ns": 2_000,
        "comm_ns": 16_000,
        "overlap_ns": 0,
        "pdl_trimmed_ns": 0,
        "collectives": 2,
    }
    (family,) = document["collectives"]
    assert (family["bytes"], family["ranks"], family["count"], family["matched"]) == (8192, 4, 6, 6)
    assert family["wire_ns"] == {"p50": 8_000, "p95": 8_000, "p99": 8_000, "max": 8_000}
    assert family["wait_ns"]["max"] == 3_000
    assert document["steps"]["excluded"] == [{"step": 0, "reason": "start-up: first of the capture"}]
    assert [rank["rank_source"] for rank in document["ranks"]] == ["NCCL CommInit"] * 4


@pytest.mark.parametrize("name", ["tp4_slow", "tp4_fused", "tp4_graph_node", "tp4_graph_graph", "rank_2"])
def test_ledger_of_real_traces_closes_in_the_document(
    capsys: Capsys, real_trace: Callable[[str], Path], name: str
) -> None:
    document = held(run_cli(capsys, "report", real_trace(name), "--json", "-").out)
    assert {row["rank"] for row in document["per_step"]} == {rank["rank"] for rank in document["ranks"]}
    for row in document["per_step"]:
        assert sum(row[line] or 0 for line in LEDGER_LINES) == row["period_ns"]


def test_json_to_stdout_is_nothing_but_json(tmp_path: Path, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), "--json", "-")

    assert isinstance(held(result.out), dict)
    assert result.err == ""
    assert os.listdir(tmp_path) == ["t.sqlite"]


def test_json_to_stdout_beside_html(tmp_path: Path, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), "--json", "-", "-o", "p.html")
    assert isinstance(held(result.out), dict)
    assert (tmp_path / "p.html").exists()


def test_quiet_prints_nothing_but_writes(tmp_path: Path, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), "-q", "-o", "p.html", "--json", "p.json")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert sorted(os.listdir(tmp_path)) == ["p.html", "p.json", "t.sqlite"]


def test_output_is_as_readable_as_the_users_other_files(tmp_path: Path, capsys: Capsys) -> None:
    before = os.umask(0o027)
    try:
        run_cli(capsys, "report", paper_trace(tmp_path / "t.sqlite"), "-o", "p.html")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "p.html").stat().st_mode) == 0o640


# ---- graph-level tracing


@pytest.fixture(params=["generated", "tp4_graph_graph"])
def graph_level(request: pytest.FixtureRequest, tmp_path: Path, real_trace: Callable[[str], Path]) -> Path:
    name = str(request.param)
    return graph_level_trace(tmp_path / "g.sqlite") if name == "generated" else real_trace(name)


def test_graph_level_replays_are_busy_and_their_contents_unknown(graph_level: Path, capsys: Capsys) -> None:
    result = run_cli(capsys, "report", graph_level, "--json", "out.json", "-o", "out.html", "-v")

    assert result.code == 0
    assert "--cuda-graph-trace=node" in result.out
    assert "idle 100" not in result.out
    assert "compute 0.0 %" not in result.out
    # What launches the replays one by one is no tracing overhead of kernels.
    assert "kernels are launched one by one" not in result.out
    document = held(Path("out.json").read_text("utf-8"))
    assert [source["graph_trace"] for source in document["inputs"]] == ["graph"]
    for row in (*document["per_step"], *document["per_rank"]):
        assert row["graph_ns"] > 0
        assert row["graph_ns"] > row["idle_ns"]
        assert {name: row[name] for name in PER_KERNEL} == dict.fromkeys(PER_KERNEL)
    status = {row["id"]: row["status"] for row in document["quality"]}
    assert status["graph_contents"] == "not_measurable"
    assert status["wait_wire"] == "not_measurable"
    assert "--cuda-graph-trace=node" in Path("out.html").read_text("utf-8")


# ---- what it refuses


def check_refused(capsys: Capsys, code: ExitCode, hint: str, *arguments: str | Path, command: str = "report") -> None:
    """One line on stderr that holds the hint, the exit code, and nothing else."""
    result = run_cli(capsys, command, *arguments)
    assert result.out == ""
    assert result.err.startswith("nsysan: "), result.err
    assert result.err.count("\n") == 1, result.err
    assert result.err.endswith("\n")
    assert "Traceback" not in result.err
    assert hint in result.err
    assert result.code == code


def missing(folder: Path) -> Path:
    return folder / "missing.sqlite"


def a_folder(folder: Path) -> Path:
    path = folder / "folder.sqlite"
    path.mkdir()
    return path


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "t.sqlite"


def text_file(folder: Path) -> Path:
    path = folder / "text.sqlite"
    path.write_text("This is not a database.\n" * 100)
    return path


def other_database(folder: Path) -> Path:
    path = folder / "other.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    return path


def empty_file(folder: Path) -> Path:
    path = folder / "empty.sqlite"
    path.touch()
    return path


def without_kernels(folder: Path) -> Path:
    builder = TraceBuilder()
    process = builder.process(1)
    process.nvtx("decode_step_0", 0, 1_000)
    process.memcpy(100_000, 101_000)
    builder.diagnostic("No CUDA events collected.\nDoes the process use CUDA?", process=process)
    return builder.write(folder / "idle.sqlite")


def pages_of_garbage(folder: Path) -> Path:
    path = paper_trace(folder / "garbage.sqlite")
    data = path.read_bytes()
    path.write_bytes(data[:4096] + random.Random(1).randbytes(len(data) - 4096))
    return path


def schema_of_garbage(folder: Path) -> Path:
    path = paper_trace(folder / "schema.sqlite")
    data = path.read_bytes()
    assert b"CREATE TABLE" in data
    # SQLite quotes the bad word in its message, and that is not UTF-8.
    path.write_bytes(data.replace(b"CREATE TABLE", b"CREATE T\xa9BLE"))
    return path


def interrupted_export(folder: Path) -> Path:
    path = paper_trace(folder / "half.sqlite")
    path.with_name("half.sqlite-journal").write_bytes(b"x")
    return path


BAD_INPUTS: tuple[tuple[Callable[[Path], Path], ExitCode, str], ...] = (
    (missing, ExitCode.NO_SUCH_FILE, "no such file"),
    (a_folder, ExitCode.NO_SUCH_FILE, "is a folder"),
    (below_a_file, ExitCode.NO_SUCH_FILE, "cannot be read"),
    (text_file, ExitCode.NOT_SQLITE, "nsys export --type sqlite"),
    (other_database, ExitCode.NOT_NSYS, "nsys export --type sqlite"),
    (empty_file, ExitCode.DAMAGED, "export it again"),
    (pages_of_garbage, ExitCode.DAMAGED, "copy it again, or export it again"),
    (schema_of_garbage, ExitCode.DAMAGED, "copy it again, or export it again"),
    (interrupted_export, ExitCode.DAMAGED, "export it again"),
)


@pytest.mark.parametrize("command", ["report", "info"])
@pytest.mark.parametrize(("make", "code", "hint"), BAD_INPUTS)
def test_bad_input(
    tmp_path: Path, capsys: Capsys, command: str, make: Callable[[Path], Path], code: ExitCode, hint: str
) -> None:
    path = make(tmp_path)
    before = sorted(os.listdir(tmp_path))
    check_refused(capsys, code, hint, path, command=command)
    check_refused(capsys, code, str(path), path, command=command)
    assert sorted(os.listdir(tmp_path)) == before


def test_no_kernels(tmp_path: Path, capsys: Capsys) -> None:
    path = without_kernels(tmp_path)
    check_refused(capsys, ExitCode.NOTHING_TO_ANALYSE, "--trace=cuda,nvtx", path)
    check_refused(capsys, ExitCode.NOTHING_TO_ANALYSE, str(path), path)
    check_refused(capsys, ExitCode.NOTHING_TO_ANALYSE, "No CUDA events collected. Does the process", path)


@pytest.mark.parametrize("kept", [1, 15, 16, 50, 99, 100, 4_096, 10_000, 0.5, -1])
def test_cut_off_at_any_length(tmp_path: Path, capsys: Capsys, kept: float) -> None:
    path = paper_trace(tmp_path / "cut.sqlite")
    data = path.read_bytes()
    length = int(kept * len(data)) if 0 < kept < 1 else int(kept) % len(data)
    path.write_bytes(data[:length])
    # Shorter than SQLite's own mark, it could be anything.
    code = ExitCode.NOT_SQLITE if length < 16 else ExitCode.DAMAGED
    check_refused(capsys, code, str(path), path)
    check_refused(capsys, code, "nsys export" if length < 16 else "copy it again", path)


@pytest.mark.parametrize("seed", range(12))
def test_garbage_in_one_page_is_an_answer_or_one_line(tmp_path: Path, capsys: Capsys, seed: int) -> None:
    path = paper_trace(tmp_path / "t.sqlite", ranks=2)
    data = bytearray(path.read_bytes())
    rng = random.Random(seed)
    page = rng.randrange(1, len(data) // 4096)
    data[page * 4096 : (page + 1) * 4096] = rng.randbytes(4096)
    path.write_bytes(data)
    result = run_cli(capsys, "report", path, "-q", "-o", "out.html")
    if result.code == 0:
        assert Path("out.html").exists()
    else:
        assert result.code in {ExitCode.DAMAGED, ExitCode.NOTHING_TO_ANALYSE}
        assert result.err.startswith(f"nsysan: {path}: ")
        assert result.err.count("\n") == 1


@pytest.mark.parametrize("suffix", [".nsys-rep", ".qdrep"])
def test_recording_without_nsys(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("NSYSAN_NSYS", "")
    monkeypatch.setattr(nsys_module, "_INSTALLED", ())
    path = tmp_path / f"run{suffix}"
    path.write_bytes(b"\0" * 64)
    check_refused(capsys, ExitCode.NEEDS_EXPORT, f"-o run.sqlite run{suffix}", path)
    check_refused(capsys, ExitCode.NEEDS_EXPORT, str(path), path)
    check_refused(capsys, ExitCode.NO_SUCH_FILE, "no such file", tmp_path / f"none{suffix}")


def test_a_recording_is_read_with_the_logs_beside_it(
    tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = tmp_path / "export.sqlite"
    builder = TraceBuilder()
    decode_loop(builder, ranks=2, message_bytes=8192)
    builder.write(export)
    monkeypatch.setenv("NSYSAN_NSYS", str(fake_nsys(tmp_path, "2025.3.1", export=export)))
    recording = tmp_path / "run.nsys-rep"
    recording.write_bytes(b"recording")
    write_logs(tmp_path / "run.sqlite", 2)
    result = run_cli(capsys, "report", recording, "--json", "-")
    assert result.code == 0
    assert json.loads(result.out)["nccl"]["version"]
    assert not (tmp_path / "run.sqlite").exists()


def test_steps_that_match_nothing(tmp_path: Path, capsys: Capsys) -> None:
    path = paper_trace(tmp_path / "t.sqlite")
    check_refused(capsys, ExitCode.NO_STEPS, "'decode_step_#'", path, "--steps", "^prefill")
    check_refused(capsys, ExitCode.NO_STEPS, str(path), path, "--steps", "^prefill")
    check_refused(capsys, ExitCode.NO_STEPS, "not a regular expression", path, "--steps", "(")
    assert os.listdir(tmp_path) == ["t.sqlite"]


@pytest.mark.parametrize("option", ["-o", "--json"])
def test_output_that_cannot_be_written(tmp_path: Path, capsys: Capsys, option: str) -> None:
    path = paper_trace(tmp_path / "t.sqlite")
    unwritable = ExitCode.OUTPUT_UNWRITABLE
    (tmp_path / "folder").mkdir()
    check_refused(capsys, unwritable, "create it first", path, option, tmp_path / "none" / "out.html")
    check_refused(capsys, unwritable, "none/out.html", path, option, tmp_path / "none" / "out.html")
    check_refused(capsys, unwritable, "folder: is a folder", path, option, tmp_path / "folder")
    check_refused(capsys, unwritable, "folder: is a folder", path, option, tmp_path / "folder", "--force")
    assert sorted(os.listdir(tmp_path)) == ["folder", "t.sqlite"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_output_folder_without_permission(tmp_path: Path, capsys: Capsys) -> None:
    path = paper_trace(tmp_path / "t.sqlite")
    (tmp_path / "locked").mkdir(mode=0o500)
    check_refused(capsys, ExitCode.OUTPUT_UNWRITABLE, "not writable", path, "-o", tmp_path / "locked" / "out.html")


@pytest.mark.parametrize("option", ["-o", "--json"])
def test_output_that_exists_is_kept_without_force(tmp_path: Path, capsys: Capsys, option: str) -> None:
    path = paper_trace(tmp_path / "t.sqlite")
    (tmp_path / "out").write_text("precious")
    check_refused(capsys, ExitCode.OUTPUT_EXISTS, "--force", path, option, "out")
    assert (tmp_path / "out").read_text() == "precious"

    assert run_cli(capsys, "report", path, option, "out", "--force").code == 0
    assert "precious" not in (tmp_path / "out").read_text("utf-8")
    assert sorted(os.listdir(tmp_path)) == ["out", "t.sqlite"]


@pytest.mark.parametrize("option", ["-o", "--json"])
def test_force_never_replaces_the_trace_itself(tmp_path: Path, capsys: Capsys, option: str) -> None:
    path = paper_trace(tmp_path / "t.sqlite")
    (tmp_path / "link").symlink_to(path)
    data = path.read_bytes()
    for name in ("t.sqlite", "link"):
        check_refused(capsys, ExitCode.OUTPUT_UNWRITABLE, "is the trace itself", path, option, name, "--force")
    assert path.read_bytes() == data


def test_force_never_replaces_what_is_no_file(tmp_path: Path, capsys: Capsys) -> None:
    path = paper_trace(tmp_path / "t.sqlite")
    os.mkfifo(tmp_path / "pipe")
    check_refused(capsys, ExitCode.OUTPUT_UNWRITABLE, "name a file", path, "-o", "pipe", "--force")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_one_file_for_html_and_json_is_a_usage_error(tmp_path: Path, capsys: Capsys) -> None:
    path = paper_trace(tmp_path / "t.sqlite")
    result = run_cli(capsys, "report", path, "-o", "out", "--json", "./out", "--force")
    assert result.code == 2
    assert "-o and --json both name out" in result.err
    assert os.listdir(tmp_path) == ["t.sqlite"]


def test_errors_look_the_same_in_a_process_of_their_own(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "nsysan", "report", "none.sqlite"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert result.returncode == ExitCode.NO_SUCH_FILE
    assert (result.stdout, result.stderr) == ("", "nsysan: none.sqlite: no such file\n")


def test_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    odd = os.fsencode(tmp_path) + b"/caf\xe9.sqlite"
    os.rename(trace, odd)
    for arguments in ([b"report", odd, b"-o", b"o.html"], [b"report", odd, b"--json", b"-"], [b"info", odd]):
        result = subprocess.run(
            [sys.executable, "-m", "nsysan", *arguments], capture_output=True, check=False, cwd=tmp_path
        )
        assert (result.returncode, result.stderr) == (0, b"")


def test_json_survives_a_terminal_without_unicode(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(4):
        process.kernel("всё_reduce_kernel", 100_000 * step, 100_000 * step + 9_000)
    trace = builder.write(tmp_path / "t.sqlite")
    result = subprocess.run(
        [sys.executable, "-m", "nsysan", "report", str(trace), "--json", "-"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert isinstance(held(result.stdout.decode("ascii")), dict)


# ---- the trace is left alone


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("arguments", [("report", "-o", "{out}"), ("info",), ("info", "--json")])
def test_trace_and_its_folder_stay_as_they_are(
    tmp_path: Path, capsys: Capsys, journal: str, arguments: tuple[str, ...]
) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    trace = paper_trace(folder / "t.sqlite")
    with closing(sqlite3.connect(trace)) as connection:
        assert connection.execute(f"PRAGMA journal_mode = {journal}").fetchone() == (journal,)
    data, times = trace.read_bytes(), trace.stat().st_mtime_ns
    command, *options = (argument.format(out=tmp_path / "out.html") for argument in arguments)
    assert run_cli(capsys, command, trace, *options).code == 0

    assert trace.read_bytes() == data
    assert trace.stat().st_mtime_ns == times
    assert os.listdir(folder) == ["t.sqlite"]


def test_trace_without_write_permission(tmp_path: Path, capsys: Capsys) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    trace = paper_trace(folder / "t.sqlite")
    trace.chmod(0o400)
    folder.chmod(0o500)
    try:
        result = run_cli(capsys, "report", trace, "-q", "-o", "out.html")
    finally:
        folder.chmod(0o700)
    assert result.code == 0


def test_same_figures_whatever_the_order_of_rows(tmp_path: Path, capsys: Capsys) -> None:
    builder = TraceBuilder()
    decode_loop(builder, late={2: 5_000})
    builder.process(7).kernel(COMPUTE_KERNEL, 3_000_000, 3_001_000)
    texts = []
    for seed in (None, 1, 2):
        trace = builder.write(tmp_path / "t.sqlite", shuffle=seed)
        texts.append(run_cli(capsys, "report", trace, "--json", "-").out)
    assert texts[0] == texts[1] == texts[2]


def test_copied_trace_gives_the_same_page(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    (tmp_path / "elsewhere").mkdir()
    copy = Path(shutil.copy(trace, tmp_path / "elsewhere" / "t.sqlite"))
    run_cli(capsys, "report", trace, "-o", "a.html")
    run_cli(capsys, "report", copy, "-o", "b.html")
    page = Path("a.html").read_text("utf-8")
    assert page == Path("b.html").read_text("utf-8")
    assert str(tmp_path) not in page
