"""Damage thousands of exports: each must give a report or one line of error, in time, and touch nothing else.

    python scripts/fuzz.py --count 2000             # on the traces of fixtures/
    python scripts/fuzz.py --only 1234 --keep DIR   # one of them again, with its files kept

Truncations, flips, wrong types and values, dropped tables and columns, in SQLite files, folders of tables and one of
several reports, under all commands that read. Prints each traceback, hang, changed input and stray file with the
number that makes it again; exits with 1 if any.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.attempt import HANG_S, Outcome, WriteGuard, attempt, unpack  # noqa: E402


def main() -> int:
    """Run, print a line a problem and a summary."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.keep or scratch)
        sources = folder / "sources"
        sources.mkdir(parents=True, exist_ok=True)
        unpack(sources)
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


def _run(numbers: list[int], sources: Path, folder: Path, jobs: int) -> list[Outcome]:
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

    def __init__(self, context: multiprocessing.context.SpawnContext, sources: Path, folder: Path) -> None:
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


def _work(pipe: Connection, sources: Path, folder: Path) -> None:
    import os

    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    sys.dont_write_bytecode = True
    guard = WriteGuard(folder)
    pipe.send("ready")
    while True:
        outcome = attempt(sources, folder, pipe.recv())
        if guard.outside and not outcome.trouble:
            wrote = f"wrote outside its folder: {guard.outside[:3]}"
            outcome = Outcome(outcome.number, outcome.mutation, outcome.exit_code, wrote, outcome.seconds)
        guard.outside.clear()
        pipe.send(outcome)


if __name__ == "__main__":
    raise SystemExit(main())
