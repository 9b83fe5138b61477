#!/usr/bin/env python
"""How long nsysan takes and how much memory, by size of the trace, beside what else is installed here.

Traces are grown from a real one (see grow_trace.py) into --cache, once. Every run is a process of its own, import
included, the file in the page cache; runs of the different programs take turns, and the fastest of each counts. Peers
that are not installed are left out; what they prepare in one run they may use in the next. The parquetdir is made here
from the SQLite file, with the tables and columns that nsys writes, unless there is one beside it. NVIDIA's recipe reads
recordings only: it takes part where one lies beside the trace, so give it a large one of your own with --traces. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from nsysan.columns.threads import processors
from nsysan.trace.guard import read_only_uri

SCRIPT = Path(__file__).resolve()
SOURCE = SCRIPT.parent.parent / "fixtures" / "tp4_eager.sqlite.xz"
SIZES = ("10MB", "100MB", "1GB", "4GB")
NSYS_REPORTS = ("cuda_gpu_kern_sum", "nvtx_gpu_proj_sum", "cuda_kern_exec_trace")
RECIPE = "nccl_gpu_overlap_trace"
NSYS_AI_SKILL = "overlap_breakdown"
JSON_RUN, HTML_RUN, PARQUET_RUN = "nsysan, JSON", "nsysan, JSON and HTML", "nsysan, JSON, from a parquetdir"
CAT, SCAN = "`cat`", "SQLite's own scan"
GROWTH_FROM = 50_000_000  # below, start-up counts
#: What an analysis needs at least.
NEEDED = {
    "CUPTI_ACTIVITY_KIND_KERNEL": (
        "start",
        "end",
        "deviceId",
        "contextId",
        "streamId",
        "correlationId",
        "globalPid",
        "graphNodeId",
        "shortName",
        "demangledName",
    ),
    "CUPTI_ACTIVITY_KIND_RUNTIME": ("start", "end", "globalTid", "correlationId", "nameId"),
    "NVTX_EVENTS": ("start", "end", "eventType", "text", "textId", "globalTid", "domainId", "jsonText"),
}
_T = TypeVar("_T")


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds by the clock, seconds of processor time, bytes of memory at most."""

    wall: float
    cpu: float
    peak: int


@dataclass
class Task:
    """One program on one trace, and its runs."""

    name: str
    command: list[str]
    costs: list[Cost] = field(default_factory=list)
    failed: str = ""

    @property
    def best(self) -> Cost | None:
        """The fastest run."""
        return min(self.costs, key=lambda cost: cost.wall) if self.costs else None


@dataclass(frozen=True)
class Measured:
    """One size: bytes of the trace, its rows, the tasks, and seconds and bytes by stage."""

    size: int
    rows: int
    tasks: list[Task]
    stages: dict[str, list[float]]

    def cost(self, name: str) -> Cost | None:
        """The best run of a task."""
        return next((task.best for task in self.tasks if task.name == name), None)


# ---- in a process of their own


def scan(path: Path) -> None:
    """Let SQLite step over the columns that an analysis needs; nothing becomes a Python object."""
    with closing(sqlite3.connect(read_only_uri(path), uri=True)) as database:
        for table, columns in NEEDED.items():
            counts = ", ".join(f'count("{name}")' for name in columns)
            database.execute(f"SELECT {counts} FROM {table}").fetchone()


def stages(path: Path) -> dict[str, list[float]]:
    """[seconds, bytes of memory so far] of each stage of a report; reading is taken out of the stage that asks."""
    found: dict[str, list[float]] = {}
    reading = 0.0

    def timed(stage: str, work: Callable[[], _T]) -> _T:
        before, read = time.perf_counter(), reading
        result = work()
        found[stage] = [time.perf_counter() - before - (reading - read), float(_high_water())]
        return result

    def load() -> None:
        for room in ("diagnosis.diagnose", "page.html", "report.build", "report.document"):
            importlib.import_module(f"nsysan.{room}")

    timed("import", load)
    import nsysan
    from nsysan.diagnosis.diagnose import diagnose
    from nsysan.page.html import to_html
    from nsysan.report.build import build_report
    from nsysan.report.document import to_json

    trace = timed("open", lambda: nsysan.open_trace(path))
    store = trace._file
    read = store.read

    def counted(*args: object, **options: object) -> object:
        nonlocal reading
        before = time.perf_counter()
        try:
            return read(*args, **options)  # type: ignore[arg-type]
        finally:
            reading += time.perf_counter() - before

    store.read = counted  # type: ignore[method-assign, assignment]
    run = timed("model", lambda: nsysan.analyze(trace))
    timed("metrics: ledger", lambda: run.ledger)
    timed("metrics: who is late, idle, what if", lambda: diagnose(run))
    # build_report diagnoses again; what it does beside that is the difference.
    report = timed("report", lambda: build_report(run, nsysan.__version__))
    found["report"][0] = max(0.0, found["report"][0] - found["metrics: who is late, idle, what if"][0])
    timed("JSON", lambda: to_json(report))
    timed("HTML", lambda: to_html(report))
    return {"read": [reading, found["model"][1]], **found}


def _high_water() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


# ---- traces


def grown(cache: Path, source: Path, text: str) -> Path:
    """The trace of a size, from the cache where it is there already."""
    path = cache / f"{source.name.partition('.')[0]}_{text}.sqlite"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        grow = [sys.executable, str(SCRIPT.with_name("grow_trace.py")), "--force", "--size", text]
        subprocess.run([*grow, str(source), str(unfinished)], check=True, stdout=subprocess.DEVNULL)
        unfinished.rename(path)
    return path


def parquetdir(trace: Path) -> Path:
    """The trace as a folder with a Parquet file a table, from the cache where it is there already."""
    folder = trace.with_suffix(".pqtdir")
    if not folder.exists():
        unfinished = trace.with_suffix(".pqtdir.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        subprocess.run([sys.executable, str(SCRIPT), "--convert", str(trace), str(unfinished)], check=True)
        unfinished.rename(folder)
    return folder


def convert(trace: Path, folder: Path) -> None:
    """Write each table that has rows as nsys exports it."""
    with closing(sqlite3.connect(read_only_uri(trace), uri=True)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            _to_parquet(database, table, folder / f"{table}.parquet")


def _to_parquet(database: sqlite3.Connection, table: str, target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string()}
    columns = database.execute(f'PRAGMA table_info("{table}")').fetchall()
    schema = pa.schema(
        (name, pa.binary() if name == "binaryData" else kinds.get(declared, pa.string()))
        for _, name, declared, *_ in columns
    )
    cursor = database.execute(f'SELECT * FROM "{table}"')
    rows = cursor.fetchmany(500_000)
    if not rows:
        return
    with pq.ParquetWriter(target, schema) as writer:
        while rows:
            arrays = [
                pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            rows = cursor.fetchmany(500_000)


def rows_of(trace: Path) -> int:
    """Kernels, API calls and NVTX events."""
    with closing(sqlite3.connect(read_only_uri(trace), uri=True)) as database:
        return sum(int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in NEEDED)


# ---- runs


def tasks_on(trace: Path, scratch: Path, *, peers: bool, parquet: bool) -> list[Task]:
    """Everything that can be run here on a trace."""
    report = [sys.executable, "-m", "nsysan", "report", "--force", "-q", "--json", str(scratch / "report.json")]
    tasks = [
        Task(JSON_RUN, [*report, str(trace)]),
        Task(HTML_RUN, [*report, "-o", str(scratch / "report.html"), str(trace)]),
        Task(CAT, ["cat", str(trace)]),
        Task(SCAN, [sys.executable, str(SCRIPT), "--scan", str(trace)]),
    ]
    folder = parquetdir(trace) if parquet else None
    if folder:
        tasks.append(Task(PARQUET_RUN, [*report, str(folder)]))
    if peers:
        tasks += _peers(trace, scratch)
    return tasks


def _peers(trace: Path, scratch: Path) -> list[Task]:
    tasks = []
    nsys = shutil.which("nsys")
    nsys_ai = shutil.which("nsys-ai") or shutil.which("nsys-ai", path=str(Path(sys.executable).parent))
    if not nsys and not nsys_ai:
        return []
    # Some write into their input (nsys-ai adds indexes) or beside it: give them one of their own.
    copy = scratch / trace.name
    shutil.copyfile(trace, copy)
    if nsys:
        stats = [nsys, "stats", "--format", "csv", "--output", str(scratch / "stats"), "--force-overwrite", "true"]
        tasks += [Task(f"`nsys stats -r {name}`", [*stats, "-r", name, str(copy)]) for name in NSYS_REPORTS]
    recording = trace.with_suffix(".nsys-rep")
    if nsys and recording.exists():
        recipe = [nsys, "recipe", RECIPE, "--force-overwrite", "--output", str(scratch / "recipe"), "--input"]
        tasks.append(Task(f"`nsys recipe {RECIPE}`", [*recipe, str(recording)]))
    if nsys_ai:
        skill = [nsys_ai, "skill", "run", NSYS_AI_SKILL, str(copy), "--format", "json"]
        tasks.append(Task(f"`nsys-ai skill run {NSYS_AI_SKILL}`", skill))
    return tasks


def run(task: Task, limit: float) -> None:
    """Run a task once and keep its cost; one that fails or takes longer than `limit` s is not run again."""
    if task.failed:
        return
    before = time.perf_counter()
    process = subprocess.Popen(
        task.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment()
    )
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        wall = time.perf_counter() - before
        if pid:
            break
        if wall > limit:
            process.kill()
            os.wait4(process.pid, 0)
            task.failed = f"over {limit:.0f} s"
            return
        time.sleep(0.002 if wall < 1 else 0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        task.failed = f"exit code {process.returncode}"
        return
    unit = 1 if sys.platform == "darwin" else 1024
    task.costs.append(Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit))


def _environment() -> dict[str, str]:
    """The environment in which Python finds the nsysan of this checkout first, and keeps its bytecode as pip does."""
    path = [str(SCRIPT.parent.parent), os.environ.get("PYTHONPATH", "")]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def measure(trace: Path, *, runs: int, limit: float, peers: bool, parquet: bool) -> Measured:
    """All tasks on a trace, in turns."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        tasks = tasks_on(trace, scratch, peers=peers, parquet=parquet)
        rows = rows_of(trace)  # and the file is in the page cache, if it fits
        for number in range(runs):
            for task in tasks:
                run(task, limit)
                print(f"{trace.name} {number + 1}/{runs} {task.name}: {_seen(task)}", file=sys.stderr)
        fastest: dict[str, list[float]] = {}
        for _ in range(runs if not tasks[0].failed else 0):
            text = subprocess.run(
                [sys.executable, str(SCRIPT), "--stages", str(trace)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env=_environment(),
            ).stdout
            for stage, (seconds, peak) in json.loads(text).items():
                known = fastest.setdefault(stage, [seconds, peak])
                known[:] = [min(known[0], seconds), min(known[1], peak)]
    return Measured(trace.stat().st_size, rows, tasks, fastest)


def _seen(task: Task) -> str:
    return task.failed or f"{task.costs[-1].wall:.2f} s, {task.costs[-1].peak / 1e9:.2f} GB"


# ---- tables


def growth(points: Sequence[tuple[float, float]]) -> float | None:
    """The exponent b of y = a x^b that fits best in logarithms; None for fewer than two points."""
    if len(points) < 2:
        return None
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x, mean_y = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    slope: float = sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
    return slope


def markdown(traces: str, found: Sequence[Measured], runs: int) -> str:
    """The tables: whole runs, what they are against SQLite's scan, stages. traces: what they are, in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = f"Python {platform.python_version()}, polars {importlib.metadata.version('polars')}"
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {processors()} cores, {memory:.0f} GB memory, {versions}; {traces}; "
        f"best of {runs}; seconds by the clock / of processor time (GB of memory at most)",
        "",
        _row("", [f"{m.size / 1e6:,.0f} MB, {m.rows:,} rows" for m in found]),
        _row("---", ["---:"] * len(found)),
    ]
    names = list(dict.fromkeys(task.name for measured in found for task in measured.tasks))
    lines += [_row(name, [_cell(measured, name) for measured in found]) for name in names]
    lines += [
        _row("rows/s, JSON", [_rate(measured) for measured in found]),
        _row("JSON / SQLite's own scan", [_ratio(measured, JSON_RUN, SCAN) for measured in found]),
        _row("HTML beside JSON", [_more(measured) for measured in found]),
    ]
    others = [name for name in names if name not in (JSON_RUN, HTML_RUN, PARQUET_RUN, SCAN)]
    lines += [_row(f"{name} / JSON", [_ratio(m, name, JSON_RUN) for m in found]) for name in others]
    large = [m for m in found if m.size >= GROWTH_FROM]
    for name in (JSON_RUN, SCAN):
        points = [(m.size, cost.wall) for m in large if (cost := m.cost(name))]
        if (exponent := growth(points)) is not None:
            lines += ["", f"{name}: seconds grow as size^{exponent:.2f} over the {len(points)} larger traces."]
    stage_names = list(dict.fromkeys(stage for measured in found for stage in measured.stages))
    if stage_names:
        lines += ["", _row("stage", [f"{m.size / 1e6:,.0f} MB" for m in found]), _row("---", ["---:"] * len(found))]
    for stage in stage_names:
        cells = [m.stages.get(stage) for m in found]
        lines.append(_row(stage, [f"{c[0]:.2f} ({c[1] / 1e9:.2f})" if c else "" for c in cells]))
    return "\n".join(lines)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join((name, *cells))} |"


def _cell(measured: Measured, name: str) -> str:
    task = next((task for task in measured.tasks if task.name == name), None)
    if task is None:
        return ""
    best = task.best
    return f"{best.wall:.2f} / {best.cpu:.2f} ({best.peak / 1e9:.2f})" if best else task.failed


def _ratio(measured: Measured, above: str, below: str) -> str:
    one, other = measured.cost(above), measured.cost(below)
    return f"{one.wall / other.wall:.2f} x" if one and other else ""


def _rate(measured: Measured) -> str:
    cost = measured.cost(JSON_RUN)
    return f"{measured.rows / cost.wall:,.0f}" if cost else ""


def _more(measured: Measured) -> str:
    html, json_only = measured.cost(HTML_RUN), measured.cost(JSON_RUN)
    return f"+{html.wall - json_only.wall:.2f}" if html and json_only else ""


def main() -> None:
    """Measure all sizes and print the tables; progress goes to standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path("bench-traces"), help="folder for the grown traces")
    parser.add_argument("--source", type=Path, default=SOURCE, help="the real trace (default tp4_eager)")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="SIZE", help="e.g. 10MB 100MB")
    parser.add_argument("--traces", type=Path, nargs="+", metavar="TRACE", help="these as they are, no grown ones")
    parser.add_argument("--runs", type=int, default=3, help="runs of each program (default 3)")
    parser.add_argument("--limit", type=float, default=900, help="seconds after which a run is ended")
    parser.add_argument("--no-peers", action="store_true", help="nsysan, cat and SQLite only")
    parser.add_argument("--no-parquet", action="store_true", help="no parquetdir: making one takes long")
    parser.add_argument("--convert", type=Path, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--stages", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.convert:
        convert(*options.convert)
        return
    if options.scan:
        scan(options.scan)
        return
    if options.stages:
        print(json.dumps(stages(options.stages)))
        return
    if options.traces:
        traces, what = iter(options.traces), "real traces"
    else:
        options.cache.mkdir(parents=True, exist_ok=True)
        traces = (grown(options.cache, options.source, size) for size in options.sizes)
        what = f"traces grown from `{options.source.name.partition('.')[0]}`"
    wanted = {"peers": not options.no_peers, "parquet": not options.no_parquet}
    found = [measure(trace, runs=options.runs, limit=options.limit, **wanted) for trace in traces]
    print(markdown(what, found, options.runs))


if __name__ == "__main__":
    main()
