"""How a capture ends: with a stand-in for nsys that fails on request, and with the real one where there is one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.capture.desk import WRITTEN, Desk, desk_in, finished, until, workload
from tests.fakensys import fake_nsys

# --- with the stand-in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [("", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)],
    ids=["0", "3", "killed"],
)
def test_exit_code_is_that_of_the_workload(desk: Desk, export: Path, code: str, expected: int) -> None:
    ended = desk.capture(*workload(code))
    assert ended.code == expected
    assert desk.files() == WRITTEN
    assert (desk.folder / "trace.sqlite").read_bytes() == export.read_bytes()
    assert "nsysan: wrote trace.nsys-rep" in ended.err
    assert ended.err.endswith("nsysan: next: nsysan report trace.sqlite\n")


def test_stdout_is_the_workloads_alone(desk: Desk) -> None:
    ended = desk.capture(*workload("import sys; print('out'); print('err', file=sys.stderr)"))
    assert ended.out == "out\n"
    assert "err\n" in ended.err


def test_quiet_says_only_what_failed(desk: Desk) -> None:
    ended = desk.capture("-q", "--tp", "5", *workload(""))
    assert (ended.code, ended.out) == (0, "")
    assert [line.split(":")[0] for line in ended.err.splitlines()] == ["  warn  ranks", "  warn  perturbation"]


def test_environment_of_the_workload(desk: Desk) -> None:
    ended = desk.capture("-e", "A=b=c d", *workload("import os; print(os.environ['A'])"))
    assert ended.out == "b=c d\n"


def test_names_with_spaces_and_signs(desk: Desk) -> None:
    (desk.folder / "two words").mkdir()
    ended = desk.capture("-o", "two words/run #1 50%% ?.sqlite", *workload(""))
    assert ended.code == 0
    written = sorted(path.name for path in (desk.folder / "two words").iterdir())
    assert written == ["run #1 50% ?.nsys-rep", "run #1 50% ?.sqlite"]
    assert ended.err.endswith("nsysan report 'two words/run #1 50% ?.sqlite'\n")


def test_each_rank_of_a_launcher_writes_its_own(desk: Desk) -> None:
    desk.environment |= {"RANK": "1", "WORLD_SIZE": "2"}
    ended = desk.capture("-o", "r%n.sqlite", *workload(""))
    assert desk.files() == ["r1_rank_1.nsys-rep", "r1_rank_1.sqlite"]
    assert "ranks: 4 with GPU work, 1 expected" in ended.err
    # What comes next is said once.
    assert "next:" not in ended.err
    desk.environment |= {"RANK": "0"}
    said = desk.capture("-o", "r 1", *workload("")).err
    assert said.endswith("nsysan: next, once all 2 are done: nsysan report 'r 1'_rank_*.sqlite\n")


def test_a_rank_needs_the_name_of_a_trace_too(desk: Desk) -> None:
    desk.environment |= {"RANK": "1", "WORLD_SIZE": "2"}
    for name in ("", ".", "..", "runs/", "./"):
        ended = desk.capture("-o", name, *workload(""))
        assert (ended.code, desk.files()) == (2, [])
        assert "-o takes the name of a trace, not of a folder" in ended.err


@pytest.mark.parametrize("existing", WRITTEN)
def test_existing_files_stay(desk: Desk, existing: str) -> None:
    (desk.folder / existing).write_text("precious")
    ended = desk.capture(*workload("open('ran', 'w')"))
    assert (ended.code, desk.files()) == (9, [existing])
    assert f"nsysan: {existing}: exists already; pass --force-overwrite" in ended.err
    assert (desk.folder / existing).read_text() == "precious"
    assert desk.capture("-f", *workload("")).code == 0
    assert desk.files() == WRITTEN
    assert (desk.folder / existing).read_bytes() != b"precious"


def test_numbered_files_of_an_earlier_repeat_stay(desk: Desk) -> None:
    (desk.folder / "trace.2.sqlite").write_text("precious")
    repeat = ("-c", "cudaProfilerApi", "--capture-range-end", "repeat:2", *workload(""))
    assert desk.capture(*repeat, behaviour="two ranges").code == 9
    assert desk.files() == ["trace.2.sqlite"]


def test_reports_that_nobody_numbered_take_free_numbers(desk: Desk) -> None:
    (desk.folder / "trace.1.sqlite").write_text("precious")
    assert desk.capture(*workload(""), behaviour="two ranges").code == 0
    new = [f"trace.{number}.{suffix}" for number in (2, 3) for suffix in ("nsys-rep", "sqlite")]
    assert desk.files() == ["trace.1.sqlite", *new]
    assert (desk.folder / "trace.1.sqlite").read_text() == "precious"


def test_a_page_that_exists_is_seen_before_the_workload_runs(desk: Desk) -> None:
    (desk.folder / "trace.html").write_text("precious")
    ended = desk.capture("--report", *workload("open('ran', 'w')"))
    assert (ended.code, desk.files()) == (9, ["trace.html"])


def test_report_is_written_too(desk: Desk) -> None:
    ended = desk.capture("--report", *workload("raise SystemExit(3)"))
    assert (ended.code, desk.files()) == (3, ["trace.html", *WRITTEN])


def test_a_capture_to_the_same_name_is_refused(desk: Desk) -> None:
    (desk.folder / ".trace.capture").mkdir()
    ended = desk.capture(*workload("open('ran', 'w')"))
    assert (ended.code, desk.files()) == (9, [".trace.capture"])
    assert "a capture to this name is running, or was killed" in ended.err


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("nowhere/t", "there is no folder nowhere"),
        ("nsys/t", "there is no folder nsys"),
        ("/proc/t", "cannot be written: No such file"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_output_that_cannot_be_written(desk: Desk, output: str, why: str) -> None:
    ended = desk.capture("-o", output, *workload("open('ran', 'w')"))
    assert (ended.code, desk.files()) == (10, [])
    assert why in ended.err
    assert "Traceback" not in ended.err


def test_no_nsys(desk: Desk) -> None:
    for named in ("./nsys", "/", "true"):
        ended = desk.capture("--nsys", named, *workload(""))
        assert ended.code == 20
        assert f"nsysan: {named}: named by --nsys, but is no nsys that runs here" in ended.err
    assert desk.files() == []


def test_no_report(desk: Desk) -> None:
    ended = desk.capture(*workload("raise SystemExit(3)"), behaviour="nothing")
    assert (ended.code, desk.files()) == (21, [])
    assert "no report came back; nsys ended with exit code 3" in ended.err


def test_no_such_command(desk: Desk) -> None:
    for options in ((), ("-c", "cudaProfilerApi")):
        ended = desk.capture(*options, "--", "/no/such/command")
        assert (ended.code, desk.files()) == (21, [])
        assert "nsysan: /no/such/command: no such command" in ended.err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("-c", "cudaProfilerApi"), "the workload never called cudaProfilerStart"),
        (("-p", "decode@*"), "NVTX range 'decode@*' never began"),
    ],
)
def test_range_never_opened(desk: Desk, options: tuple[str, ...], why: str) -> None:
    ended = desk.capture(*options, *workload("raise SystemExit(3)"), behaviour="nothing")
    assert (ended.code, desk.files()) == (22, [])
    assert why in ended.err
    assert "the workload ended with exit code 3" in ended.err


def test_export_failed_keeps_the_recording_and_no_stale_export(desk: Desk) -> None:
    (desk.folder / "trace.sqlite").write_text("of an older recording")
    ended = desk.capture("-f", *workload(""), behaviour="export fails")
    assert (ended.code, desk.files()) == (23, ["trace.nsys-rep"])
    assert "could not export it: Importer error status: broken." in ended.err


def test_an_export_that_is_no_database(desk: Desk, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"no database" * 100)
    fake_nsys(tmp_path, export=damaged)
    ended = desk.capture(*workload(""))
    assert (ended.code, desk.files()) == (23, ["trace.nsys-rep"])
    assert ended.err.splitlines()[-1].endswith("cannot be read, which was removed: file is not a database")


def test_nsys_died_and_its_report_is_rescued(desk: Desk) -> None:
    ended = desk.capture("--kill-after", "0", *workload(_DEAF), behaviour="dies")
    assert (ended.code, [name for name in desk.files() if name.startswith("trace")]) == (24, WRITTEN)
    assert "signal SIGKILL ended nsys; the report was saved" in ended.err
    assert list(Path(desk.environment["TMPDIR"]).iterdir()) == []


def test_report_left_in_the_temporary_folder_is_rescued(desk: Desk) -> None:
    ended = desk.capture(*workload("raise SystemExit(3)"), behaviour="elsewhere")
    assert (ended.code, desk.files()) == (3, WRITTEN)
    assert "nsys left its report elsewhere; it was found and is kept" in ended.err
    assert list(Path(desk.environment["TMPDIR"]).iterdir()) == []


def test_reports_of_others_are_left_alone(desk: Desk) -> None:
    temporary = Path(desk.environment["TMPDIR"])
    (temporary / "nsys-report-old.nsys-rep").write_text("of an earlier run")
    waiting = "import os, time; open('started', 'w')\nwhile not os.path.exists('go'): time.sleep(0.02)"
    process = desk.start(*workload(waiting), behaviour="nothing")
    desk.wait_for("started")
    with (temporary / "nsys-report-open.qdstrm").open("w"):
        (desk.folder / "go").touch()
        assert finished(process).code == 21
    assert sorted(path.name for path in temporary.iterdir()) == ["nsys-report-old.nsys-rep", "nsys-report-open.qdstrm"]
    assert desk.files() == ["go", "started"]


def test_raw_stream_without_an_importer_stays_where_the_user_finds_it(desk: Desk) -> None:
    ended = desk.capture(*workload(""), behaviour="raw stream")
    assert (ended.code, desk.files()) == (21, [".trace.capture"])
    (stream,) = (desk.folder / ".trace.capture").iterdir()
    assert stream.suffix == ".qdstrm"
    assert "nsys left only raw data, in .trace.capture" in ended.err


def test_repeated_range_gives_numbered_reports(desk: Desk) -> None:
    repeat = ("-c", "cudaProfilerApi", "--capture-range-end", "repeat:2")
    ended = desk.capture(*repeat, *workload(""), behaviour="two ranges")
    assert ended.code == 0
    assert desk.files() == ["trace.1.nsys-rep", "trace.1.sqlite", "trace.2.nsys-rep", "trace.2.sqlite"]
    for number in (1, 2):
        assert (desk.folder / f"trace.{number}.nsys-rep").read_text().endswith(f"trace.{number}.nsys-rep")
    told = [line for line in ended.err.splitlines() if "next:" in line]
    assert told == [f"nsysan: next: nsysan report trace.{number}.sqlite" for number in (1, 2)]


RANGE = ("-c", "cudaProfilerApi")
SHUTDOWN = (*RANGE, "--capture-range-end", "stop-shutdown")


@pytest.mark.parametrize(
    ("options", "expected"),
    [((), 143), (RANGE, 143), (("-d", "1"), 0), (SHUTDOWN, 0)],
    ids=["plain", "stop", "duration", "stop-shutdown"],
)
def test_end_by_nsys_is_no_failure(desk: Desk, options: tuple[str, ...], expected: int) -> None:
    ended = desk.capture(*options, *workload(""), behaviour="ended at duration")
    assert (ended.code, desk.files()) == (expected, WRITTEN)
    assert ("that is not a failure" in ended.err) == (expected == 0)


@pytest.mark.parametrize("options", [RANGE, SHUTDOWN, ("-d", "60")], ids=["stop", "stop-shutdown", "duration"])
def test_a_workload_killed_from_elsewhere_is_a_failure(desk: Desk, options: tuple[str, ...]) -> None:
    assert desk.capture(*options, *workload("import os; os.kill(os.getpid(), 9)")).code == 137


_ON_SIGNALS = """
import signal, sys, time
def leave(number, frame):
    open("told", "w").write(str(number))
    sys.exit(5)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, leave)
open("started", "w")
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_the_workload_and_keeps_the_report(desk: Desk, number: signal.Signals) -> None:
    process = desk.start(*workload(_ON_SIGNALS))
    desk.wait_for("started")
    process.send_signal(number)
    assert finished(process).code == 128 + number
    # By Ctrl-\ it would dump its memory.
    told = signal.SIGINT if number == signal.SIGQUIT else number
    assert (desk.folder / "told").read_text() == str(int(told))
    assert desk.files() == ["started", "told", *WRITTEN]


_USES_SIGNALS = """
import os, signal, subprocess, sys, time
if os.path.exists("10"):
    sys.exit(0)
for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: open(str(int(number)), "w"))
child = subprocess.Popen(["sleep", "600"])
open("started", "w")
while not (os.path.exists("10") and os.path.exists("12")):
    time.sleep(0.02)
# The signals are for the command, whatever it started.
assert child.poll() is None
child.kill()
"""


@pytest.mark.parametrize("options", [(), ("--untraced-first",)], ids=["", "untraced"])
def test_signals_of_the_workloads_own_reach_it_and_end_nothing(desk: Desk, options: tuple[str, ...]) -> None:
    process = desk.start(*options, *workload(_USES_SIGNALS))
    desk.wait_for("started")
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        process.send_signal(number)
    assert finished(process).code == 0
    assert desk.files() == [str(int(signal.SIGUSR1)), str(int(signal.SIGUSR2)), "started", *WRITTEN]


def test_nohup_is_respected(desk: Desk) -> None:
    # The workload itself, which nsysan starts, ignores it just as it would without.
    ignores = "import os, signal, time; print(signal.getsignal(signal.SIGHUP).name, flush=True)"
    waiting = f"{ignores}; os.kill(os.getpid(), signal.SIGHUP); open('started', 'w')"
    process = desk.start(
        *workload(f"{waiting}\nwhile not os.path.exists('go'): time.sleep(0.02)"), ignored=[signal.SIGHUP]
    )
    desk.wait_for("started")
    process.send_signal(signal.SIGHUP)
    (desk.folder / "go").touch()
    ended = finished(process)
    assert (ended.code, ended.out) == (0, "SIG_IGN\n")
    assert desk.files() == ["go", "started", *WRITTEN]


def test_exit_code_is_known_where_ends_of_children_are_ignored(desk: Desk) -> None:
    process = desk.start(*workload("raise SystemExit(3)"), ignored=[signal.SIGCHLD])
    assert finished(process).code == 3


_DEAF = """
import signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: open("told", "w"))
open("started", "w")
while True:
    time.sleep(600)
"""


def test_a_second_signal_ends_everything(desk: Desk) -> None:
    process = desk.start(*workload(_DEAF))
    desk.wait_for("started")
    process.send_signal(signal.SIGINT)
    desk.wait_for("told")
    process.send_signal(signal.SIGINT)
    ended = finished(process)
    assert (ended.code, desk.files()) == (21, ["started", "told"])
    assert "interrupted before nsys could write a report" in ended.err
    assert desk.processes() == []


def test_a_deaf_workload_is_killed_after_the_grace(desk: Desk) -> None:
    process = desk.start("--kill-after", "3", *workload(_DEAF))
    desk.wait_for("started")
    process.send_signal(signal.SIGTERM)
    assert finished(process).code == 143
    assert desk.files() == ["started", "told", *WRITTEN]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_signal_during_the_export_leaves_the_recording_and_nothing_half_done(
    desk: Desk, number: signal.Signals
) -> None:
    process = desk.start(*workload(""), behaviour="export hangs")
    desk.wait_for(".trace.sqlite.part")
    # There is no workload any more to use it.
    process.send_signal(signal.SIGUSR1)
    process.send_signal(number)
    assert finished(process).code == 128 + number
    assert desk.files() == ["trace.nsys-rep"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((), "Missing argument 'COMMAND...'"),
        (("--",), "Missing argument 'COMMAND...'"),
        (("--nsys-agr", "x", "--", "true"), "No such option"),
        (("-o", ".", "true"), "-o takes the name of a trace, not of a folder"),
        (("-o", "", "true"), "-o takes the name of a trace, not of a folder"),
        (("-o", "..", "true"), "-o takes the name of a trace, not of a folder"),
        (("-o", "runs/", "true"), "-o takes the name of a trace, not of a folder"),
        (("-e", "A", "true"), "-e takes NAME=VALUE"),
        (("-e", "=A", "true"), "-e takes NAME=VALUE"),
        (("-c", "nvtx", "true"), "-c nvtx needs the range's name"),
        (("--capture-range-end", "none", "true"), "--capture-range-end needs a capture range"),
        (("--gpu-metrics", "python", "x.py"), "put -- before the command"),
        (("--gpu-metrics-frequency", "100", "true"), "--gpu-metrics-frequency needs --gpu-metrics"),
        (("-d", "0", "true"), "Invalid value for '-d'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_usage(desk: Desk, options: tuple[str, ...], why: str) -> None:
    ended = desk.capture(*options)
    assert (ended.code, ended.out, desk.files()) == (2, "", [])
    assert why in ended.err


def test_dry_run_prints_what_a_shell_would_take(desk: Desk) -> None:
    options = ("--dry-run", "-o", "a b.sqlite", "-p", "decode@*", "-e", "X=1 2", "--gpu-metrics")
    ended = desk.capture(*options, *workload("open('ran', 'w')"))
    assert (ended.code, desk.files()) == (0, [])
    nsys = desk.environment["NSYSAN_NSYS"]
    first, second = ended.out.splitlines()
    said = "NCCL_DEBUG=INFO NCCL_DEBUG_SUBSYS=INIT,ENV,GRAPH NCCL_DEBUG_FILE="
    assert first.startswith(f"X='1 2' NSYS_NVTX_PROFILER_REGISTER_ONLY=0 {said}")
    assert f" {nsys} profile --trace=cuda,nvtx " in first
    assert "--gpu-metrics-device=all '--output=a b' " in first
    assert second == f"{nsys} export --type sqlite --force-overwrite true --output 'a b.sqlite' 'a b.nsys-rep'"


# --- with the real nsys ----------------------------------------------------------------------------------------

_REAL = shutil.which("nsys")
real = pytest.mark.skipif(_REAL is None, reason="no nsys on PATH")


@pytest.fixture
def real_desk(tmp_path: Path) -> Iterator[Desk]:
    desk = desk_in(tmp_path)
    desk.environment["NSYSAN_NSYS"] = str(_REAL)
    with closing(desk):
        yield desk
        until(lambda: desk.processes() == [])


@real
def test_real_exit_code_stdin_and_stdout(real_desk: Desk) -> None:
    (real_desk.folder / "two words").mkdir()
    code = "import sys; print('got', sys.stdin.read()); print('complaint', file=sys.stderr); sys.exit(3)"
    process = real_desk.start("-o", "two words/a %%n b", *workload(code), stdin=subprocess.PIPE)
    ended = finished(process, "a line")
    assert ended.code == 3
    assert "got a line\n" in ended.out
    assert "complaint\n" in ended.err
    written = sorted(path.name for path in (real_desk.folder / "two words").iterdir())
    assert written == ["a %n b.nsys-rep", "a %n b.sqlite"]
    assert "  FAIL  ranks: no GPU work in the capture" in ended.err


@real
def test_real_workload_killed(real_desk: Desk) -> None:
    assert real_desk.capture(*workload("import os; os.kill(os.getpid(), 9)")).code == 137
    assert real_desk.files() == WRITTEN


@real
def test_real_range_never_opens(real_desk: Desk) -> None:
    ended = real_desk.capture("-p", "never@*", *workload("raise SystemExit(3)"))
    assert (ended.code, real_desk.files()) == (22, [])
    assert "the workload ended with exit code 3" in ended.err


@real
def test_real_nsys_killed(real_desk: Desk) -> None:
    process = real_desk.start("--kill-after", "0", *workload("import time; open('started', 'w'); time.sleep(600)"))
    real_desk.wait_for("started")
    # Its agent, an orphan, may have come to nsysan too.
    nsys, *_ = children(process.pid)
    os.kill(nsys, signal.SIGKILL)
    ended = finished(process)
    assert ended.code in (21, 24), ended.err
    assert real_desk.processes() == []


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()]


@real
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_real_signal_keeps_the_report(real_desk: Desk, number: signal.Signals) -> None:
    process = real_desk.start(*workload(_ON_SIGNALS))
    real_desk.wait_for("started")
    process.send_signal(number)
    ended = finished(process)
    assert ended.code == 128 + number, ended.err
    assert (real_desk.folder / "told").read_text() == str(int(number))
    assert real_desk.files() == ["started", "told", *WRITTEN]


@real
def test_real_second_signal_ends_everything(real_desk: Desk) -> None:
    process = real_desk.start(*workload(_DEAF))
    real_desk.wait_for("started")
    process.send_signal(signal.SIGINT)
    real_desk.wait_for("told")
    process.send_signal(signal.SIGINT)
    ended = finished(process)
    assert (ended.code, real_desk.files()) == (21, ["started", "told"]), ended.err
    assert real_desk.processes() == []


@real
def test_real_duration_with_a_deaf_workload(real_desk: Desk) -> None:
    ended = real_desk.capture("-d", "1", "--kill-after", "1", *workload(_DEAF))
    assert (ended.code, real_desk.files()) == (0, ["started", "told", *WRITTEN]), ended.err
    assert "the workload did not end by itself and was killed" in ended.err
