"""What cannot be written to standard output is an error with its exit code; what cannot be said is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nsysan import ExitCode
from tests.clitools import paper_trace

NSYSAN = f"'{sys.executable}' -m nsysan"
#: Commands that write to standard output, with what it is.
COMMANDS = (
    "report t.sqlite --json -",
    "report t.sqlite --markdown -",
    "report t.sqlite",
    "compare t.sqlite t.sqlite --json -",
    "compare t.sqlite t.sqlite",
    "info t.sqlite --json",
    "info t.sqlite",
    "check t.sqlite --fail-on 'period>1ns'",
    "check t.sqlite --fail-on 'period>1s'",
    "export t.sqlite --perfetto out.json",
    "history list --db h.db",
    "history show 1 --db h.db --format json",
    "redact t.sqlite -o clean.sqlite",
    "--help",
    "report --help",
    "--version",
)
FEW = ("report t.sqlite --json -", "check t.sqlite --fail-on 'period>1ns'", "--help")


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    paper_trace(folder / "t.sqlite", steps=8)
    assert shell(folder, f"{NSYSAN} history add t.sqlite --db h.db").returncode == 0
    return folder


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    for made in ("t.html", "out.json", "clean.sqlite"):
        (folder / made).unlink(missing_ok=True)
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("command", COMMANDS)
def test_closed_standard_output_is_an_error(folder: Path, command: str) -> None:
    done = shell(folder, f"{NSYSAN} {command} >&-")
    assert done.stderr == "nsysan: standard output cannot be written: it is closed\n"
    assert done.returncode == ExitCode.OUTPUT_UNWRITABLE


@pytest.mark.parametrize("command", FEW)
def test_full_disk_behind_standard_output_is_an_error(folder: Path, command: str) -> None:
    done = shell(folder, f"{NSYSAN} {command} >/dev/full")
    assert done.stderr == "nsysan: standard output cannot be written: No space left on device\n"
    assert done.returncode == ExitCode.OUTPUT_UNWRITABLE


@pytest.mark.parametrize("command", FEW)
def test_a_reader_that_has_gone_is_told_by_the_exit_code_alone(folder: Path, command: str) -> None:
    # The fifo's reader is there when it is opened, and gone before anything is written.
    fifo = folder / "fifo"
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo)
    done = shell(folder, f"{{ sleep 0.2; exec {NSYSAN} {command}; }} > fifo & : < fifo; wait $!")
    assert (done.returncode, done.stderr) == (141, "")


def test_what_is_not_written_to_standard_output_needs_none(folder: Path) -> None:
    assert shell(folder, f"{NSYSAN} report t.sqlite -q --json out.json >&-").returncode == 0
    assert shell(folder, f"{NSYSAN} check t.sqlite -q --fail-on 'period>1s' >&-").returncode == 0
    assert shell(folder, f"{NSYSAN} check t.sqlite -q --fail-on 'period>1ns' >/dev/full").returncode == 10


@pytest.mark.parametrize("redirection", ["2>/dev/full", "<&- 2>&-"])
def test_messages_that_nobody_can_read_stop_nothing(folder: Path, redirection: str) -> None:
    done = shell(folder, f"{NSYSAN} report t.sqlite none.sqlite --json - {redirection}")
    assert done.returncode == 0
    assert json.loads(done.stdout)["schema"].startswith("nsysan.report/")
    assert shell(folder, f"{NSYSAN} report none.sqlite {redirection}").returncode == ExitCode.NO_SUCH_FILE
    assert shell(folder, f"{NSYSAN} report {redirection}").returncode == 2


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", ">&- 2>/dev/full"])
def test_no_standard_stream_at_all(folder: Path, redirection: str) -> None:
    assert shell(folder, f"{NSYSAN} report t.sqlite --json - {redirection}").returncode == 10
    assert shell(folder, f"{NSYSAN} report t.sqlite -q --json out.json {redirection}").returncode == 0
    # No file that was opened on the way was taken for a standard stream.
    assert json.loads((folder / "out.json").read_text())["per_rank"]
