"""A folder to capture in, with an environment of its own, and what waits for what happens there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.clitools import signalled

ROOT = Path(__file__).parent.parent.parent
PYTHON = sys.executable
#: What a capture leaves.
WRITTEN = ["trace.nsys-rep", "trace.sqlite"]
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Ended:
    """How one `nsysan capture` ended."""

    code: int
    out: str
    err: str


@dataclass
class Desk:
    """A folder to capture in, and an environment of its own in which every process can be found again."""

    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(
        self, *arguments: str | Path, behaviour: str = "", ignored: Iterable[signal.Signals] = (), **options: int
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            signalled(PYTHON, "-m", "nsysan", "capture", *arguments, ignored=ignored),
            cwd=self.folder,
            env={**self.environment, "FAKE_NSYS": behaviour},
            stdin=options.get("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """End what a test that failed left, and close its pipes: they would be told of another test."""
        for process in self.started:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def capture(self, *arguments: str | Path, behaviour: str = "") -> Ended:
        return finished(self.start(*arguments, behaviour=behaviour))

    def files(self) -> list[str]:
        """What a capture left, hidden names too."""
        return sorted(path.name for path in self.folder.iterdir())

    def processes(self) -> list[str]:
        """Names of the processes that were started from here and still run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"NSYSAN_TEST={self.folder}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append((folder / "comm").read_text("utf-8").strip())
            except OSError:
                continue
        return found

    def wait_for(self, name: str) -> None:
        """Until the workload has made that file."""
        until((self.folder / name).exists)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def finished(process: subprocess.Popen[str], stdin: str | None = None) -> Ended:
    out, err = process.communicate(stdin, timeout=_PATIENCE_S)
    return Ended(process.returncode, out, err)


def workload(code: str) -> tuple[str, ...]:
    return ("--", PYTHON, "-c", code)


def desk_in(tmp_path: Path) -> Desk:
    folder, temporary = tmp_path / "desk", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    own = {"TMPDIR": str(temporary), "NSYSAN_TEST": str(folder), "PYTHONPATH": str(ROOT)}
    return Desk(folder, {**os.environ, **own})
