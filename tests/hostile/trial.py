"""One hostile input by kind and number, its commands, and what must not come of them."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

from nsysan import ExitCode
from nsysan.budgets import SQLITE_PACE
from tests.attempt import HANG_S, ROOT, Outcome, called, cpu_seconds, digest, emptied
from tests.hostile.case import Case, Command, Surroundings
from tests.hostile.kinds import KINDS

_ERRORS = frozenset((*range(3, 15), 20, 21, 23, 30))
_USAGE = 2
#: Standard output and error of no command have them: a terminal obeys them, or shows text in another order.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
#: What is said before an error may come of it.
_ON_THE_WAY = ("nsysan: left out: ", "nsysan: exporting ", "nsysan: closing window ")
#: Larger ones are holes.
_HASHED = 64 << 20
_AROUND = """
import os, resource, sys
sys.path.insert(0, sys.argv[1])
{}
sys.argv = ["nsysan", *sys.argv[2:]]
from nsysan.cli import main
main()
"""


def trial(sources: Path, folder: Path, kind: str, number: int) -> Outcome:
    """Make the input in the working directory, emptied first; run its commands; look at what came of them."""
    emptied(folder)
    case = KINDS[kind](folder, sources, random.Random(f"{kind} {number}"))
    outcome = Outcome(number, "", 0, None, 0.0, kind)
    for command in case.commands:
        did = f"{' '.join(command)[:300]}; {case.did[:300]}"
        code, trouble, seconds = _met(case, command, folder)
        outcome = Outcome(number, did, code, trouble, seconds, kind)
        if trouble is not None:
            break
    return outcome


def _met(case: Case, command: Command, folder: Path) -> tuple[int, str | None, float]:
    """Exit code, trouble and seconds of a processor of one command."""
    before = _seen(folder)
    most_s = HANG_S + _bytes(folder) / SQLITE_PACE
    if case.surroundings is None:
        code, said, shown, trouble, seconds = called(command)
    else:
        begun = cpu_seconds()
        code, said, shown = _called_in(case.surroundings, command, folder)
        trouble, seconds = None, cpu_seconds() - begun
    after = _seen(folder)
    stray = after.keys() - before.keys() - case.outputs
    gone = before.keys() - after.keys() - case.outputs
    changed = [name for name in before.keys() & after.keys() - case.outputs if before[name] != after[name]]
    if trouble is None:
        trouble = _trouble(case, command, code, said, shown)
    if trouble is None and seconds > most_s:
        trouble = f"took {seconds:.1f} s"
    elif trouble is None and (stray or gone or changed):
        trouble = f"left {sorted(stray)}, removed {sorted(gone)}, changed {sorted(changed)}"
    return code, trouble, seconds


def _trouble(case: Case, command: Command, code: int, said: str, shown: str) -> str | None:
    lines = said.strip().splitlines()
    if "Traceback" in said or code == ExitCode.BUG:
        return said[-3_000:]
    if found := _CONTROLS.search(said + shown):
        place = (said + shown)[max(0, found.start() - 60) : found.end() + 20]
        return f"control character {found[0]!r} shown: {place!r}"
    if code in (0, _USAGE) or (command[0] == "check" and code == 1):
        return None
    odd = case.surroundings is not None
    if code not in _ERRORS and not (odd and code == 141):
        return f"exit code {code}: {lines[-3:]}"
    told = [
        line
        for line in lines
        if not line.startswith(("nsysan: left out: ", "nsysan: exporting ", "nsysan: closing window "))
    ]
    if len(told) != 1 and not odd:
        return f"{len(told)} lines of error: {told[:3]}"
    return None


def _called_in(around: Surroundings, command: Command, folder: Path) -> tuple[int, str, str]:
    """Exit code and what was said and shown by a process of its own."""
    steps = [f"os.umask({around.umask})", *(f"os.close({number})" for number in around.closed)]
    steps += [f"resource.setrlimit({limit}, ({most}, {most}))" for limit, most in around.limits]
    if around.gone:
        steps.insert(0, "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')")
    set_ = {**os.environ, **around.environment}
    environment = {name: value for name, value in set_.items() if value is not None}
    out = subprocess.PIPE if around.out is None else os.open(around.out, os.O_WRONLY)
    done = subprocess.run(
        [sys.executable, "-B", "-c", _AROUND.format("\n".join(steps)), str(ROOT), *command],
        cwd=folder,
        env=environment,
        stdout=out,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode, done.stderr.decode("utf-8", "replace"), (done.stdout or b"").decode("utf-8", "replace")


def _seen(folder: Path) -> dict[str, str]:
    """What is in the folder, and what it holds."""
    return {file.name: _state(file) for file in folder.iterdir()}


def _bytes(folder: Path) -> int:
    """On the disk, of all files in it: an honest input takes longer the larger it is, and a hole is none."""
    files = (file.lstat() for file in folder.rglob("*") if not file.is_symlink() and file.is_file())
    return sum(told.st_blocks * 512 for told in files)


def _state(file: Path) -> str:
    told = file.lstat()
    if file.is_symlink() or not (file.is_file() or file.is_dir()) or told.st_size > _HASHED or not told.st_mode & 0o400:
        return f"{told.st_mode} {told.st_size} {told.st_mtime_ns}"
    return digest(file)
