"""Read thousands of damaged exports: each must give a report or one line of error, in time, and touch nothing else.

    python scripts/fuzz.py --count 2000             # on the traces of fixtures/
    python scripts/fuzz.py --only 1234 --keep DIR   # one of them again, with its files kept

Prints each traceback, hang, changed input and stray file with the number that makes it again; exits with 1 if any.
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import multiprocessing
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.mutations import mutate  # noqa: E402

TRACES = ("tp2_graph", "tp4_slow", "tp4_symm", "rank_0", "tp2_metrics", "tp4_fused", "tp2_late1")
HANG_S = 10.0
_COMMANDS = (
    ("report", "--json", "out.json", "-o", "out.html", "-q"),
    ("report", "--json", "out.json", "-q"),
    ("info", "--json"),
)


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged export. trouble: None, or what must not be."""

    number: int
    mutation: str
    exit_code: int | None
    trouble: str | None
    seconds: float


def main() -> int:
    """Run, print a line a problem and a summary."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.keep or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        sources = [_unpacked(name, folder) for name in TRACES]
        numbers = options.only or range(options.first, options.first + options.count)
        outcomes = _run(list(numbers), sources, folder, options.jobs)
    troubles = [outcome for outcome in outcomes if outcome.trouble]
    codes = Counter(outcome.exit_code for outcome in outcomes)
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    print(f"{len(outcomes)} damaged exports: " + ", ".join(f"exit {c}: {n}" for c, n in sorted(codes.items(), key=str)))
    print(f"slowest {slowest.seconds:.1f} s ({slowest.number}, {slowest.mutation}); {len(troubles)} problems")
    return int(bool(troubles))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--only", type=int, nargs="*", help="these numbers alone")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", help="folder for the damaged exports and what was made of them")
    return parser.parse_args()


def _unpacked(name: str, folder: Path) -> Path:
    target = folder / f"{name}.sqlite"
    plain = ROOT / "fixtures" / target.name
    packed = plain.with_name(f"{plain.name}.xz")
    target.write_bytes(plain.read_bytes() if plain.exists() else lzma.decompress(packed.read_bytes()))
    return target


def _run(numbers: list[int], sources: list[Path], folder: Path, jobs: int) -> list[Outcome]:
    """All outcomes, by as many workers as asked for; one that hangs is killed and replaced."""
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(numbers))
    workers = [_Worker(context, sources, folder / f"worker{i}") for i in range(jobs)]
    outcomes: list[Outcome] = []
    while waiting or any(worker.number is not None for worker in workers):
        for worker in workers:
            if worker.number is None and waiting:
                worker.give(waiting.pop())
            elif worker.number is not None and (outcome := worker.take()):
                outcomes.append(outcome)
                if outcome.trouble:
                    print(f"{outcome.number} {outcome.mutation}\n    {outcome.trouble}", flush=True)
        time.sleep(0.002)
    for worker in workers:
        worker.process.kill()
    return outcomes


class _Worker:
    """A process that damages and reads one export after the other, and the end of a pipe to it."""

    def __init__(self, context: multiprocessing.context.SpawnContext, sources: list[Path], folder: Path) -> None:
        self.number: int | None = None
        self._context, self._sources, self._folder = context, sources, folder
        self._since = 0.0
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self.process = self._context.Process(target=_work, args=(theirs, self._sources, self._folder), daemon=True)
        self.process.start()
        self._pipe.recv()  # its imports are done

    def give(self, number: int) -> None:
        """Begin with a number."""
        self.number, self._since = number, time.monotonic()
        self._pipe.send(number)

    def take(self) -> Outcome | None:
        """The outcome, if there is one by now."""
        number, seconds = self.number, time.monotonic() - self._since
        assert number is not None
        lost = None
        if self._pipe.poll():
            try:
                outcome: Outcome = self._pipe.recv()
            except EOFError:
                lost = "the process died"
            else:
                self.number = None
                return outcome
        elif seconds > 3 * HANG_S:
            lost = f"hangs: still busy after {seconds:.0f} s"
        if lost is None:
            return None
        self.process.kill()
        self._start()
        self.number = None
        return Outcome(number, "", None, lost, seconds)


def _work(pipe: Connection, sources: list[Path], folder: Path) -> None:
    import contextlib
    import io
    import os

    from nsysan.cli import main as nsysan_main

    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    pipe.send("ready")
    while True:
        number = pipe.recv()
        for file in folder.iterdir():
            file.unlink()
        source = sources[(number // 19) % len(sources)]
        trace = folder / "damaged.sqlite"
        mutation = f"{source.stem} {mutate(source, trace, number)}"
        before = hashlib.sha256(trace.read_bytes()).digest()
        command, *arguments = _COMMANDS[number % len(_COMMANDS)]
        sys.argv = ["nsysan", command, trace.name, *arguments]
        said = io.StringIO()
        begun, code, trouble = time.monotonic(), 0, None
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
                nsysan_main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        except BaseException:
            trouble = traceback.format_exc()
        seconds = time.monotonic() - begun
        stray = {file.name for file in folder.iterdir()} - {"damaged.sqlite", "out.json", "out.html"}
        lines = said.getvalue().strip().splitlines()
        if seconds > HANG_S:
            trouble = trouble or f"took {seconds:.1f} s"
        elif code and code not in range(3, 13):
            trouble = trouble or f"exit code {code}: {lines[-1:]}"
        elif code and len(lines) != 1:
            trouble = trouble or f"{len(lines)} lines of error: {lines[:3]}"
        elif stray or hashlib.sha256(trace.read_bytes()).digest() != before:
            trouble = trouble or f"wrote what it should not: {sorted(stray) or 'the input'}"
        pipe.send(Outcome(number, mutation, code, trouble, seconds))


if __name__ == "__main__":
    raise SystemExit(main())
