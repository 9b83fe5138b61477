#!/usr/bin/env python
"""A trace of any size from a real one, for tests of speed: its decode steps over and over, on as many ranks as asked.

Everything from the second step up to the last is repeated, host calls, NVTX ranges and GPU work, in every table and
column that the source has; what came before (warm-up, graph creation) stays once at the front, what came after once
at the end. So graph nodes keep their ids and the rows of their creation, and correlation, range and primary-key ids
are moved on with each repetition. A host row belongs where it began, GPU work where the call that launched it began.

All ranks are shifted by one length: the longest time, of any rank, from its second step to its last. Every step then
has the figures of the step that it repeats, ns by ns, but for the last step of each repetition: there a rank whose own
time was shorter by d idles d longer. No work overlaps at the joint.

Ranks are cloned whole: new process, thread and device numbers, NCCL's rank and size of the communicator in the
payloads' words (payload bytes are dropped where they were told in words). A clone runs at the very times of its
original, so where one rank was late two are, and neither alone.
"""

from __future__ import annotations

import argparse
import lzma
import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

STEPS = "decode_step_"
RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"
KERNEL = "CUPTI_ACTIVITY_KIND_KERNEL"
HEAD, TILE, TAIL = 0, 1, 2
PROBE = 1
# Rows that describe the session or the making of graphs: once is right, however long the capture.
ONCE = re.compile(r"DIAGNOSTIC_EVENT|CUDA_GRAPH_(NODE_)?EVENTS|TARGET_INFO_.*|META_DATA_.*|ANALYSIS_.*|ENUM_.*")
TIMES = ("start", "end", "timestamp", "rawTimestamp")
IDS = ("correlationId", "rangeId", "gridId")
THREADS = ("globalPid", "globalTid", "endGlobalTid")
PIDS = ("pid", "processId")
DEVICES = ("deviceId", "srcDeviceId", "dstDeviceId", "cudaId", "gpuId", "cuDevice")
PROCESS_MASK = -(1 << 24)
#: Counters and calls that no figure of a report comes from.
COUNTERS = ("GR Active [Throughput %]", "Compute Warps in Flight [Throughput %]", "GPC Clock Frequency [MHz]")
METRICS_TYPE = (1 << 48) | (1 << 32)
METRICS_SQL = """
CREATE TABLE IF NOT EXISTS TARGET_INFO_GPU_METRICS (typeId INTEGER NOT NULL, sourceId INTEGER NOT NULL,
    typeName TEXT NOT NULL, metricId INTEGER NOT NULL, metricName TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS GPU_METRICS (rawTimestamp INTEGER, timestamp INTEGER, typeId INTEGER NOT NULL,
    metricId INTEGER NOT NULL, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS OSRT_API (start INTEGER NOT NULL, end INTEGER, eventClass INTEGER NOT NULL,
    globalTid INTEGER, correlationId INTEGER, nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL,
    nestingLevel INTEGER, callchainId INTEGER NOT NULL);
"""


class GrowError(Exception):
    """The source cannot be grown; the message says why."""


@dataclass(frozen=True)
class Grown:
    """repeats: of the steps `first` to `last` - 1 of the source, each `length` ns after the one before.

    length - spans[globalPid] is what the last step of a repetition idles longer on that process.
    """

    repeats: int
    first: int
    last: int
    length: int
    spans: dict[int, int]

    def original(self, step: int) -> int:
        """The step of the source that a step of the grown trace repeats."""
        tile = self.last - self.first
        if step < self.first:
            return step
        if step < self.first + self.repeats * tile:
            return self.first + (step - self.first) % tile
        return step - (self.repeats - 1) * tile

    def at_joint(self, step: int) -> bool:
        """Whether the step is the last of a repetition that another follows."""
        tile = self.last - self.first
        return self.first <= step < self.first + (self.repeats - 1) * tile and self.original(step) == self.last - 1


def grow(
    source: Path,
    target: Path,
    *,
    repeats: int = 1,
    size: int | None = None,
    ranks: int | None = None,
    metrics: int = 0,
    steps: str = STEPS,
) -> Grown:
    """Write `target`, replacing it: `repeats` repetitions, or as many as make a file of about `size` bytes.

    source: an export (.sqlite, or packed as .xz). ranks: a multiple of the source's. metrics: so many rows of
    GPU counters and OS calls that no report needs. steps: what the names of the step ranges begin with.
    """
    _copy(source, target)
    with closing(sqlite3.connect(target, isolation_level=None)) as database:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = MEMORY", "cache_size = -262144"):
            database.execute(f"PRAGMA {pragma}")
        database.execute("BEGIN")
        if ranks is not None:
            _clone_ranks(database, ranks)
        grown = _Tiler(database, steps).repeat(repeats, size, metrics)
        database.execute("COMMIT")
    return grown


def _copy(source: Path, target: Path) -> None:
    if source.suffix == ".xz":
        with lzma.open(source) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    else:
        shutil.copyfile(source, target)


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]


def _keys(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f'PRAGMA table_info("{table}")') if row[5]]


def _tables(database: sqlite3.Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]


def _insert(table: str, columns: Sequence[str], values: dict[str, str], origin: str) -> str:
    """INSERT of rows of `origin` into `table`, some columns by the expression given."""
    into = ", ".join(f'"{name}"' for name in columns)
    chosen = ", ".join(values.get(name, f'"{name}"') for name in columns)
    return f'INSERT INTO main."{table}" ({into}) SELECT {chosen} FROM {origin}'


# ---- time


class _Tiler:
    """Cuts an open trace into head, tile and tail, and repeats the tile."""

    def __init__(self, database: sqlite3.Connection, steps: str) -> None:
        self.database = database
        self.steps = steps
        self.first = 1
        self.last = self._cut()
        self._sort_launches()
        self.parted = [table for table in _tables(database) if self._part(table)]
        self.spans = self._spans()
        self.length = max(*self.spans.values(), self._host_span())
        self.stride = {column: self._stride(column) for column in IDS}

    def repeat(self, repeats: int, size: int | None, metrics: int) -> Grown:
        """Write the repetitions, move the tail behind them, add the rows that nobody needs."""
        done = 1
        if size is not None:
            done, repeats = self._fill_most(size)
        self._fill(done, repeats)
        for table in self.parted:
            self._move_tail(table, repeats - 1)
        self._extend(repeats - 1)
        if metrics:
            _add_irrelevant(self.database, metrics)
        return Grown(repeats, self.first, self.last, self.length, self.spans)

    def _fill_most(self, size: int) -> tuple[int, int]:
        """Repetitions written so far, and how many make `size`.

        How much one takes is known once some are there, and later ones take more: their numbers are longer.
        """
        done, repeats, before = 1, 1 + PROBE, self._bytes()
        for share in (0, 0.8, 0.95):
            aim = max(1 + PROBE, done + int((repeats - done) * share)) if share else repeats
            self._fill(done, aim)
            grown, now = aim - done, self._bytes()
            done = aim
            if grown:
                repeats = max(done, done + round((size - now) * grown / max(1, now - before)))
                before = now
        return done, repeats

    def _cut(self) -> int:
        """Where each process begins its second step, and its last, on the host; the number of the last."""
        self.database.execute("CREATE TEMP TABLE ranges AS " + self._ranges())
        counts = self.database.execute("SELECT count(*) FROM ranges GROUP BY process").fetchall()
        if not counts or len(set(counts)) != 1 or counts[0][0] < 3:
            raise GrowError(f"needs three or more NVTX ranges '{self.steps}...' a process, equally many on each")
        last = int(counts[0][0]) - 1
        self.database.execute(
            f"""CREATE TEMP TABLE cut AS SELECT process, max(start) FILTER (WHERE number = {self.first}) AS begin,
            max(start) FILTER (WHERE number = {last}) AS finish FROM ranges GROUP BY process"""
        )
        return last

    def _ranges(self) -> str:
        text = "text, textId" if "textId" in _columns(self.database, "NVTX_EVENTS") else "text, NULL AS textId"
        return f"""SELECT process, start, row_number() OVER (PARTITION BY process ORDER BY start) - 1 AS number FROM
            (SELECT globalTid & {PROCESS_MASK} AS process, start, {text} FROM NVTX_EVENTS WHERE eventType IN (59, 60))
            LEFT JOIN StringIds ON id = textId WHERE substr(coalesce(text, value), 1, {len(self.steps)}) =
            '{self.steps.replace("'", "''")}'"""

    def _by_time(self, process: str, time: str) -> str:
        """SQL for the part of a row by its time; processes without steps are cut where the first one is."""
        begin, finish = (
            f"coalesce((SELECT {edge} FROM cut WHERE process = {process}), (SELECT min({edge}) FROM cut))"
            for edge in ("begin", "finish")
        )
        return f"CASE WHEN {time} < {begin} THEN {HEAD} WHEN {time} < {finish} THEN {TILE} ELSE {TAIL} END"

    def _sort_launches(self) -> None:
        self.database.execute(
            "CREATE TEMP TABLE launched (process INTEGER, correlation INTEGER, part INTEGER, "
            "PRIMARY KEY (process, correlation)) WITHOUT ROWID"
        )
        if RUNTIME in _tables(self.database):
            process = f"globalTid & {PROCESS_MASK}"
            self.database.execute(
                f"INSERT OR IGNORE INTO launched SELECT {process}, correlationId, {self._by_time(process, 'start')} "
                f"FROM {RUNTIME} WHERE correlationId IS NOT NULL ORDER BY start"
            )

    def _part(self, table: str) -> bool:
        """Keep the rows of the tile in temp."tile_<table>" and the rowids of the tail; False for a table that stays."""
        columns = _columns(self.database, table)
        time = next((name for name in TIMES if name in columns), None)
        if ONCE.fullmatch(table) or (time is None and "correlationId" not in columns):
            return False
        process = next((f"{name} & {PROCESS_MASK}" for name in ("globalPid", "globalTid") if name in columns), "NULL")
        part = self._by_time(process, time) if time else str(HEAD)
        if "globalPid" in columns and "correlationId" in columns:
            own = "(SELECT part FROM launched WHERE process = globalPid AND correlation = correlationId)"
            part = f"coalesce({own}, {part})"
        parts = f'SELECT rowid AS at, {part} AS part FROM main."{table}"'
        self.database.execute(f'CREATE TEMP TABLE "part_{table}" AS {parts}')
        self.database.execute(
            f'CREATE TEMP TABLE "tile_{table}" AS SELECT * FROM main."{table}" WHERE rowid IN '
            f'(SELECT at FROM "part_{table}" WHERE part = {TILE})'
        )
        return True

    def _spans(self) -> dict[int, int]:
        """How long the GPU work of each process takes from its second step to its last."""
        begun = f"""SELECT globalPid, min(start) FILTER (WHERE part = {TAIL}) - min(start) FILTER (WHERE part = {TILE})
            FROM {KERNEL} JOIN "part_{KERNEL}" ON at = {KERNEL}.rowid GROUP BY globalPid"""
        spans = {process: int(span) for process, span in self.database.execute(begun) if span is not None}
        if not spans:
            raise GrowError("no kernel in the steps")
        return spans

    def _host_span(self) -> int:
        """The same of the host's calls, the longest of any process: they are to stay apart as well."""
        return int(self.database.execute("SELECT max(finish - begin) FROM cut").fetchone()[0])

    def _stride(self, column: str) -> int:
        tables = [t for t in self.parted if column in _columns(self.database, t)]
        most = [self.database.execute(f'SELECT max("{column}") FROM main."{t}"').fetchone()[0] or 0 for t in tables]
        return max(most, default=0) + 1

    def _fill(self, begin: int, finish: int) -> None:
        """Write repetitions begin to finish - 1, table by table."""
        if finish <= begin:
            return
        numbers = f"WITH RECURSIVE n(i) AS (SELECT {begin} UNION ALL SELECT i + 1 FROM n WHERE i < {finish - 1}) "
        for table in self.parted:
            columns = _columns(self.database, table)
            values = self._shifted(table, columns, "i")
            self.database.execute(numbers + _insert(table, columns, values, f'n CROSS JOIN temp."tile_{table}"'))

    def _shifted(self, table: str, columns: Sequence[str], times: str) -> dict[str, str]:
        """Expression for each column that differs `times` repetitions on."""
        values = {name: f'"{name}" + {times} * {self.length}' for name in TIMES if name in columns}
        values |= {name: f'"{name}" + {times} * {self.stride[name]}' for name in IDS if name in columns}
        for name in _keys(self.database, table):
            most = self.database.execute(f'SELECT max("{name}") FROM main."{table}"').fetchone()[0] or 0
            values[name] = f'"{name}" + {times} * {int(most) + 1}'
        if table == "NVTX_EVENTS":
            values["text"] = self._renumbered(times)
        return values

    def _renumbered(self, times: str) -> str:
        """SQL for the name of a step range, numbered on; other names stay."""
        prefix = self.steps.replace("'", "''")
        number = f"substr(text, {len(self.steps) + 1})"
        is_step = f"substr(text, 1, {len(self.steps)}) = '{prefix}' AND {number} GLOB '[0-9]*'"
        moved = f"'{prefix}' || (CAST({number} AS INTEGER) + {times} * {self.last - self.first})"
        return f"CASE WHEN {is_step} AND {number} NOT GLOB '*[^0-9]*' THEN {moved} ELSE text END"

    def _move_tail(self, table: str, times: int) -> None:
        columns = _columns(self.database, table)
        values = self._shifted(table, columns, str(times))
        changes = ", ".join(f'"{name}" = {value}' for name, value in values.items())
        if changes:
            tail = f'SELECT at FROM "part_{table}" WHERE part = {TAIL}'
            self.database.execute(f'UPDATE main."{table}" SET {changes} WHERE rowid IN ({tail})')

    def _extend(self, times: int) -> None:
        columns = _columns(self.database, "ANALYSIS_DETAILS")
        changes = [f"{name} = {name} + {times * self.length}" for name in ("duration", "stopTime") if name in columns]
        if changes:
            self.database.execute(f"UPDATE ANALYSIS_DETAILS SET {', '.join(changes)}")

    def _bytes(self) -> int:
        pages, page = (self.database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        return int(pages) * int(page)


# ---- ranks


def _clone_ranks(database: sqlite3.Connection, ranks: int) -> None:
    """Copy the processes with GPU work until there are `ranks` of them."""
    processes = [row[0] for row in database.execute(f"SELECT DISTINCT globalPid FROM {KERNEL} ORDER BY 1")]
    if ranks < len(processes) or ranks % len(processes):
        raise GrowError(f"the source has {len(processes)} ranks; it can be grown to a multiple of that, not to {ranks}")
    copies = ranks // len(processes)
    if copies == 1:
        return
    pids = [(process >> 24) & 0xFFFFFF for process in processes]
    apart = max(row[0] for row in database.execute("SELECT max((globalPid >> 24) & 16777215) FROM PROCESSES")) + 1
    gpus = database.execute("SELECT count(*) FROM TARGET_INFO_GPU").fetchone()[0] or len(processes)
    for table in _tables(database):
        columns = _columns(database, table)
        if table != "DIAGNOSTIC_EVENT" and not _keys(database, table) and (where := _of(columns, processes, pids)):
            _clone_table(database, table, columns, where, copies, apart, gpus, len(processes))
    gpu = _columns(database, "TARGET_INFO_GPU")
    for copy in range(1, copies):
        values = {name: f'"{name}" + {copy * gpus}' for name in gpu if name in ("id", "cuDevice")}
        database.execute(_insert("TARGET_INFO_GPU", gpu, values, f"(SELECT * FROM TARGET_INFO_GPU WHERE id < {gpus})"))
    _tell_ranks(database, len(processes), ranks)


def _of(columns: Sequence[str], processes: Sequence[int], pids: Sequence[int]) -> str:
    """SQL for the rows of the ranks' processes; empty for a table that tells no process."""
    for name in ("globalPid", "globalTid"):
        if name in columns:
            return f"{name} & {PROCESS_MASK} IN ({', '.join(map(str, processes))})"
    for name in PIDS:
        if name in columns:
            return f"{name} IN ({', '.join(map(str, pids))})"
    return ""


def _clone_table(
    database: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    where: str,
    copies: int,
    apart: int,
    gpus: int,
    ranks: int,
) -> None:
    database.execute(f'CREATE TEMP TABLE original AS SELECT * FROM main."{table}" WHERE {where}')
    for copy in range(1, copies):
        values = {name: f'"{name}" + {copy * apart << 24}' for name in THREADS if name in columns}
        values |= {name: f'"{name}" + {copy * apart}' for name in PIDS if name in columns}
        values |= {name: f'"{name}" + {copy * gpus}' for name in DEVICES if name in columns}
        if "jsonText" in columns:
            values["jsonText"] = f"""CASE WHEN {_tells_rank()} THEN json_set(jsonText,
                '$.Rank', json_extract(jsonText, '$.Rank') + {copy * ranks},
                '$."CUDA device"', json_extract(jsonText, '$."CUDA device"') + {copy * gpus}) ELSE jsonText END"""
        database.execute(_insert(table, columns, values, "temp.original"))
    database.execute("DROP TABLE temp.original")


def _tells_rank() -> str:
    return """jsonText LIKE '%"No. of ranks"%' AND jsonText LIKE '%"Rank"%' AND jsonText LIKE '%"CUDA device"%'"""


def _tell_ranks(database: sqlite3.Connection, before: int, ranks: int) -> None:
    """Let every communicator of all the source's ranks be one of all."""
    columns = _columns(database, "NVTX_EVENTS")
    if "jsonText" not in columns:
        return
    dropped = ", binaryData = NULL" if "binaryData" in columns else ""
    database.execute(
        f"""UPDATE NVTX_EVENTS SET jsonText = json_set(jsonText, '$."No. of ranks"', {ranks}){dropped}
        WHERE {_tells_rank()} AND json_extract(jsonText, '$."No. of ranks"') = {before}"""
    )


# ---- rows that no report needs


def _add_irrelevant(database: sqlite3.Connection, rows: int) -> None:
    """Half GPU counters, half OS calls, evenly over the kernels' time."""
    for statement in METRICS_SQL.split(";"):
        database.execute(statement)
    begin, finish = database.execute(f"SELECT min(start), max(end) FROM {KERNEL}").fetchone()
    thread, name = database.execute(f"SELECT globalTid, nameId FROM {RUNTIME} LIMIT 1").fetchone()
    apart = max(1, 2 * (finish - begin) // max(1, rows))
    for number, counter in enumerate(COUNTERS):
        database.execute(
            "INSERT INTO TARGET_INFO_GPU_METRICS VALUES (?, ?, '', ?, ?)",
            (METRICS_TYPE, METRICS_TYPE, 1000 + number, counter),
        )
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    time = f"{begin} + i * {apart}"
    if rows // 2:
        database.execute(
            numbers.format(rows // 2 - 1) + "INSERT INTO GPU_METRICS (timestamp, typeId, metricId, value) "
            f"SELECT {time}, {METRICS_TYPE}, 1000 + i % {len(COUNTERS)}, i % 100 FROM n"
        )
    database.execute(
        numbers.format(rows - rows // 2 - 1) + "INSERT INTO OSRT_API "
        "(start, end, eventClass, globalTid, correlationId, nameId, returnValue, nestingLevel, callchainId) "
        f"SELECT {time}, {time} + 900, 27, {thread}, i, {name}, 0, 0, 0 FROM n"
    )


def bytes_of(text: str) -> int:
    """Number of bytes of 10MB, 1.5GB or 4000000."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMG]?)B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 100MB or 1GB")
    return int(float(found[1]) * {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}[found[2].upper()])


def main() -> None:
    """Grow one trace and say how."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a real export, .sqlite or .sqlite.xz")
    parser.add_argument("target", type=Path)
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="repetitions of the steps")
    parser.add_argument("--size", type=bytes_of, metavar="SIZE", help="about this size instead: 100MB, 1GB")
    parser.add_argument("--ranks", type=int, metavar="N", help="clone ranks until there are N")
    parser.add_argument("--metrics", type=int, default=0, metavar="N", help="add N rows that no report needs")
    parser.add_argument("--steps", default=STEPS, metavar="PREFIX", help="of the NVTX ranges round the steps")
    parser.add_argument("--force", action="store_true", help="replace TARGET")
    options = parser.parse_args()
    if options.target.exists() and not options.force:
        parser.error(f"{options.target} exists; --force replaces it")
    try:
        grown = grow(
            options.source,
            options.target,
            repeats=options.repeat,
            size=options.size,
            ranks=options.ranks,
            metrics=options.metrics,
            steps=options.steps,
        )
    except (GrowError, OSError, lzma.LZMAError, sqlite3.Error) as error:
        parser.exit(1, f"{options.source}: {error}\n")
    tile = grown.last - grown.first
    print(
        f"{options.target}: {options.target.stat().st_size / 1e6:.1f} MB, {grown.repeats} repetitions of {tile} steps, "
        f"{grown.length} ns each; the last step of each is up to {grown.length - min(grown.spans.values())} ns longer"
    )


if __name__ == "__main__":
    main()
