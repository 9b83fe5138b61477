"""Why no recording came back, and what to do about it."""

from __future__ import annotations

import signal
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.capture.command import Request
from nsysan.capture.cures import no_room, temporary_folder, temporary_folder_of_another
from nsysan.capture.nccl_debug import surroundings
from nsysan.capture.runner import Outcome
from nsysan.capture.started import read_workload


def no_report(request: Request, output: Path, staging: Path, outcome: Outcome) -> NsysanError:
    """The error of a capture that left no recording; staging: where nsys wrote."""
    how = f"nsys ended with {ending(outcome.exit_code)}"
    if request.capture_range and outcome.exit_code >= 0 and outcome.interrupted is None:
        opener = (
            f"NVTX range {request.nvtx_capture!r} never began"
            if request.capture_range == "nvtx"
            else "the workload never called cudaProfilerStart"
        )
        return NsysanError(
            f"{output}: the capture range never opened ({opener}), so there is no report; the workload "
            f"ended with {ending(outcome.exit_code)}{_opened_by(request)}",
            ExitCode.RANGE_NEVER_OPENED,
        )
    if outcome.exit_code < 0 and outcome.interrupted is None:
        return NsysanError(f"{output}: {how} and left no report; run it again", ExitCode.NSYS_DIED)
    if outcome.interrupted is not None:
        return NsysanError(f"{output}: interrupted before nsys could write a report", ExitCode.NO_REPORT)
    return NsysanError(
        f"{output}: {_why(staging)}; {how}; its own message is above (does the command start without nsys?)",
        ExitCode.NO_REPORT,
    )


def _why(staging: Path) -> str:
    """What the machine tells of it."""
    full = no_room(staging.absolute(), temporary_folder())
    for path in staging.iterdir():
        if path.is_file() and path.stat().st_size == 0:
            path.unlink()
    if full is None and any(staging.iterdir()):
        return _raw(staging)
    why = full or temporary_folder_of_another()
    return f"no report came back; {why}" if why else "no report came back"


def _opened_by(request: Request) -> str:
    """What makes the engine open the range."""
    engine = read_workload(request.command, surroundings(request.environment)).engine
    if engine is None or request.capture_range == "nvtx":
        return ""
    return f"; {engine.name} opens it by {engine.opens}"


def no_window(output: Path, outcome: Outcome) -> NsysanError:
    """The error of a server of which no window was taken."""
    if outcome.interrupted is not None:
        return NsysanError(f"{output}: interrupted before a window was open", ExitCode.NO_REPORT)
    return NsysanError(
        f"{output}: no report came back; the server ended with {ending(outcome.exit_code)} before a window was taken; "
        "what it said is above (does the command start without nsys?)",
        ExitCode.NO_REPORT,
    )


def _raw(staging: Path) -> str:
    """What to do with raw data that no importer here can read."""
    streams = sorted(path.name for path in staging.glob("*.qdstrm"))
    if not streams:
        return f"nsys left only raw data, in {staging}, and no importer here can make a report of it"
    return (
        f"nsys left only raw data, in {staging}: the QdstrmImporter of the same nsys (host-linux-*/ of the full "
        f"package, not of nsight-systems-cli) makes a report of {streams[0]} with -i, unless nsys was killed before it "
        "ended; then capture again and let the workload end by itself (--kill-after gives it longer)"
    )


def ending(exit_code: int) -> str:
    """How a process ended, in words."""
    if exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    if exit_code > 128 and exit_code - 128 in {s.value for s in signal.Signals}:
        return f"exit code {exit_code} ({signal.Signals(exit_code - 128).name})"
    return f"exit code {exit_code}"
