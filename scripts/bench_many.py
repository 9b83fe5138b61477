#!/usr/bin/env python
"""What a report of many traces takes, one a rank, by their number: processor time, memory, what travels.

The traces are made of the four of `fixtures/rank_*`, grown (see grow_trace.py) and numbered: so many ranks a node, a
host name and a communicator a node where --groups asks for it, else one of all ranks. Memory is the sum over this
command's processes, taken every tenth of a second; processor time is that of all of them. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).resolve()
ROOT = SCRIPT.parent.parent
sys.path.insert(0, str(SCRIPT.parent))

import grow_trace  # noqa: E402

ORIGINALS = 4
PER_NODE = 8
SAMPLED_S = 0.1
#: Added to the communicator of the fixtures: of a node, and of the world.
_WORLD = 1_000


@dataclass(frozen=True)
class Cost:
    """What a run took: seconds by the clock and of processors, bytes of memory of all its processes at most."""

    wall: float
    cpu: float
    peak: int


# ---- traces


def made(folder: Path, ranks: int, repeats: int, *, groups: bool) -> list[Path]:
    """A trace a rank; those that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for rank in range(ranks):
        path = folder / f"rank_{rank}_of_{ranks}.sqlite"
        if not path.exists():
            unfinished = path.with_suffix(".part")
            shutil.copyfile(_grown(folder, rank % ORIGINALS, repeats), unfinished)
            _number(unfinished, rank, ranks, groups=groups)
            unfinished.rename(path)
        found.append(path)
    return found


def _grown(folder: Path, original: int, repeats: int) -> Path:
    target = folder / f"original_{original}.sqlite"
    if not target.exists():
        unfinished = target.with_suffix(".part")
        source = ROOT / "fixtures" / f"rank_{original}.sqlite.xz"
        if repeats > 1:
            grow_trace.grow(source, unfinished, repeats=repeats)
        else:
            unfinished.write_bytes(lzma.decompress(source.read_bytes()))
        unfinished.rename(target)
    return target


def _number(path: Path, rank: int, ranks: int, *, groups: bool) -> None:
    """Let a trace be that of a rank: its number, its node's host name, its communicator."""
    node, size = rank // PER_NODE, min(PER_NODE, ranks) if groups else ranks
    with closing(sqlite3.connect(path)) as database:
        (told,) = database.execute(
            """SELECT json_extract(jsonText, '$."NCCL communicator ID"') FROM NVTX_EVENTS
            WHERE jsonText LIKE '%"No. of ranks"%' LIMIT 1"""
        ).fetchone()
        own = told + node if groups else told
        inits = [
            row
            for (row,) in database.execute(
                """SELECT rowid FROM NVTX_EVENTS WHERE jsonText LIKE '%"No. of ranks"%' ORDER BY start"""
            )
        ]
        database.execute(
            """UPDATE NVTX_EVENTS SET binaryData = NULL, jsonText = json_set(jsonText, '$."NCCL communicator ID"', ?)
            WHERE jsonText LIKE '%"NCCL communicator ID"%'""",
            (own,),
        )
        place = ((own, size, rank % size), (told + _WORLD, ranks, rank))
        for row, (communicator, many, number) in zip(inits, place, strict=False):
            database.execute(
                """UPDATE NVTX_EVENTS SET jsonText = json_object('NCCL communicator ID', ?, 'No. of ranks', ?,
                'Rank', ?, 'CUDA device', ?) WHERE rowid = ?""",
                (communicator, many, number, rank % PER_NODE, row),
            )
        database.execute("UPDATE TARGET_INFO_SYSTEM_ENV SET value = ? WHERE name = 'Hostname'", (f"node{node}",))
        database.commit()


# ---- runs


def run(command: Sequence[str], log: Path) -> Cost:
    """Run a command to its end; SystemExit with its last words where it fails."""
    begun = time.perf_counter()
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=_environment())
        peak = 0
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, sum(map(_resident, _tree(process.pid))))
            time.sleep(SAMPLED_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[3:5]} ended with {process.returncode}: {log.read_text()[-2_000:]}")
    return Cost(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, peak)


def _environment() -> dict[str, str]:
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _resident(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """A Dask cluster of so many workers on this machine: its address."""
    import distributed

    with distributed.LocalCluster(
        processes=True, n_workers=workers, threads_per_worker=1, dashboard_address=":0", scheduler_port=0
    ) as local:
        yield local.scheduler_address


def over_cluster(paths: Sequence[Path], address: str, lose: float | None) -> dict[str, float]:
    """A report on a cluster of which a worker is killed after so many seconds of reading: what travelled, what came."""
    import signal
    from threading import Timer

    import distributed

    import nsysan
    from nsysan.report.build import build_report
    from nsysan.report.document import to_json
    from nsysan.run.analyze import analyze
    from nsysan.workers.cluster import Cluster

    lost: list[int] = []

    def kill() -> None:
        with distributed.Client(address, set_as_default=False) as client:
            pid = next(iter(client.run(os.getpid).values()))
            os.kill(pid, signal.SIGKILL)
            lost.append(pid)

    held = Cluster(address)
    timer = None if lose is None else Timer(lose, kill)
    if timer:
        timer.start()
    try:
        found = analyze(list(paths), trace_set=held)
        summaries = held.sent + held.received
        text = to_json(build_report(found, nsysan.__version__, timelines=False))
    finally:
        held.close()
        if timer:
            timer.join()
    document = json.loads(text)
    return {
        "ranks": len(document["run"]["ranks"]) if "run" in document else len(found.ranks),
        "left out": len(found.failures),
        "workers killed": len(lost),
        "bytes": sum(path.stat().st_size for path in paths),
        "summaries": summaries,
        "travelled": held.sent + held.received,
    }


def main() -> None:
    """Measure by number of traces, and print the tables; progress goes to standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path("bench-traces"), help="folder for the traces")
    parser.add_argument("--ranks", type=int, nargs="+", default=[8, 16, 32, 64], metavar="N")
    parser.add_argument("--repeat", type=int, default=10, help="repetitions of the ten steps of the fixtures")
    parser.add_argument("--groups", action="store_true", help="a communicator a node, not one of all ranks")
    parser.add_argument("--jobs", type=int, default=2, help="processes that read (default 2)")
    parser.add_argument(
        "--cluster", type=int, metavar="WORKERS", help="on a Dask cluster, of which one worker is killed"
    )
    parser.add_argument("--lose", type=float, default=10.0, help="seconds after which it is killed (default 10)")
    options = parser.parse_args()
    print("| ranks | MB | seconds | of CPU | memory, GB |\n|---:|---:|---:|---:|---:|")
    for ranks in options.ranks:
        folder = options.cache / f"{'groups' if options.groups else 'all'}_{ranks}_{options.repeat}"
        paths = made(folder, ranks, options.repeat, groups=options.groups)
        size = sum(path.stat().st_size for path in paths)
        if options.cluster:
            with cluster(options.cluster) as address:
                print(json.dumps(over_cluster(paths, address, options.lose)))
            continue
        with tempfile.TemporaryDirectory() as name:
            report = [sys.executable, "-m", "nsysan", "report", *map(str, paths), "--json", f"{name}/r.json", "-q"]
            log = folder / "log"
            cost = run([*report, "--timings", "--jobs", str(options.jobs)], log)
        print(f"| {ranks} | {size / 1e6:,.0f} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.peak / 1e9:.2f} |", flush=True)


if __name__ == "__main__":
    main()
