"""A workload launched into a session of nsys, which collects only in the windows that are opened.

`nsys launch` starts the workload and injects the tracer; `nsys start` and `nsys stop` open and close a window, as often
as wanted, each with its own recording. Work inside CUDA graphs shows, also of graphs that were built before.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.capture.bounded import Idle, ask, now_and_then
from nsysan.capture.command import Plan, Request, plan_capture
from nsysan.capture.nsys import Abilities, Nsys, abilities_of, options_of
from nsysan.capture.processes import profilers_ticks
from nsysan.text import plain

#: How long nsys may take to begin or to end a collection: it writes the recording before it answers.
_START_S = 120.0
_STOP_S = 900.0
#: What neither writes nor computes for so long hangs; the end of a window was seen to take half a minute.
_HUNG_S = 90.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Held:
    """A session that a workload runs in. start: options of `nsys start` beside session and output."""

    nsys: Nsys
    session: str
    start: tuple[str, ...]

    def open_window(self, output: Path, say: Say) -> None:
        """Begin to collect into `output` (a name without suffix); NsysanError if nsys refuses."""
        self._ask(self.start_command(output), _START_S, say)

    def close_window(self, say: Say) -> None:
        """End the collection and wait for its recording; NsysanError if nsys refuses."""
        self._ask(self.stop_command(), _STOP_S, say)

    def start_command(self, output: Path) -> list[str]:
        """The command that begins to collect into `output`."""
        name = str(output).replace("%", "%%")
        return [str(self.nsys.path), "start", f"--session={self.session}", *self.start, f"--output={name}"]

    def stop_command(self) -> list[str]:
        """The command that ends it."""
        return [str(self.nsys.path), "stop", f"--session={self.session}"]

    def _ask(self, argv: list[str], patience: float, say: Say) -> None:
        verb = argv[1]
        try:
            # What nsys starts for a session outlives its answer.
            waiting = now_and_then(say, lambda: f"waiting for nsys {verb}")
            # The session's own processes do the work.
            idle = Idle(_HUNG_S, lambda: 0, profilers_ticks)
            answer = ask(argv, patience=patience, waiting=waiting, alone=False, idle=idle)
        except TimeoutError as error:
            raise NsysanError(
                f"nsys {verb}: no answer from session {self.session}, which may hang with its workload: {error}",
                ExitCode.NO_REPORT,
            ) from None
        except OSError as error:
            raise NsysanError(f"nsys {verb}: {error.strerror}", ExitCode.NO_NSYS) from error
        if answer.code:
            ended = f"exit code {answer.code}" if answer.code > 0 else "it had to be ended"
            why = plain(answer.last_word, 300) or ended
            raise NsysanError(f"nsys {verb}: {why}", ExitCode.NO_REPORT)


def plan_held(request: Request, nsys: Nsys) -> tuple[Plan, Held]:
    """The command that launches the workload into a session of its own, and that session.

    NsysanError where this nsys has no sessions, or where a range or a delay was asked for that a window replaces.
    """
    launch, start = options_of(nsys, "launch"), options_of(nsys, "start")
    if "--session-new" not in launch or "--session" not in start:
        raise NsysanError(
            f"{nsys.label} has no sessions (launch, start, stop), so no window can be opened from outside; use a newer "
            "nsys, or -c cudaProfilerApi with a workload that opens its own",
            ExitCode.NO_NSYS,
        )
    known = Abilities(abilities_of(nsys).trace, launch | start, frozenset())
    whole = plan_capture(request, nsys, known, Path("unused"))
    options = [word for word in whole.argv[2 : len(whole.argv) - len(request.command)] if "--output=" not in word]
    # What both know belongs to the launch: the tracer is injected there.
    of_launch = [word for word in options if word.partition("=")[0] in launch]
    of_start = [word for word in options if word not in of_launch]
    session = f"nsysan-{uuid.uuid4().hex[:12]}"
    argv = [str(nsys.path), "launch", f"--session-new={session}", *of_launch, *request.command]
    return Plan(argv, whole.environment, whole.notes), Held(nsys, session, tuple(of_start))


def alive(pid: int) -> bool:
    """Whether a process of that number runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
