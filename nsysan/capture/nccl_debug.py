"""How NCCL is made to say what it chose: by its own variables, where the user has set none of them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nsysan.capture.checks import OK, WARN, Check
from nsysan.trace.nccl_files import logs_named

#: These print while communicators are set up, and no more; TUNING prints at every call that is launched or captured.
_AT_SET_UP = "INIT,ENV,GRAPH"
_TUNING = "TUNING"
_NAMES = ("NCCL_DEBUG", "NCCL_DEBUG_SUBSYS", "NCCL_DEBUG_FILE")
_OFF = "--no-nccl-log leaves it silent"
_CONF_BYTES = 1_000_000


@dataclass(frozen=True)
class NcclDebug:
    """What is added to the environment; nothing where `left` says why not."""

    environment: dict[str, str] = field(default_factory=dict)
    left: str = ""
    notes: tuple[str, ...] = ()

    def check(self, written: Iterable[Path], pattern: str) -> Check:
        """The line of the checks: what was set, and what came of it."""
        if self.left:
            return Check("NCCL log", OK, f"left as it is: {self.left}", "nsysan report reads it with --nccl-log")
        number = sum(1 for _ in written)
        was_set = f"{', '.join(f'{name}={self.environment[name]}' for name in _NAMES[:2])} and {_NAMES[2]} set"
        if not number:
            return Check("NCCL log", OK, f"none written, so no process here used NCCL ({was_set})")
        status = WARN if _TUNING in self.environment[_NAMES[1]] else OK
        remedy = "each call printed a line: host time of an eager run is not the workload's" if status == WARN else ""
        return Check("NCCL log", status, f"{number} in {pattern} ({was_set})", remedy)


def nccl_debug(given: Mapping[str, str], words: Iterable[str], output: Path, *, tuning: bool) -> NcclDebug:
    """What has NCCL write a log for each process beside `output`, a name without suffix.

    given: the environment of the workload; words: its command and what else the user gave to nsys. Nothing where any
    of them, or NCCL's configuration, speaks of NCCL_DEBUG.
    """
    named = next((name for name in _NAMES if name in given), None)
    if named is not None:
        return NcclDebug(left=f"{named} is set")
    if any(_NAMES[0] in word for word in words):
        return NcclDebug(left=f"the command speaks of {_NAMES[0]}")
    if (conf := _configured(given)) is not None:
        return NcclDebug(left=f"{conf} speaks of {_NAMES[0]}")
    subsystems = f"{_AT_SET_UP},{_TUNING}" if tuning else _AT_SET_UP
    # A workload may run in another folder.
    file = f"{str(output.absolute()).replace('%', '%%')}.nccl.%h.%p.log"
    notes = [f"set NCCL_DEBUG=INFO for {subsystems} into files beside the trace: NCCL says what it chose; {_OFF}"]
    if tuning:
        notes.append("NCCL prints a line at every call, from which an eager run's timing suffers")
    return NcclDebug(dict(zip(_NAMES, ("INFO", subsystems, file), strict=True)), notes=tuple(notes))


def _configured(given: Mapping[str, str]) -> Path | None:
    """The file from which NCCL takes variables that the environment does not have, if it names these."""
    own = given.get("NCCL_CONF_FILE")
    home = given.get("HOME")
    files = [Path(own)] if own else [Path(home, ".nccl.conf")] if home else []
    for file in (*files, Path("/etc/nccl.conf")):
        try:
            with file.open(encoding="utf-8", errors="replace") as lines:
                if _NAMES[0] in lines.read(_CONF_BYTES):
                    return file
        except OSError:
            continue
    return None


def surroundings(added: Mapping[str, str]) -> dict[str, str]:
    """The environment that a workload starts with."""
    return {**os.environ, **added}


def take_logs(staging: Path, output: Path, *, keep: bool, replaced: Iterable[Path] = ()) -> list[Path]:
    """Move the logs beside `output`, in place of those among `replaced`; not to be kept, they go.

    staging: the folder that they were written into. The logs under their final names come back.
    """
    written = logs_named(staging, output.name)
    targets = [output.with_name(path.name) for path in written] if keep else []
    with contextlib.suppress(OSError):
        for path in set(replaced) & set(logs_named(output.parent, output.name)) if keep else written:
            path.unlink(missing_ok=True)
        for path, target in zip(written, targets, strict=False):
            shutil.move(path, target)
    return targets
