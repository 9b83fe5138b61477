"""Checks of a command before it is captured: does it start, what does it start, would its ranks be in the trace?"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from nsysan._errors import NsysanError
from nsysan.capture.checks import FAIL, OK, WARN, Check
from nsysan.capture.nvidia_smi import ask
from nsysan.capture.placement import check_place, notes_before
from nsysan.capture.started import Workload, read_workload
from nsysan.text import counted


def examine_command(command: Sequence[str], environment: Mapping[str, str]) -> list[Check]:
    """All checks of the command; a FAIL means that a capture of it would give nothing."""
    workload = read_workload(command, environment)
    word = command[0]
    found = shutil.which(word) or (word if Path(word).is_file() else None)
    checks = [Check("command", OK if found else FAIL, f"{word} is {found}" if found else f"{word}: no such command")]
    checks.append(Check("workload", OK, what_starts(workload)))
    try:
        check_place(workload, Path("trace"))
    except NsysanError as error:
        return [*checks, Check("ranks", FAIL, str(error))]
    checks += [check for check in (_gpus(workload), _start(workload, environment)) if check is not None]
    told = notes_before(workload, Path("trace"), whole=True, duration=None)
    return [*checks, *(Check("before the run", WARN, note) for note in told)]


def what_starts(workload: Workload) -> str:
    """What a command was seen to start: engine, and how many ranks."""
    engine = workload.engine
    if engine is None and workload.ranks is None:
        return "no engine and no number of ranks in the command; --tp says how many to expect"
    kind = " server" if workload.server else ""
    told = [engine.name + kind] if engine is not None else []
    if workload.ranks:
        of_all = f" of {workload.world}" if workload.world != workload.ranks else ""
        told.append(counted(workload.ranks, "rank") + of_all)
    where = f" (in {workload.script.name})" if workload.script is not None else ""
    return ", ".join(told) + where


def _gpus(workload: Workload) -> Check | None:
    """Whether there are GPUs for its ranks; nothing where either number is not known."""
    count = sum(line.startswith("GPU ") for line in ask("nvidia-smi", "-L").splitlines())
    if not count or not workload.ranks or workload.elsewhere is not None:
        return None
    seen = f"{counted(count, 'GPU')} for {counted(workload.ranks, 'rank')}"
    return Check("GPUs of the command", OK if count >= workload.ranks else WARN, seen)


def _start(workload: Workload, environment: Mapping[str, str]) -> Check | None:
    """How the engine's workers start, where that can be wrong."""
    fork = workload.engine.fork if workload.engine is not None else None
    if fork is None:
        return None
    name, value = fork
    given = {**environment, **workload.assigned}.get(name)
    if given not in (None, value):
        return Check("workers", WARN, f"{name}={given}", f"forked workers may not be traced: {name}={value}")
    if given is None and workload.unguarded:
        return Check(
            "workers",
            WARN,
            "the script has no `if __name__ == '__main__':`, so its workers cannot be spawned",
            f"put its calls behind one, so that {name}={value} can be set",
        )
    return Check("workers", OK, f"spawned ({name}={value}{'' if given else ', which capture sets'})")
