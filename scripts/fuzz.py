"""Give nsysan thousands of hostile inputs: each must end well or in one line of error, in time, and touch nothing else.

    python scripts/fuzz.py --count 2000                  # of all kinds in turn
    python scripts/fuzz.py --kinds damage wal --first 500
    python scripts/fuzz.py --only wal:1234 --keep DIR    # one of them again, with its files kept

Kind `damage`: truncations, flips, wrong types and values, dropped tables and columns, in SQLite files, folders of
tables and one of several reports, under all commands that read. The others are those of tests/hostile/kinds.py. Each
is run in a process of its own, which may take 10 s of a processor, a second more for each 2 MB of input, and 1.5 GB.
Prints each traceback, hang, changed input and stray file with the name that makes it again; exits with 1 if any.
"""

from __future__ import annotations

import argparse
import os
import pickle
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import cycle, islice
from pathlib import Path
from pkgutil import walk_packages

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import nsysan  # noqa: E402
from tests.attempt import HANG_S, MOST_BYTES, Outcome, WriteGuard, attempt, unpack  # noqa: E402
from tests.hostile.kinds import KINDS  # noqa: E402
from tests.hostile.sources import make_sources  # noqa: E402
from tests.hostile.trial import trial  # noqa: E402

_DAMAGE = "damage"
#: Seconds of a processor, and on the wall, after which one is ended.
_ENDED_S, _WALL_S = 6 * int(HANG_S), 30 * HANG_S


@dataclass(frozen=True)
class Done:
    """An outcome, and the most memory that its processes took at once."""

    outcome: Outcome
    peak: int

    @property
    def name(self) -> str:
        """What makes it again."""
        return f"{self.outcome.kind}:{self.outcome.number}"


def main() -> int:
    """Run, print a line a problem and a summary."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.keep or scratch).resolve()
        sources = folder / "sources"
        sources.mkdir(parents=True, exist_ok=True)
        _in_child(lambda: (unpack(sources), make_sources(sources)))
        _import_all()
        done = _run(_names(options), sources, folder, options.jobs)
    troubles = [one for one in done if one.outcome.trouble]
    codes = Counter(one.outcome.exit_code for one in done)
    print(f"{len(done)} inputs: " + ", ".join(f"exit {c}: {n}" for c, n in sorted(codes.items(), key=str)))
    slow, large = (max(done, key=key) for key in (lambda one: one.outcome.seconds, lambda one: one.peak))
    print(f"slowest {slow.outcome.seconds:.1f} s ({slow.name}), largest {large.peak / 1e6:.0f} MB ({large.name})")
    print(f"{len(troubles)} problems")
    return int(bool(troubles))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--kinds", nargs="*", default=[_DAMAGE, *KINDS], choices=[_DAMAGE, *KINDS], help="in turn")
    parser.add_argument("--only", nargs="*", help="these alone, as KIND:NUMBER")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", help="folder for the inputs and what was made of them")
    return parser.parse_args()


def _names(options: argparse.Namespace) -> list[tuple[str, int]]:
    if options.only:
        return [(kind, int(number)) for kind, _, number in (name.rpartition(":") for name in options.only)]
    kinds = islice(cycle(options.kinds), options.first, options.first + options.count)
    return list(zip(kinds, range(options.first, options.first + options.count), strict=True))


def _run(names: list[tuple[str, int]], sources: Path, folder: Path, jobs: int) -> list[Done]:
    """All outcomes; `jobs` at a time."""
    waiting = list(reversed(names))
    places = [folder / f"worker{i}" for i in range(jobs)]
    running: dict[Path, _Child] = {}
    found: list[Done] = []
    while waiting or running:
        for place in places:
            if place not in running and waiting:
                running[place] = _Child(*waiting.pop(), sources, place)
            elif place in running and (done := running[place].taken()):
                del running[place]
                found.append(done)
                if done.outcome.trouble:
                    print(f"{done.name} {done.outcome.mutation}\n    {done.outcome.trouble}", flush=True)
                if len(found) % 100 == 0:
                    print(f"({len(found)} of {len(names)})", file=sys.stderr, flush=True)
        time.sleep(0.01)
    return found


class _Child:
    """A process that makes and meets one input. Forked, so that its imports are done."""

    def __init__(self, kind: str, number: int, sources: Path, folder: Path) -> None:
        self._kind, self._number, self._since = kind, number, time.monotonic()
        self._answer = folder.with_name(f"{folder.name}.answer")
        self._answer.unlink(missing_ok=True)
        self._pid = os.fork()
        if not self._pid:
            try:
                os.setsid()
                self._answer.write_bytes(pickle.dumps(_met(kind, number, sources, folder)))
            finally:
                os._exit(0)

    def taken(self) -> Done | None:
        """What came of it, if it has ended."""
        seconds = time.monotonic() - self._since
        pid, status, usage = os.wait4(self._pid, os.WNOHANG)
        lost = None
        if not pid:
            if seconds < _WALL_S:
                return None
            os.killpg(self._pid, 9)
            _, _, usage = os.wait4(self._pid, 0)
            lost = f"hangs: still there after {seconds:.0f} s"
        elif not self._answer.exists():
            lost = f"the process died of {status}"
        taken, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
        if lost is not None:
            return Done(Outcome(self._number, "", None, lost, taken, self._kind), peak)
        outcome: Outcome = pickle.loads(self._answer.read_bytes())
        if peak > MOST_BYTES and not outcome.trouble:
            outcome = replace(outcome, trouble=f"took {peak / 1e6:.0f} MB")
        return Done(outcome, peak)


def _met(kind: str, number: int, sources: Path, folder: Path) -> Outcome:
    resource.setrlimit(resource.RLIMIT_CPU, (_ENDED_S, _ENDED_S + 5))
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    rest = folder.with_name(f"{folder.name}.tmp")
    rest.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(rest)
    tempfile.tempdir = None
    sys.dont_write_bytecode = True
    guard = WriteGuard(folder, rest)
    done = attempt(sources, folder, number) if kind == _DAMAGE else trial(sources, folder, kind, number)
    left = [file.name for file in rest.iterdir()]
    if (guard.outside or left) and not done.trouble:
        done = replace(
            done, trouble=f"wrote outside its folder: {guard.outside[:3]}, left {left[:3]} in the temporary one"
        )
    return done


def _import_all() -> None:
    """Import what any command may, once for all children, which so are of one state of the code.

    The threads that begin with it only tidy up; polars' own begin when it is first asked for something.
    """
    for module in walk_packages(nsysan.__path__, "nsysan."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in ("sqlite_utils", "detect_secrets", "pandas", "adbc_driver_sqlite.dbapi", "plotly.graph_objects"):
        import_module(name)


def _in_child(work: object) -> None:
    """Do it in another process: polars' threads would not be there in those forked later."""
    assert callable(work)
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


if __name__ == "__main__":
    raise SystemExit(main())
