"""Whatever nsys or a child does, a capture ends in time, and leaves no process."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from nsysan.capture.bounded import EndlessError, ask, now_and_then
from nsysan.capture.cures import cure_for, no_room, temporary_folder_of_another
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


@dataclass
class Played:
    """A run played on a clock of its own: what lives, until when it works, and when what was killed.

    nsys, agent, server: processes of it. works_until: nsys computes, and writes nothing. polls: nsys computes 5 ms a
    second. window: the driver waits for nsys to end a collection, and for nothing else.
    """

    works_until: float = 0.0
    polls: bool = False
    window: bool = False
    lives: set[str] = field(default_factory=lambda: {"nsys", "agent", "server"})
    now: float = 100.0
    begin: float = 100.0
    killed: dict[str, float] = field(default_factory=dict)
    done: bool = False
    apart: set[int] = field(default_factory=set)

    @property
    def closing(self) -> bool:
        return self.window

    def start(self) -> None:
        """It runs."""

    def cancel(self) -> None:
        """It waits on."""

    def workload(self) -> list[str]:
        return sorted(self.lives & {"server"})

    def profiler(self) -> list[str]:
        return sorted(self.lives - {"server"})

    def profiler_ticks(self) -> int:
        working = min(self.now, self.begin + self.works_until) - self.begin
        return round(100 * working + (self.now - self.begin if self.polls else 0) / 2)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def send(self, names: list[str], number: signal.Signals) -> None:
        """All of them are deaf, but to SIGKILL."""
        if number == signal.SIGKILL:
            self.killed |= {name: round(self.now - self.begin) for name in names}
            self.lives -= set(names)

    def play(self, monkeypatch: pytest.MonkeyPatch, *, signalled: bool = True) -> dict[str, float]:
        """When what was killed, in seconds after the signal, or the end of nsys."""
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep)
        monkeypatch.setattr("nsysan.capture.end_of_run.time", clock)
        monkeypatch.setattr("nsysan.capture.idleness.time", clock)
        monkeypatch.setattr("nsysan.capture.end_of_run.send", self.send)
        run = EndOfRun(30.0, lambda: 0, lambda _: None, self if self.window else None)
        monkeypatch.setattr(run, "family", self)
        if signalled:
            run.on_signal(signal.SIGTERM, None)
        while "nsys" in self.lives:
            self.sleep(0.1)
            run.end_if_done()
            run.pass_on()
            run.kill_if_overdue(None)
        run.wait_for_rest(spares=False)
        return self.killed


@pytest.mark.parametrize(
    ("played", "killed"),
    [
        # The workload a little earlier, so that an nsys that waits for it can still write.
        (Played(), {"server": 25, "nsys": 30, "agent": 30}),
        (Played(polls=True), {"server": 25, "nsys": 30, "agent": 30}),
        (Played(window=True), {"server": 25, "nsys": 30, "agent": 30}),
        (Played(works_until=40.0), {"server": 25, "nsys": 70, "agent": 70}),
    ],
)
def test_all_that_hangs_is_gone_once_the_time_for_it_is_over(
    monkeypatch: pytest.MonkeyPatch, played: Played, killed: dict[str, float]
) -> None:
    assert played.play(monkeypatch) == killed


def test_what_nsys_leaves_behind_has_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Played(lives={"agent", "server"}).play(monkeypatch, signalled=False) == {"server": 25, "agent": 30}
    # Without a workload there is nothing to wait for.
    assert Played(lives={"agent"}).play(monkeypatch, signalled=False) == {"agent": 3}


@pytest.mark.parametrize(("behaviour", "did"), [("hangs", "hung"), ("prints on", "printed without end")])
def test_an_export_that_does_not_end_is_ended(desk: Desk, behaviour: str, did: str) -> None:
    ended = desk.capture("--kill-after", "0", *workload(""), behaviour=f"export {behaviour}")
    assert (ended.code, desk.files()) == (23, ["trace.nsys-rep"])
    assert f"{did} while it exported it, and was ended; try again: " in ended.err
    assert ended.err.rstrip().endswith("--output trace.sqlite trace.nsys-rep")


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


def test_what_outlives_a_program_and_prints_without_end_is_told(tmp_path: Path) -> None:
    left = f"echo $$ >{tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec yes"
    with pytest.raises(EndlessError, match="sh printed more than 17 MB"):
        ask(["sh", "-c", f"setsid -f sh -c '{left}'; while [ ! -e {tmp_path}/pid ]; do :; done"])
    until(lambda: not runs(int((tmp_path / "pid").read_text())))


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
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert temporary_folder_of_another() is None
    (tmp_path / "nvidia").mkdir()
    assert temporary_folder_of_another() is None
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "TMPDIR" in (temporary_folder_of_another() or "")
    monkeypatch.undo()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    assert "is no folder that can be written" in (temporary_folder_of_another() or "")


def test_a_full_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert no_room(tmp_path, tmp_path / "none") is None
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1024))
    assert (
        no_room(tmp_path) == f"{tmp_path} has 1 KiB left: there is no room: choose another folder (-o, TMPDIR), or a "
        "shorter window"
    )
