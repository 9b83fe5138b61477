"""Find an nsys and ask it what it can do. Needs nothing but the standard library."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from glob import glob
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.budgets import ASKED_SECONDS
from nsysan.capture.bounded import Answer, EndlessError, Idle, ask
from nsysan.capture.cures import cure_for, no_room
from nsysan.text import plain

_INSTALLED = (
    "/usr/local/cuda*/bin/nsys",
    "/opt/nvidia/nsight-systems*/*/bin/nsys",
    "/opt/nvidia/nsight-systems*/*/target-linux-*/nsys",
    "/usr/local/cuda*/nsight-systems*/bin/nsys",
    "/usr/lib/nsight-systems/bin/nsys",
    # Nsight Compute brings a whole nsys, though not on PATH.
    "/opt/nvidia/nsight-compute/*/host/target-linux-*/nsys",
    "/usr/local/cuda*/nsight-compute*/host/target-linux-*/nsys",
)
_KINDS = re.compile(r"\b(sqlite|arrowdir|parquetdir)\b")
_TRACE = re.compile(r"(?:-t,\s*)?--trace=")
_VALUE = re.compile(r"'([a-z][a-z0-9-]*)'")
_PERCENT = re.compile(r"(\d{1,3}) ?%")
#: An export that neither computes nor writes for so long hangs.
_EXPORT_IDLE_S = 120.0
_OPTION = re.compile(r"^[ \t]{0,8}(?:-\w,\s*)?(--[\w-]+)(?:[\s=\[<]|$)", re.MULTILINE)

HOW_TO_GET = (
    "install Nsight Systems (package nsight-systems-cli of the CUDA repositories, or the CUDA toolkit), "
    "or name one with --nsys or NSYSAN_NSYS"
)


@dataclass(frozen=True)
class Nsys:
    """One nsys: its path, and its version as numbers."""

    path: Path
    version: tuple[int, ...]

    @property
    def label(self) -> str:
        """The version as people write it."""
        return f"nsys {'.'.join(map(str, self.version))}"


@dataclass(frozen=True)
class Abilities:
    """What one nsys can do, by its own help: values of --trace, options of `profile` and `export`, kinds of export."""

    trace: frozenset[str]
    profile: frozenset[str]
    export: frozenset[str]
    kinds: frozenset[str] = frozenset()


def find_nsys(named: str | None = None) -> Nsys | None:
    """The nsys to use: the one named, else NSYSAN_NSYS, else PATH, else the newest in the usual folders.

    NsysanError if one is named that does not answer; None if there is none.
    """
    for source, value in (("--nsys", named), ("NSYSAN_NSYS", os.environ.get("NSYSAN_NSYS"))):
        if value:
            # Absolute, since "./nsys" as a Path is "nsys", which would be looked up on PATH.
            runnable = shutil.which(value)
            asked = _ask(Path(runnable).absolute()) if runnable else None
            if not isinstance(asked, Nsys):
                why = f": {asked}" if asked else ""
                raise NsysanError(f"{value}: named by {source}, but is no nsys that runs here{why}", ExitCode.NO_NSYS)
            return asked
    on_path = shutil.which("nsys")
    if on_path and isinstance(found := _ask(Path(on_path)), Nsys):
        return found
    return max(installed(), key=lambda nsys: nsys.version, default=None)


def installed() -> list[Nsys]:
    """Those in the usual folders that answer."""
    return [nsys for nsys in map(_ask, _usual()) if isinstance(nsys, Nsys)]


def none_found() -> str:
    """For whoever was told of no nsys: that there is none, or how those that are there fail."""
    on_path = shutil.which("nsys")
    failing = [(path, _ask(path)) for path in ([Path(on_path)] if on_path else []) + _usual()]
    told = [f"{path}: {why}" for path, why in failing if isinstance(why, str) and why]
    return f"none that answers ({'; '.join(told)})" if told else "none on PATH or in the usual folders"


def _usual() -> list[Path]:
    return sorted({Path(path) for pattern in _INSTALLED for path in glob(pattern)})


def require_nsys(named: str | None = None) -> Nsys:
    """The nsys to use, or NsysanError that says how to get one."""
    nsys = find_nsys(named)
    if nsys is None:
        raise NsysanError(f"{none_found().replace('none', 'no nsys', 1)}: {HOW_TO_GET}", ExitCode.NO_NSYS)
    return nsys


@cache
def abilities_of(nsys: Nsys) -> Abilities:
    """What this nsys can do, asked once; NsysanError if it does not say."""
    return parse_abilities(_help(nsys, "profile"), _help(nsys, "export"))


@cache
def options_of(nsys: Nsys, command: str) -> frozenset[str]:
    """The options of one of its commands, asked once; NsysanError if it does not say."""
    return _options(_help(nsys, command))


def parse_abilities(profile_help: str, export_help: str) -> Abilities:
    """Abilities from the help texts of `nsys profile` and `nsys export`."""
    values = _VALUE.findall(_about_trace(profile_help).split("Select the API")[0])
    kinds = frozenset(_KINDS.findall(export_help))
    return Abilities(frozenset(values), _options(profile_help), _options(export_help), kinds)


def _about_trace(profile_help: str) -> str:
    """What the help says below --trace, up to the next option."""
    lines = [line.strip() for line in profile_help.splitlines()]
    first = next((i for i, line in enumerate(lines) if _TRACE.match(line)), len(lines)) + 1
    ends = (i for i in range(first + 1, len(lines)) if lines[i].startswith("-") and not lines[i - 1])
    return "\n".join(lines[first : next(ends, len(lines))])


def export_command(nsys: Nsys, recording: Path, target: Path, kind: str = "sqlite", *, json: bool = True) -> list[str]:
    """The command that exports a recording with the payloads that nsysan reads; json: in words too, for others."""
    known = abilities_of(nsys).export
    command = [str(nsys.path), "export", "--type", kind, "--force-overwrite", "true", "--output", str(target)]
    # Without their bytes words are all there is of payloads.
    words = ("--include-json",) if json or "--include-blobs" not in known else ()
    for flag in (*words, "--include-blobs"):
        command += [flag, "true"] if flag in known else []
    return [*command, str(recording)]


def export(
    nsys: Nsys,
    recording: Path,
    target: Path,
    kind: str = "sqlite",
    *,
    json: bool = True,
    progress: bool = False,
    waiting: Callable[[float], None] | None = None,
    percent: Callable[[int], None] | None = None,
    patience: float = _EXPORT_IDLE_S,
) -> Path:
    """Export a recording as a kind that `nsys export --type` names; NsysanError if nothing came out.

    json: payloads in words too, for others than nsysan.
    progress: let nsys show it on stderr. waiting: is told now and then for how many seconds the export runs; percent:
    how far it says it is. patience: seconds in which it may do nothing.
    """
    heard = None if percent is None else _percents(percent)
    command = export_command(nsys, recording, target, kind, json=json)
    idle = Idle(patience, lambda: size_of(target))
    try:
        answer = ask(command, shown=progress, waiting=waiting, heard=heard, idle=idle)
    except (TimeoutError, EndlessError) as error:
        did = "printed without end" if isinstance(error, EndlessError) else "hung"
        again = shlex.join(export_command(nsys, recording, recording.with_suffix(".sqlite")))
        raise NsysanError(
            f"{recording}: {nsys.label} {did} while it exported it, and was ended; try again: {again}",
            ExitCode.EXPORT_FAILED,
        ) from None
    except OSError as error:
        raise NsysanError(f"{nsys.path}: {error.strerror}", ExitCode.NO_NSYS) from error
    full = no_room(target.absolute().parent) if answer.code else None
    if full or size_of(target) == 0:
        why = plain(answer.last_word, 300) or f"it ended with exit code {answer.code} and no message"
        cure = full or cure_for(answer.err + answer.out)
        raise NsysanError(f"{recording}: {nsys.label} could not export it: {why}; {cure}", ExitCode.EXPORT_FAILED)
    return target


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files of a folder; none if it is not there."""
    try:
        return sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else (path,)))
    except OSError:
        return 0


def _percents(told: Callable[[int], None]) -> Callable[[bytes], None]:
    """Tells the last per cent of each piece that nsys says."""

    def heard(said: bytes) -> None:
        found = _PERCENT.findall(said.decode("ascii", "replace"))
        if found:
            told(min(100, int(found[-1])))

    return heard


def _options(text: str) -> frozenset[str]:
    return frozenset(_OPTION.findall(text))


def _ask(path: Path) -> Nsys | str:
    """The nsys that is there, or how it fails; nothing where something else is."""
    try:
        told = path.stat()
    except OSError:
        return ""
    return _asked(path, told.st_ino, told.st_mtime_ns)


@cache
def _asked(path: Path, inode: int, changed: int) -> Nsys | str:
    del inode, changed
    try:
        answer = _answer(path, "--version")
    except NsysanError as error:
        return str(error)
    found = re.search(r"Nsight Systems version\s+(\d{1,9}(?:\.\d{1,9}){1,9})", answer.out) if answer else None
    return Nsys(path, tuple(int(part) for part in found[1].split("."))) if found else ""


def _help(nsys: Nsys, command: str) -> str:
    try:
        answer = _answer(nsys.path, command, "--help")
    except NsysanError as error:
        raise NsysanError(f"{nsys.path}: {error}", ExitCode.NO_NSYS) from None
    return answer.out + answer.err if answer else ""


def _answer(path: Path, *question: str) -> Answer | None:
    """What it says; None if it cannot be run, NsysanError if it has to be ended."""
    words = shlex.join(("nsys", *question))
    try:
        return ask([str(path), *question], patience=ASKED_SECONDS)
    except TimeoutError:
        raise NsysanError(f"no answer to `{words}` in {ASKED_SECONDS:g} s", ExitCode.NO_NSYS) from None
    except EndlessError:
        raise NsysanError(f"`{words}` prints without end", ExitCode.NO_NSYS) from None
    except OSError:
        return None
