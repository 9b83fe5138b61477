"""Damage to an export, of every kind that a copy, a disk, a foreign tool or a hostile sender can do, by number.

The same number does the same to the same file, so that what a run of thousands finds can be done again.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from nsysan.trace.sql import quoted

#: Values that no nsys writes where they are put.
STRANGE: tuple[object, ...] = (
    None,
    "text",
    "",
    b"\x00\xff",
    1.5,
    float("inf"),
    0,
    -1,
    1 << 31,
    1 << 32,
    -(1 << 63),
    (1 << 63) - 1,
    10**17,
    -(10**17),
    "<script>alert(1)</script>",
    "x" * 10_000,
    "[" * 50_000,
    "9" * 5_000,
    '{"Rank": "x", "No. of ranks": 1e400}',
    "\x00\u2028\u202e\x1b[31m",
)
Mutation = Callable[[Path, random.Random], str]


def mutate(source: Path, target: Path, number: int) -> str:
    """Write a damaged copy of `source` and say what was done to it."""
    chance = random.Random(f"{source.name} {number}")
    shutil.copyfile(source, target)
    mutation = MUTATIONS[number % len(MUTATIONS)]
    try:
        return f"{mutation.__name__.strip('_')}: {mutation(target, chance)}"
    except (sqlite3.Error, IndexError) as error:  # damage on damage can leave nothing to change
        return f"{mutation.__name__.strip('_')}: {error}"


def mutate_folder(source: Path, target: Path, number: int) -> str:
    """Write a damaged copy of a folder of tables and say what was done to it."""
    chance = random.Random(f"{source.name} {number}")
    shutil.copytree(source, target)
    files = sorted(target.iterdir())
    told = [file for file in files if file.stem.startswith(_TOLD)]
    file, other = chance.choice(told), chance.choice(told)
    data = bytearray(file.read_bytes())
    what = chance.choice(("truncated", "flipped", "flipped", "flipped at an end", "dropped", "swapped", "emptied"))
    if what == "truncated":
        file.write_bytes(data[: chance.randrange(len(data))])
    elif what.startswith("flipped"):
        at_ends = what != "flipped"
        for _ in range(chance.choice((1, 3, 30))):
            place = chance.randrange(len(data))
            place = chance.choice((place % 64, -1 - place % 1_024)) if at_ends else place
            data[place % len(data)] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
    elif what == "dropped":
        file.unlink()
    elif what == "swapped":
        file.write_bytes(other.read_bytes())
        what = f"swapped for {other.stem}"
    else:
        file.write_bytes(b"")
    return f"{file.stem} {what}"


def _truncated(path: Path, chance: random.Random) -> str:
    data = path.read_bytes()
    kept = chance.choice((0, 1, 16, 99, 100, 512, 4095, 4096, chance.randrange(len(data)), len(data) - 1))
    path.write_bytes(data[:kept])
    return f"{kept} of {len(data)} bytes"


def _truncated_whole_pages(path: Path, chance: random.Random) -> str:
    """Cut at a page, with the header saying so: what a database looks like whose tail was never written."""
    data = bytearray(path.read_bytes())
    pages = chance.randrange(1, len(data) // 4096)
    data[28:32] = pages.to_bytes(4, "big")
    path.write_bytes(bytes(data[: pages * 4096]))
    return f"{pages} pages"


def _flipped(path: Path, chance: random.Random) -> str:
    data = bytearray(path.read_bytes())
    places = [chance.randrange(len(data)) for _ in range(chance.choice((1, 3, 30, 300)))]
    for place in places:
        data[place] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(data))
    return f"{len(places)} bits"


def _flipped_head(path: Path, chance: random.Random) -> str:
    data = bytearray(path.read_bytes())
    place = chance.randrange(16, 8192)
    data[place] = chance.randrange(256)
    path.write_bytes(bytes(data))
    return f"byte {place}"


def _page_swapped(path: Path, chance: random.Random) -> str:
    data = bytearray(path.read_bytes())
    one, other = (chance.randrange(1, len(data) // 4096) * 4096 for _ in range(2))
    data[one : one + 4096] = data[other : other + 4096]
    path.write_bytes(bytes(data))
    return f"page at {other} over {one}"


def _inner_page_retargeted(path: Path, chance: random.Random) -> str:
    """An inner page of a table names another child, so that the tree has a loop or a page twice."""
    data = bytearray(path.read_bytes())
    inner = [at for at in range(4096, len(data), 4096) if data[at] == 5]
    at = chance.choice(inner)
    child = chance.choice((at // 4096 + 1, chance.randrange(1, len(data) // 4096 + 1)))
    cell = int.from_bytes(data[at + 12 : at + 14], "big")
    data[at + cell : at + cell + 4] = child.to_bytes(4, "big")
    path.write_bytes(bytes(data))
    return f"page {at // 4096 + 1} names {child}"


def _table_dropped(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        table = chance.choice(_tables(connection))
        connection.execute(f"DROP TABLE {quoted(table)}")
    return table


def _table_emptied(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        table = chance.choice(_tables(connection))
        connection.execute(f"DELETE FROM {quoted(table)}")
    return table


def _column_dropped(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        table, column = _column(connection, chance)
        connection.execute(f"ALTER TABLE {quoted(table)} DROP COLUMN {quoted(column)}")
    return f"{table}.{column}"


def _column_renamed(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        table, column = _column(connection, chance)
        name = chance.choice(('a"b', "select", "", "<b>", "x" * 500))
        connection.execute(f"ALTER TABLE {quoted(table)} RENAME COLUMN {quoted(column)} TO {quoted(name)}")
    return f"{table}.{column} to {name[:10]!r}"


def _column_of_one_value(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        table, column = _loose(connection, *_column(connection, chance))
        value = chance.choice(STRANGE)
        connection.execute(f"UPDATE {quoted(table)} SET {quoted(column)} = ?", (value,))
    return f"{table}.{column} = {str(value)[:20]!r}"


def _one_value(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        table, column = _loose(connection, *_column(connection, chance))
        value = chance.choice(STRANGE)
        row = f"SELECT rowid FROM {quoted(table)} LIMIT 1 OFFSET {chance.randrange(200)}"
        connection.execute(f"UPDATE {quoted(table)} SET {quoted(column)} = ? WHERE rowid IN ({row})", (value,))
    return f"{table}.{column} = {str(value)[:20]!r} once"


def _some_values(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        table, column = _loose(connection, *_column(connection, chance))
        value, every = chance.choice(STRANGE), chance.choice((2, 7, 50))
        statement = f"UPDATE {quoted(table)} SET {quoted(column)} = ? WHERE rowid % ? = 0"
        connection.execute(statement, (value, every))
    return f"{table}.{column} = {str(value)[:20]!r} in every {every}th row"


def _row_id_named(path: Path, chance: random.Random) -> str:
    """A table gets a column that is named like the row id and holds none."""
    with closing(sqlite3.connect(path)) as connection, connection:
        table, name, value = chance.choice(_tables(connection)), chance.choice(("rowid", "oid")), chance.choice(STRANGE)
        connection.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {name}")
        connection.execute(f"UPDATE {quoted(table)} SET {name} = ?", (value,))
    return f"{table}.{name} = {str(value)[:20]!r}"


def _topology_beside(path: Path, chance: random.Random) -> str:
    """What lies beside the trace as its topology is none."""
    text = chance.choice(
        ("GPU1 X\n" * 100_000, f"GPU0 X NV{'9' * 5_000}\nGPU1 X X\n", "GPU0 " + "X " * 400_000, "\0" * 99)
    )
    path.with_name(f"{path.stem}.topology.txt").write_text(text)
    return repr(text[:12])


def _columns_swapped(path: Path, chance: random.Random) -> str:
    """End before start, a pid for a device, a name for a stream."""
    with closing(sqlite3.connect(path)) as connection, connection:
        table, one = _column(connection, chance)
        other = "start" if one == "end" else "end" if one == "start" else _column(connection, chance, table)[1]
        _loose(connection, table, one)
        connection.execute(
            f"UPDATE {quoted(table)} SET {quoted(one)} = {quoted(other)}, {quoted(other)} = {quoted(one)}"
        )
    return f"{table}.{one} and {other}"


def _times_moved(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        table = chance.choice([t for t in _tables(connection) if {"start", "end"} <= set(_columns(connection, t))])
        by, every = chance.choice((-(10**12), 10**15, -5, 10**9, -(10**18), 1 << 60)), chance.choice((1, 2, 100))
        which = chance.choice(("start = start + ?", "end = end + ?", "start = start + ?, end = end + ?"))
        connection.execute(f"UPDATE {quoted(table)} SET {which} WHERE rowid % {every} = 0", (by,) * which.count("?"))
    return f"{table}: {which} by {by}, every {every}"


def _rows_doubled(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        table = chance.choice(_tables(connection))
        _loose(connection, table, "")
        names = ", ".join(quoted(name) for name in _columns(connection, table))
        every = chance.choice((1, 3, 40))
        connection.execute(
            f"INSERT INTO {quoted(table)} ({names}) SELECT {names} FROM {quoted(table)} WHERE rowid % {every} = 0"
        )
    return f"{table}, every {every}"


def _rows_dropped(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        table = chance.choice(_tables(connection))
        every = chance.choice((2, 3, 50))
        connection.execute(f"DELETE FROM {quoted(table)} WHERE rowid % {every} <> {chance.choice((0, 1))}")
    return f"{table}, all but every {every}th"


def _replaced_by_view(path: Path, chance: random.Random) -> str:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS start, i AS end FROM n"
    with closing(sqlite3.connect(path)) as connection, connection:
        table = chance.choice(_tables(connection))
        connection.execute(f"DROP TABLE {quoted(table)}")
        connection.execute(f"CREATE VIEW {quoted(table)} AS {endless}")
    return table


def _schema_rewritten(path: Path, chance: random.Random) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        table = chance.choice(_tables(connection))
        connection.execute("PRAGMA writable_schema = ON")
        sql = chance.choice(
            (
                f"CREATE VIRTUAL TABLE {quoted(table)} USING x",
                "garbage",
                f"CREATE TABLE {quoted(table)} (a, b, c)",
                f"CREATE TABLE {quoted(table)} (start TEXT, end TEXT, globalPid) WITHOUT ROWID",
                None,
            )
        )
        page = chance.choice((None, 0, 1, 2, 10**6))
        if page is None:
            connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, table))
        else:
            connection.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = ?", (page, table))
    return f"{table}: {sql if page is None else page}"


MUTATIONS: tuple[Mutation, ...] = (
    _truncated,
    _truncated_whole_pages,
    _flipped,
    _flipped_head,
    _page_swapped,
    _inner_page_retargeted,
    _table_dropped,
    _table_emptied,
    _column_dropped,
    _column_renamed,
    _column_of_one_value,
    _one_value,
    _some_values,
    _columns_swapped,
    _times_moved,
    _rows_doubled,
    _rows_dropped,
    _replaced_by_view,
    _schema_rewritten,
    _row_id_named,
    _topology_beside,
)
#: Tables that say something of the run; the rest are tables of constants.
_TOLD = ("CUPTI_ACTIVITY_KIND_", "NVTX_", "StringIds", "TARGET_INFO_", "META_DATA", "CUDA_GRAPH", "PROCESSES", "GPU_")


def _tables(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    names = [name for (name,) in rows]
    return [name for name in names if name.startswith(_TOLD)] or names


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")]


def _column(connection: sqlite3.Connection, chance: random.Random, table: str | None = None) -> tuple[str, str]:
    table = table if table is not None else chance.choice(_tables(connection))
    return table, chance.choice(_columns(connection, table))


def _loose(connection: sqlite3.Connection, table: str, column: str) -> tuple[str, str]:
    loosened(connection, table)
    return table, column


def loosened(connection: sqlite3.Connection, table: str) -> None:
    """Take NOT NULL, keys and types off a table, as a foreign tool would that wrote it anew."""
    names = ", ".join(quoted(name) for name in _columns(connection, table))
    connection.execute(f"CREATE TABLE loose AS SELECT {names} FROM {quoted(table)}")
    connection.execute(f"DROP TABLE {quoted(table)}")
    # The types of a table made from a query would turn 1.5 into text, or text into numbers.
    connection.execute(f"CREATE TABLE {quoted(table)} ({names})")
    connection.execute(f"INSERT INTO {quoted(table)} SELECT {names} FROM loose")
    connection.execute("DROP TABLE loose")
