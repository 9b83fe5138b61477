"""One damaged export, one command on it, and what must not come of that: the unit of all fuzzing, by number."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import shutil
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nsysan.cli import main as nsysan_main
from tests.fixtures import unpack_exports, unpacked
from tests.mutations import mutate, mutate_folder

#: One file each; RANKS are four reports of one run.
TRACES = ("tp2_graph", "tp4_slow", "tp4_symm", "rank_0", "tp2_metrics", "tp4_fused", "tp2_late1")
RANKS = ("rank_0", "rank_1", "rank_2", "rank_3")
FOLDERS = ("tp2_pqtdir", "tp2_arwdir")
#: Seconds of a processor that a command may take, and bytes of memory.
HANG_S = 10.0
MOST_BYTES = 1_500_000_000
ROOT = Path(__file__).resolve().parent.parent

_DAMAGED = "damaged.sqlite"
_FOLDER = "damaged_dir"
_GOOD = "good.sqlite"
_BESIDE = frozenset(("damaged.topology.txt", "out.topology.txt", *(f"{name}.topology.txt" for name in RANKS)))
_OUTPUTS = frozenset(("out.json", "out.html", "out.md", "out.sqlite", "out.perfetto.json"))
_REPORT = ("report", "--json", "out.json", "-o", "out.html", "-q")
#: D stands for what is damaged, G for a sound trace.
COMMANDS: tuple[tuple[str, ...], ...] = (
    (*_REPORT, "D"),
    ("report", "--json", "out.json", "-q", "D"),
    ("report", "-o", "out.html", "--force", "-q", "D"),
    ("info", "--json", "D"),
    ("info", "D"),
    ("compare", "D", "G", "--json", "out.json"),
    ("compare", "G", "D", "-o", "out.html", "-q"),
    ("check", "D", "--fail-on", "period>1ms", "--fail-on", "straggler", "--fail-on", "wire_p50>10us"),
    ("report", "--markdown", "out.md", "--no-nvtx", "-q", "D"),
    ("export", "--perfetto", "out.perfetto.json", "-q", "D"),
    ("redact", "D", "-o", "out.sqlite"),
    ("whatif", "D", "--set", "kernel[~a].x0.5", "--set", "gaps=0", "--json", "out.json", "-q"),
    (
        "report",
        "--model",
        "hidden=4096,layers=2,ffn=64,heads=8,dtype=bf16",
        "--json",
        "out.json",
        "-q",
        "D",
    ),
    ("check", "D", "--fail-on", "kernel[~a].ns>+5%", "--fail-on", "kernel[gemm].calls>1"),
)
_VERDICTS_OF_CHECK = (1, 2)
_ERRORS = (*range(3, 13), 30)


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged export, or of another kind of hostile input. trouble: None, or what must not be."""

    number: int
    mutation: str
    exit_code: int | None
    trouble: str | None
    seconds: float
    kind: str = "damage"


def unpack(folder: Path) -> None:
    """Put the traces that are damaged, and folders of tables, into a folder."""
    for name in {*TRACES, *RANKS}:
        unpacked(name, folder)
    unpack_exports(folder)


def attempt(sources: Path, folder: Path, number: int, command: Sequence[str] | None = None) -> Outcome:
    """Damage what the number says, run what it says (or `command`), and look at what came of it.

    sources: as `unpack` filled it. folder: the working directory, emptied first.
    """
    chance = random.Random(number)
    emptied(folder)
    words = list(command or chance.choice(COMMANDS))
    damaged, mutation = _damage(sources, folder, number, chance, words[0])
    if "G" in words:
        shutil.copyfile(sources / "tp2_graph.sqlite", folder / _GOOD)
    if "--force" in words:
        (folder / "out.html").write_text("old")
    arguments = [part for word in words for part in (damaged if word == "D" else [_GOOD] if word == "G" else [word])]
    inputs = {*damaged, *([_GOOD] if "G" in words else [])}
    before = {name: digest(folder / name) for name in inputs}
    code, said, _, trouble, seconds = called(arguments)
    stray = {file.name for file in folder.iterdir()} - inputs - _OUTPUTS - _BESIDE
    lines = said.strip().splitlines()
    if trouble is None and seconds > HANG_S:
        trouble = f"took {seconds:.1f} s"
    elif trouble is None and {name: digest(folder / name) for name in inputs} != before:
        trouble = "the input was changed"
    elif trouble is None and stray:
        trouble = f"left {sorted(stray)}"
    elif trouble is None and code and not (words[0] == "check" and code in _VERDICTS_OF_CHECK):
        if code not in _ERRORS:
            trouble = f"exit code {code}: {lines[-1:]}"
        elif len(lines) != 1:
            trouble = f"{len(lines)} lines of error: {lines[:3]}"
    return Outcome(number, f"{' '.join(words)}; {mutation}", code, trouble, seconds)


def _damage(sources: Path, folder: Path, number: int, chance: random.Random, command: str) -> tuple[list[str], str]:
    """The names of what the command is to read, and what was done to one of them."""
    form = chance.random()
    if form < 0.1 and command != "redact":
        name = chance.choice(FOLDERS)
        return [_FOLDER], f"{name} {mutate_folder(sources / name, folder / _FOLDER, number)}"
    if form < 0.2 and command in ("report", "check"):
        victim = chance.choice(RANKS)
        for name in RANKS:
            if name != victim:
                shutil.copyfile(sources / f"{name}.sqlite", folder / f"{name}.sqlite")
        did = mutate(sources / f"{victim}.sqlite", folder / f"{victim}.sqlite", number)
        return [f"{name}.sqlite" for name in RANKS], f"{victim} of {len(RANKS)} {did}"
    name = chance.choice(TRACES)
    return [_DAMAGED], f"{name} {mutate(sources / f'{name}.sqlite', folder / _DAMAGED, number)}"


def called(arguments: Sequence[str]) -> tuple[int, str, str, str | None, float]:
    """Exit code, standard error and output, traceback if there is one, and seconds of a processor of one call."""
    said, shown = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["nsysan", *arguments]
    begun, code, trouble = cpu_seconds(), 0, None
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
            nsysan_main()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:  # a panic of polars is no Exception
        trouble = traceback.format_exc()
    finally:
        sys.argv = before
    return code, said.getvalue(), shown.getvalue(), trouble, cpu_seconds() - begun


def cpu_seconds() -> float:
    """Of this process and of those of its own that have ended."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system


def emptied(folder: Path) -> None:
    """Empty a folder of whatever it holds."""
    for file in folder.iterdir():
        shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()


def digest(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(file.name))
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


class WriteGuard:
    """Files that Python opens for writing outside some folders, noted by an audit hook that stays for good."""

    def __init__(self, *folders: Path) -> None:
        self._allowed = (*(f"{folder.resolve()}{os.sep}" for folder in folders), os.devnull, "/dev/full")
        self.outside: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            path = arguments[0]
            if isinstance(path, str | bytes) and not os.path.abspath(os.fsdecode(path)).startswith(self._allowed):
                self.outside.append(os.fsdecode(path))
