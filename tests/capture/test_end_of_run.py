"""Whatever nsys or a child does, a capture ends in time, and leaves no process."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from nsysan.capture.bounded import ask, now_and_then
from nsysan.capture.cures import cure_for, temporary_folder_of_another
from nsysan.capture.end_of_run import EndOfRun
from nsysan.capture.nsys import find_nsys
from tests.capture.desk import WRITTEN, Desk, finished, until, workload
from tests.fakensys import fake_nsys

PYTHON = sys.executable


def runs(pid: int) -> bool:
    """Whether that process runs: what has ended and was not asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_nsys_that_ignores_signals_and_hangs_is_ended(desk: Desk) -> None:
    process = desk.start("--kill-after", "0.2", *workload("open('started', 'w')"), behaviour="deaf")
    desk.wait_for("started")
    process.send_signal(signal.SIGTERM)
    ended = finished(process)
    assert (ended.code, desk.files()) == (21, ["started"])
    assert "nsys does nothing any more, and is killed" in ended.err
    assert desk.processes() == []


#: Leaves the session, the parent and the environment behind.
_DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open("pid", "w") as file:
            file.write(str(os.getpid()))
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        os.execve("/bin/sleep", ["sleep", "600"], {})
    os._exit(0)
os.wait()
while not os.path.exists("pid"):
    time.sleep(0.01)
"""


def test_a_child_that_hides_does_not_outlive_the_capture(desk: Desk) -> None:
    ended = desk.capture(*workload(_DAEMON))
    assert (ended.code, desk.files()) == (0, ["pid", *WRITTEN])
    assert "nsys ended before 1 process of the workload (sleep), which is told to end" in ended.err
    assert not runs(int((desk.folder / "pid").read_text()))


def test_what_the_user_wants_to_run_on_runs_on(desk: Desk) -> None:
    assert desk.capture("--nsys-arg=--kill=none", *workload(_DAEMON)).code == 0
    pid = int((desk.folder / "pid").read_text())
    assert runs(pid)
    os.kill(pid, signal.SIGKILL)


def test_an_export_whose_child_holds_the_pipe_ends(desk: Desk) -> None:
    ended = desk.capture(*workload(""), behaviour="export leaves a child")
    assert (ended.code, desk.files()) == (0, ["child", *WRITTEN])
    until(lambda: not runs(int((desk.folder / "child").read_text())))


def test_an_export_that_fails_with_much_to_say(desk: Desk) -> None:
    ended = desk.capture(*workload(""), behaviour="export is locked")
    assert (ended.code, desk.files()) == (23, ["trace.nsys-rep"])
    assert "could not export it: Exporter error: database is locked; the file system of that folder has no" in ended.err
    assert len(ended.err) < 5000


def test_a_version_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_NSYS", "strange version")
    found = find_nsys(str(fake_nsys(tmp_path)))
    assert found is not None
    assert found.label == "nsys 2024.2.3.99"


def test_of_much_output_the_beginning_and_the_end_are_kept() -> None:
    code = "import sys; sys.stdout.write('begin' + '.' * 8_000_000 + 'end'); sys.stderr.write('why\\n50%\\r')"
    answer = ask([PYTHON, "-c", code])
    assert (answer.code, answer.out[:5], answer.out[-3:]) == (0, "begin", "end")
    assert len(answer.out) < 1_200_000
    assert answer.last_word == "50%"


def test_a_program_that_gives_no_answer_is_ended() -> None:
    waited: list[float] = []
    with pytest.raises(TimeoutError):
        ask(["sleep", "600"], patience=0.1, waiting=waited.append)
    with pytest.raises(OSError, match="No such file"):
        ask(["no-such-program"])


def test_what_is_waited_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    run = EndOfRun(30.0, lambda: 5_000_000, said.append)
    monkeypatch.setattr("nsysan.capture.end_of_run._SAY_S", 0.0)
    run.tell_what_is_waited_for()
    assert said == ["the workload has ended; nsys writes its report (5.0 MB so far); Ctrl-C ends this"]
    monkeypatch.setattr(run.family, "workload", lambda: [os.getpid()])
    run.told_to_end = 0.0
    run.tell_what_is_waited_for()
    assert said[1].startswith("waiting for 1 process of the workload (")
    assert said[1].endswith("killed after 30 s)")


def test_a_wait_is_told_every_fifteen_seconds() -> None:
    said: list[str] = []
    waiting = now_and_then(said.append, lambda: "waiting for nsys stop")
    for halves in range(80):
        waiting(halves / 2)
    assert said == ["waiting for nsys stop (15 s)", "waiting for nsys stop (30 s)"]


@pytest.mark.parametrize(
    ("message", "cure"),
    [
        ('Failed to create directory "/tmp/nvidia/nsight_systems": Permission denied', "set TMPDIR"),
        ("sqlite: database is locked", "export to a local folder"),
        ("The report was made by a newer version of Nsight Systems", "name a newer one with --nsys"),
        ("write: No space left on device", "choose another folder"),
        ("Importer error status: broken", "if a newer nsys made the recording"),
    ],
)
def test_messages_of_nsys_have_cures(message: str, cure: str) -> None:
    assert cure in cure_for(message)


def test_a_temporary_folder_of_another_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert temporary_folder_of_another() is None
    (tmp_path / "nvidia").mkdir()
    assert temporary_folder_of_another() is None
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "set TMPDIR" in (temporary_folder_of_another() or "")
