"""Rows that nsys writes none of: JSON of any depth, numbers of any length, odd row ids, names, counters, graphs."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from nsysan.trace.sql import quoted
from tests.hostile.case import REPORT, Case, Command, reading
from tests.hostile.jsons import damaged_json
from tests.hostile.sources import take
from tests.mutations import loosened
from tests.tracebuilder import TraceBuilder, decode_loop

KERNELS = "CUPTI_ACTIVITY_KIND_KERNEL"
CALLS = "CUPTI_ACTIVITY_KIND_RUNTIME"
_TRACES = ("paper4.sqlite", "paper2.sqlite", "graph2.sqlite", "tp2_graph.sqlite", "tp2_metrics.sqlite")
#: A terminal would obey some of them, and show others in another order.
_NAMES = (
    "\x1b]0;title\x07\x1b[2J\x1b[31mred",
    "\u202egnp.exe\u2066",
    "\u200f\u200e\u061c\ufeff\u200b",
    "a\nb\r\nc\x0bd\x85e\u2028f",
    "\x9b31m\x90q\x9c",
    "<img src=x onerror=alert(1)></script><script>alert(1)</script>",
    "x" * 200_000,
    "`|*_[](javascript:alert(1))",
    "=cmd|' /C calc'!A0",
    "e\u0301" * 5_000,
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16") * 500,
    "%s%n{0}{x.__class__}${HOME}",
)
_DIGITS = ("9" * 5_000, "1e999", "\u0663\u0664", "\u00b2", "-" * 400 + "1", "0x" + "f" * 999, "1_000", " 7 ", "1" * 19)
_PAYLOAD: dict[str, object] = {
    "NCCL communicator ID": 20015998343868,
    "No. of ranks": 4,
    "Rank": 1,
    "CUDA device": 1,
    "Message size [bytes]": 8192,
    "Reduction operation": "Sum",
    "Peer rank": 1,
}


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


def deep_json(folder: Path, sources: Path, chance: random.Random) -> Case:
    (name,) = take(sources, folder, chance.choice(_TRACES[:3]))
    data, did = damaged_json(_PAYLOAD, chance)
    every = chance.choice((1, 1, 3))
    with _opened(folder / name) as connection:
        connection.execute(
            f"UPDATE NVTX_EVENTS SET jsonText = CAST(? AS TEXT) WHERE jsonText IS NOT NULL AND rowid % {every} = 0",
            (data,),
        )
    return Case([reading(chance, name)], f"payloads: {did}, every {every}")


def long_digits(folder: Path, sources: Path, chance: random.Random) -> Case:
    (name,) = take(sources, folder, chance.choice(_TRACES))
    digits = chance.choice(_DIGITS)
    with _opened(folder / name) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        table, column = chance.choice(
            [
                place
                for place in (
                    ("StringIds", "value"),
                    ("META_DATA_EXPORT", "value"),
                    ("META_DATA_CAPTURE", "value"),
                    ("NVTX_EVENTS", "text"),
                    ("TARGET_INFO_GPU", "name"),
                    ("TARGET_INFO_GPU", "busLocation"),
                    ("TARGET_INFO_SYSTEM_ENV", "value"),
                    ("TARGET_INFO_GPU_METRICS", "metricName"),
                    ("TARGET_INFO_SESSION_START_TIME", "utcTime"),
                )
                if place[0] in tables
            ]
        )
        connection.create_function("digits", 1, lambda text: _with_digits(str(text), digits))
        connection.execute(f"UPDATE {table} SET {column} = digits({column})")
    other = f"rank_{'9' * chance.choice((20, 200))}.sqlite"
    if chance.random() < 0.3:
        (folder / name).rename(folder / other)
        name = other
    return Case([reading(chance, name)], f"{table}.{column}: {digits[:12]}")


def _with_digits(text: str, digits: str) -> str:
    found = "".join("\0" if letter.isdigit() else letter for letter in text)
    while "\0\0" in found:
        found = found.replace("\0\0", "\0")
    return found.replace("\0", digits)


def row_ids(folder: Path, sources: Path, chance: random.Random) -> Case:
    """Tables whose rows have ids of another kind, or that are no plain tables at all."""
    (name,) = take(sources, folder, chance.choice(_TRACES))
    with _opened(folder / name) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = chance.choice([one for one in (KERNELS, CALLS, "StringIds", "NVTX_EVENTS") if one in tables])
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")]
        names = ", ".join(map(quoted, columns))
        how = chance.choice(sorted(_REMADE))
        connection.execute(f"CREATE TABLE old AS SELECT {names} FROM {quoted(table)}")
        connection.execute(f"DROP TABLE {quoted(table)}")
        try:
            for statement in _REMADE[how](quoted(table), columns, names):
                connection.execute(statement)
        except sqlite3.Error as error:
            how += f" ({error})"
        connection.execute("DROP TABLE IF EXISTS old" if "view" not in how else "SELECT 1")
    return Case([reading(chance, name)], f"{table}: {how}")


_Remade = Callable[[str, list[str], str], list[str]]
_REMADE: dict[str, _Remade] = {
    "no row id": lambda table, _, names: [
        f"CREATE TABLE {table} (n_, {names}, PRIMARY KEY (n_)) WITHOUT ROWID",
        f"INSERT INTO {table} SELECT rowid, {names} FROM old",
    ],
    "text key": lambda table, _, names: [
        f"CREATE TABLE {table} (rowid TEXT PRIMARY KEY, {names})",
        f"INSERT INTO {table} SELECT 'x' || rowid, {names} FROM old",
    ],
    "blob for each name of the id": lambda table, _, names: [
        f"CREATE TABLE {table} (rowid BLOB, oid REAL, _rowid_ TEXT, {names})",
        f"INSERT INTO {table} SELECT x'ff', 1.5, 'x', {names} FROM old",
    ],
    "ids at the edges": lambda table, _, names: [
        f"CREATE TABLE {table} (n_ INTEGER PRIMARY KEY, {names})",
        f"INSERT INTO {table} SELECT CASE rowid % 3 WHEN 0 THEN -9223372036854775808 + rowid WHEN 1 THEN rowid "
        f"ELSE 9223372036854775807 - rowid END, {names} FROM old",
    ],
    "generated": lambda table, columns, names: [
        f"CREATE TABLE {table} ({names.replace(quoted(columns[0]), quoted(columns[0]) + ' AS (1)', 1)})",
        f"INSERT INTO {table} ({', '.join(map(quoted, columns[1:]))}) "
        f"SELECT {', '.join(map(quoted, columns[1:]))} FROM old",
    ],
    "endless view": lambda table, _, names: [
        f"CREATE VIEW {table} AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        f"SELECT {names} FROM old, n"
    ],
    "virtual": lambda table, _, names: [
        f"CREATE VIRTUAL TABLE {table} USING fts5({names})",
        f"INSERT INTO {table} SELECT {names} FROM old",
    ],
    "triggers and odd indices": lambda table, columns, names: [
        f"CREATE TABLE {table} ({names})",
        f"INSERT INTO {table} SELECT {names} FROM old",
        f"CREATE TRIGGER t_ AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END",
        f"CREATE INDEX i_ ON {table} ({quoted(columns[0])} DESC) WHERE {quoted(columns[0])} > 5",
        f"CREATE INDEX j_ ON {table} (abs({quoted(columns[-1])}))",
    ],
    "texts for numbers": lambda table, _, names: [
        f"CREATE TABLE {table} ({names})",
        f"INSERT INTO {table} SELECT {names} FROM old",
        *(f"UPDATE {table} SET {name} = CAST({name} AS TEXT) || '.0'" for name in names.split(", ")[:2]),
    ],
    "reals for numbers": lambda table, _, names: [
        f"CREATE TABLE {table} ({names})",
        f"INSERT INTO {table} SELECT {names} FROM old",
        *(f"UPDATE {table} SET {name} = {name} + 0.5" for name in names.split(", ")[:2]),
    ],
    "a column twice in other letters": lambda table, columns, names: [
        f"CREATE TABLE {table} ({names}, {quoted(columns[0] + ' ')}, {quoted(columns[0].upper() + '_')})",
        f"INSERT INTO {table} SELECT {names}, 1, 2 FROM old",
    ],
}


def names(folder: Path, sources: Path, chance: random.Random) -> Case:
    """Names that a terminal, a page or a spreadsheet would obey."""
    (name,) = take(sources, folder, chance.choice(_TRACES))
    text = chance.choice(_NAMES)
    with _opened(folder / name) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        places = [("StringIds", "value"), ("NVTX_EVENTS", "text"), ("TARGET_INFO_GPU", "name"), ("PROCESSES", "name")]
        places += [("META_DATA_CAPTURE", "value"), ("META_DATA_EXPORT", "value"), ("DIAGNOSTIC_EVENT", "text")]
        table, column = chance.choice([place for place in places if place[0] in tables])
        # What it was stays in it, so that kernels and ranges are still found.
        connection.execute(f"UPDATE {table} SET {column} = {column} || ?", (text,))
    commands: list[Command] = [reading(chance, name)]
    if chance.random() < 0.5:
        other = "na" + "".join(letter for letter in text[:40] if letter not in "/\0") + ".sqlite"
        (folder / name).rename(folder / other)
        name = other
        run = ["history", "--help"]
        commands = [
            ["report", name, "-o", "out.html"],
            ["history", "add", name, "--db", "out.db", "--tag", text[:30].replace("\0", "")],
            ["history", "list", "--db", "out.db"],
            chance.choice((["history", "show", "1", "--db", "out.db"], run)),
        ]
    return Case(commands, f"{table}.{column} ends in {text[:16]!r}")


def counters(folder: Path, sources: Path, chance: random.Random) -> Case:
    """Samples of counters that are no numbers, or of endless GPUs; devices and ranks by the hundred thousand."""
    name = "tp2_metrics.sqlite"
    how = chance.choice(("samples", "samples", "many GPUs", "many devices", "many ranks", "many communicators"))
    take(sources, folder, name)
    with _opened(folder / name) as connection:
        if how == "samples":
            column = chance.choice(("value", "timestamp", "typeId", "metricId"))
            value = chance.choice((float("nan"), 9e999, -9e999, 1.5, "x", b"\xff", None, 1 << 62, -(1 << 63), -1))
            loosened(connection, "GPU_METRICS")
            every = chance.choice((1, 2, 997))
            connection.execute(f"UPDATE GPU_METRICS SET {column} = ? WHERE rowid % {every} = 0", (value,))
            how = f"{column} = {value!r} in every {every}th"
        elif how == "many GPUs":
            connection.execute(
                f"UPDATE GPU_METRICS SET typeId = typeId + rowid * {chance.choice((1, 1 << 8, 1 << 40))}"
            )
        elif how == "many devices":
            column = chance.choice(("deviceId", "streamId", "globalPid", "contextId"))
            connection.execute(f"UPDATE {KERNELS} SET {column} = rowid * {chance.choice((1, 1 << 24))}")
            how = f"a {column} a kernel"
        else:
            name = _crowd(folder, how, chance)
    return Case([reading(chance, name)], how)


def _crowd(folder: Path, how: str, chance: random.Random) -> str:
    builder = TraceBuilder()
    decode_loop(builder, ranks=2, message_bytes=None)
    process = builder.process(7)
    count = 20_000
    for number in range(count):
        told = (1, count, number) if how == "many ranks" else (number, 1 << 30, (1 << 31) - number)
        process.comm_init(comm=told[0], nranks=told[1], rank=told[2], device=0, start=number * 10, end=number * 10 + 5)
    builder.write(folder / "crowd.sqlite")
    if chance.random() < 0.5:
        with _opened(folder / "crowd.sqlite") as connection:
            pid = chance.choice((f"globalTid + rowid * {1 << 24}", "(rowid % 3) << 24"))
            connection.execute(f"UPDATE NVTX_EVENTS SET globalTid = {pid} WHERE jsonText LIKE '%No. of ranks%'")
    return "crowd.sqlite"


def replayed(folder: Path, sources: Path, chance: random.Random) -> Case:
    """Graphs of dependencies that no run has: circles, work that waits for itself, ids that come again, far times."""
    del sources
    builder = TraceBuilder()
    far = chance.choice((1_000_000, 1_000_000, -(10**15), 1 << 60, (1 << 61) - 10**6))
    ranks = chance.choice((1, 2, 4))
    graph, steps = chance.random() < 0.3, chance.choice((3, 6, 40))
    processes = decode_loop(builder, ranks=ranks, steps=steps, graph=graph, start_ns=far, gap_ns=20_000)
    events = chance.choice((1, 3, 300))
    for process in processes:
        for number in range(events):
            at = far + number * 900
            call = process.api("cudaEventRecord_v3020", at, at + 100, tid=5)
            wait = process.api("cudaStreamWaitEvent_v3020", at + 200, at + 300, tid=5)
            process.event_record(correlation=call, event=number % 3, record=number, stream=chance.choice((7, 8, 9)))
            process.synchronization(
                at + chance.choice((-500, 200)),
                at + chance.choice((300, -900, 10**9)),
                chance.choice((1, 2, 2, 3, 4)),
                correlation=chance.choice((wait, call)),
                stream=chance.choice((7, 8, None)),
                event=chance.choice((number % 3, 99, None)),
                record=chance.choice((number, number + 1, 0, None)),
            )
    builder.write(folder / "hostile.sqlite")
    did = []
    with _opened(folder / "hostile.sqlite") as connection:
        for _ in range(chance.choice((0, 1, 1, 2))):
            statement = chance.choice(_TANGLES)
            table = statement.split()[1]
            loosened(connection, table)
            connection.execute(statement)
            did.append(statement)
    changes = (
        "wire=5us",
        "kernel.x0.5",
        "host.x0",
        "launch=0us",
        "gaps=0",
        "all",
        "graphs",
        "rank[0]=level",
        "copy.x0",
    )
    sets = [word for _ in range(chance.choice((1, 3))) for word in ("--set", chance.choice(changes))]
    command = chance.choice(
        (
            [*REPORT, "hostile.sqlite"],
            ["report", "--untraced", chance.choice(("1us", "20us", "5ms")), "--json", "out.json", "hostile.sqlite"],
            ["whatif", "hostile.sqlite", *sets],
            ["whatif", "hostile.sqlite", "--list", "--json", "out.json"],
        )
    )
    where = f"{ranks} ranks from {far}, {events} events{', graph' if graph else ''}"
    return Case([command], f"{where}; {'; '.join(did)}")


_TANGLES = tuple(
    f"UPDATE {table} SET {change}"
    for table, changes in {
        KERNELS: (
            "correlationId = 1",
            "correlationId = correlationId % 7",
            "correlationId = rowid",
            "correlationId = -1",
            "streamId = rowid",
            "streamId = 0",
            "start = end",
            "end = start + 1",
            "end = start - 1 WHERE rowid % 200 = 0",
            "start = (SELECT min(start) FROM CUPTI_ACTIVITY_KIND_KERNEL)",
            "start = start + (1 << 60), end = end + (1 << 60) WHERE rowid % 9 = 0",
            "start = -start, end = -start + 5",
            "graphNodeId = 8589934592",
            "graphNodeId = rowid",
        ),
        CALLS: (
            "correlationId = 1",
            "correlationId = correlationId % 11",
            "correlationId = NULL",
            "start = start + 1000000000, end = end + 1000000000",
            "end = end + 1000000000",
            "end = start",
            "globalTid = globalTid + rowid",
            "globalTid = 0",
            "nameId = (SELECT max(nameId) FROM CUPTI_ACTIVITY_KIND_RUNTIME)",
            "start = 0, end = 1152921504606846976",
        ),
        "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": (
            "eventSyncId = 0, eventId = 0",
            "correlationId = 1",
            "syncType = 2, streamId = 7",
            "syncType = 99",
            "correlationId = eventSyncId",
        ),
        "CUPTI_ACTIVITY_KIND_CUDA_EVENT": (
            "eventSyncId = 0, eventId = 0",
            "correlationId = 1",
            "correlationId = (SELECT max(correlationId) FROM CUPTI_ACTIVITY_KIND_KERNEL)",
            "streamId = 7",
        ),
        "NVTX_EVENTS": ("end = NULL", "start = 0", "globalTid = 0", "domainId = 0", "end = start", "text = 'step'"),
        "StringIds": (
            "value = 'cudaStreamWaitEvent_v3020' WHERE value LIKE 'cuda%'",
            "value = 'ncclDevKernel_AllReduce_Sum_bf16_RING_LL' WHERE value LIKE 'nvjet%'",
            "value = 'cudaGraphLaunch_v10000' WHERE value LIKE 'cu%Launch%'",
            "value = ''",
        ),
    }.items()
    for change in changes
)
