"""One capture from the request to checked files: plan, run, collect, export, check."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.capture.command import Plan, Request, files_of, outputs_of, plan_capture
from nsysan.capture.end_of_run import patience_of
from nsysan.capture.exported import Captured, Say, exported
from nsysan.capture.held import plan_held
from nsysan.capture.nccl_debug import NcclDebug, nccl_debug, surroundings, take_logs
from nsysan.capture.no_report import ending, no_report, no_window
from nsysan.capture.nsys import Nsys, abilities_of
from nsysan.capture.nvidia_smi import record_topology
from nsysan.capture.own_figure import OwnFigure, untraced
from nsysan.capture.processes import ENDING, exit_on, handing_on
from nsysan.capture.runner import Outcome, run_capture
from nsysan.capture.serving import Serve, Serving
from nsysan.capture.started import read_workload
from nsysan.trace.topology import topology_file

_OF_NSYS = ("NSYS_", "NCCL_DEBUG")


@dataclass(frozen=True)
class Result:
    """What a capture gave, and the exit code that tells how the workload ended.

    token_ns: of a server under a load of our own, the time a token takes with the window closed, and open. failure: why
    there are fewer windows than were asked for.
    """

    captured: list[Captured]
    exit_code: int
    token_ns: tuple[int | None, int | None] = (None, None)
    failure: NsysanError | None = None


@dataclass(frozen=True)
class Session:
    """A capture to run: what, with which nsys, to which name (without suffix)."""

    request: Request
    nsys: Nsys
    output: Path
    expected_ranks: int | None = None
    force: bool = False
    kill_after: float = 30.0
    nccl_log: bool = True
    nccl_tuning: bool = False
    serve: Serve | None = None

    @property
    def staging(self) -> Path:
        """Where nsys writes: beside the output, so that moving there is one rename, under a name of its own."""
        return self.output.with_name(f".{self.output.name}.capture")

    def plan(self, output: Path | None = None) -> Plan:
        """The command that `run` starts; with its report going to `output`, if one is named."""
        target = output or self.staging / self.output.name
        if self.serve is not None:
            return self.speaking(plan_held(self.request, self.nsys)[0], target)
        return self.speaking(plan_capture(self.request, self.nsys, abilities_of(self.nsys), target), target)

    def speaking(self, plan: Plan, target: Path) -> Plan:
        """The plan, with NCCL made to log beside `target`."""
        nccl = self._nccl(target)
        return replace(plan, environment={**plan.environment, **nccl.environment}, notes=[*plan.notes, *nccl.notes])

    def _nccl(self, target: Path) -> NcclDebug:
        if not self.nccl_log:
            return NcclDebug(left="--no-nccl-log")
        words = (*self.request.command, *self.request.extra)
        return nccl_debug(surroundings(self.request.environment), words, target, tuning=self.nccl_tuning)

    def check_output(self) -> list[Path]:
        """What is there already and may be replaced; NsysanError where the results could not be put.

        To be called before anything is started.
        """
        folder = self.output.absolute().parent
        if not folder.is_dir():
            raise NsysanError(
                f"{self.output}: there is no folder {self.output.parent}; create it first", ExitCode.OUTPUT_UNWRITABLE
            )
        existing = self._existing()
        if existing and not self.force:
            raise NsysanError(
                f"{existing[0]}: exists already; pass --force-overwrite to replace it, or another name with -o",
                ExitCode.OUTPUT_EXISTS,
            )
        try:
            self.staging.mkdir()
        except FileExistsError:
            raise NsysanError(
                f"{self.staging}: a capture to this name is running, or was killed; see what is in it, then remove it",
                ExitCode.OUTPUT_EXISTS,
            ) from None
        except OSError as error:
            raise NsysanError(
                f"{self.output}: cannot be written: {error.strerror}", ExitCode.OUTPUT_UNWRITABLE
            ) from error
        return existing

    def _existing(self) -> list[Path]:
        """Files that this capture would replace; a range that repeats gives numbered ones."""
        # Logs are in the way of ours. Old ones go with --force in any case: they would pass for this trace's.
        found = files_of(self.output, logs=self.force or bool(self._nccl(self.output).environment))
        windows = self.serve is not None and self.serve.windows > 1
        if windows or any("repeat" in word for word in (self.request.capture_range_end or "", *self.request.extra)):
            numbered = re.compile(re.escape(self.output.name) + r"\.\d+\.(?:nsys-rep|sqlite|topology\.txt)")
            found += sorted(p for p in self.output.parent.iterdir() if numbered.fullmatch(p.name))
        return found

    def check_command(self) -> None:
        """NsysanError if there is no such command: with a capture range, nsys would blame the range."""
        word = self.request.command[0]
        if not shutil.which(word, path=self.request.environment.get("PATH")) and not Path(word).is_file():
            raise NsysanError(f"{word}: no such command, so there is nothing to capture", ExitCode.NO_REPORT)

    def run_untraced(self, say: Say) -> OwnFigure | None:
        """Run the workload once without nsys, and hear what it says of its step."""
        self.check_command()
        self.check_output()
        self.staging.rmdir()
        # As under nsys, but for what only nsys looks at and what makes NCCL speak.
        planned = {name: value for name, value in self.plan().environment.items() if not name.startswith(_OF_NSYS)}
        with exit_on(*ENDING):
            return untraced(self.request.command, surroundings(planned), say, kill_after=self.kill_after)

    def run(self, say: Say, *, progress: bool = False) -> Result:
        """Run the workload under nsys, and export and check what comes back."""
        self.check_command()
        replaced = self.check_output()
        with exit_on(*ENDING), handing_on(list):
            return self._run(say, replaced, progress=progress)

    def _run(self, say: Say, replaced: list[Path], *, progress: bool) -> Result:
        plan, serving = self.plan(), None
        if self.serve is not None:
            plan, held = plan_held(self.request, self.nsys)
            target = self.staging / self.output.name
            plan, serving = self.speaking(plan, target), Serving(held, self.serve, target, say)
        try:
            outcome = run_capture(
                plan,
                self.nsys,
                self.staging,
                ends_after=self._ends_after(),
                ends_workload=self._nsys_ends_workload(),
                kill_after=self.kill_after,
                driver=serving,
                spares=self._spares_workload(),
                say=say,
            )
            logs = take_logs(self.staging, self.output, keep=bool(outcome.reports), replaced=replaced)
            if serving is not None:
                serving.join()
                if not outcome.reports and (serving.failure or not serving.taken):
                    raise serving.failure or no_window(self.output, outcome)
            if outcome.killed:
                say("the workload did not end by itself and was killed")
            recordings = self._take(outcome, replaced, say)
        finally:
            # A folder that still holds something is the user's to look at.
            with contextlib.suppress(OSError):
                self.staging.rmdir()
        self._note_topology(recordings, replaced, say)
        patience = patience_of(self.kill_after, stuck=outcome.stuck)
        captured = [self._exported(one, logs, say, progress=progress, patience=patience) for one in recordings]
        if serving is None or outcome.interrupted is not None:
            return Result(captured, self._exit_code(outcome, say))
        # How a server ends that was told to says nothing of the window.
        return Result(captured, 0, serving.token_ns, serving.failure)

    def _ends_after(self) -> float | None:
        if self.request.duration is None:
            return None
        return float(self.request.duration + (self.request.delay or 0))

    def _nsys_ends_workload(self) -> bool:
        ranged = self.request.capture_range is not None and "shutdown" in (self.request.capture_range_end or "")
        return (ranged or self.request.duration is not None) and not self._spares_workload()

    def _spares_workload(self) -> bool:
        """Whether nsys was asked to leave processes running."""
        return re.search(r"--kill[= ]none|(?:--wait|-w)[= ](?:primary|false)", " ".join(self.request.extra)) is not None

    def _take(self, outcome: Outcome, replaced: list[Path], say: Say) -> list[Path]:
        """Move the reports to their final names; NsysanError if there is none."""
        if not outcome.reports:
            raise no_report(self.request, self.output, self.staging, outcome)
        if outcome.rescued:
            say("nsys left its report elsewhere; it was found and is kept")
        recording, _ = outputs_of(self.output)
        targets = [recording]
        if len(outcome.reports) > 1:
            numbered = (recording.with_name(f"{self.output.name}.{i}.nsys-rep") for i in count(1))
            # Nobody may have asked for several.
            free = (path for path in numbered if set(files_of(path.with_suffix(""), logs=False)) <= set(replaced))
            targets = list(islice(free, len(outcome.reports)))
        for source, target in zip(outcome.reports, targets, strict=True):
            shutil.move(source, target)
            # An older export must not pass for one of this recording, should the export fail.
            target.with_suffix(".sqlite").unlink(missing_ok=True)
        return targets

    def _note_topology(self, recordings: list[Path], replaced: list[Path], say: Say) -> None:
        """Record the links between the GPUs beside each report, where nvidia-smi tells them."""
        wanted = [topology_file(recording) for recording in recordings]
        for path in set(wanted) & set(replaced):
            # Of an earlier capture to this name, perhaps on another machine.
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        # The workload may have written one itself.
        free = [path for path in wanted if not os.path.lexists(path)]
        if not free or not record_topology(free[0]):
            return
        for path in free[1:]:
            with contextlib.suppress(OSError):
                shutil.copyfile(free[0], path)
        say(f"the links between the GPUs are in {free[0].name}")

    def _exported(self, recording: Path, logs: list[Path], say: Say, *, progress: bool, patience: float) -> Captured:
        late = self.request.capture_range is not None or self.serve is not None
        workload = read_workload(self.request.command, surroundings(self.request.environment))
        found = exported(
            self.nsys,
            recording,
            self.expected_ranks,
            say,
            late=late,
            progress=progress,
            engine=workload.engine,
            replica=workload.replica,
            patience=patience,
        )
        if self.nccl_log:
            found.checks.append(self._nccl(self.output).check(logs, f"{self.output.name}.nccl.*.log"))
        return found

    def _exit_code(self, outcome: Outcome, say: Say) -> int:
        if outcome.interrupted is not None:
            return 128 + outcome.interrupted
        if outcome.exit_code < 0:
            raise NsysanError(
                f"{self.output}: {ending(outcome.exit_code)} ended nsys; the report was saved, and how the workload "
                f"ended is not known",
                ExitCode.NSYS_DIED,
            )
        # By nsys, or by nsysan if it had to be killed; SIGKILL from elsewhere is a failure (out of memory).
        ended = (128 + signal.SIGTERM, *([128 + signal.SIGKILL] if outcome.killed else []))
        if self._nsys_ends_workload() and outcome.exit_code in ended:
            say("the collection ended before the workload, which was then ended: that is not a failure")
            return 0
        return outcome.exit_code
