"""Hide every kind of secret in a copy of a trace, wherever a trace has room for one, to see what redaction leaves."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sqlite3
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from plant_formats import into_log, quoted, to_folder
from plant_kinds import DOMAIN, HOST, USER, Kind, kinds

_KERNELS = "CUPTI_ACTIVITY_KIND_KERNEL"
_NAMES = ("shortName", "demangledName", "mangledName")
_COLLECTIVE = re.compile(r"nccl|reduce|gather|all_?to_?all|combine|dispatch|broadcast|sendrecv", re.IGNORECASE)
#: Rows of these are made by a function of their own, below.
_OWN = frozenset(("StringIds", "NVTX_EVENTS", "DIAGNOSTIC_EVENT", "META_DATA_CAPTURE", "META_DATA_EXPORT", "PROCESSES"))
_FAR = 900_000  # from where numbers of planted rows begin, where the trace's own cannot be
_HELP = """\
Every kind goes into every place by itself: registered and other names of ranges, names of unused strings, kernels
(short, demangled, mangled), calls, processes, threads and files, messages of the profiler, payloads as text and as
bytes, all tables of the capture, the export and the target, and unknown ones, names of tables and columns, pages that
were freed. The secrets are made up from parts, and are the same for the same --seed.

  python scripts/plant.py trace.sqlite planted.sqlite
  nsysan redact planted.sqlite -o clean.sqlite
  python scripts/plant.py --look clean.sqlite          # what of it is left: nothing
  python scripts/plant.py --list                       # the kinds, with an example each

With --look, any file is searched for the very letters of every secret: packed parts are not unpacked.
"""


def plant(source: Path, target: Path, *, seed: int = 0, log: bool = False) -> dict[str, int]:
    """Write the planted copy; how many secrets went where. log: the last of them only into a -wal beside it."""
    shutil.copyfile(source, target)
    with closing(sqlite3.connect(target)) as connection:
        planter = _Planter(connection, kinds(seed))
        with connection:
            planter.all()
        planter.free_pages()
    if log:
        into_log(target, kinds(seed))
    return planter.places


def tells(seed: int = 0) -> list[tuple[str, str]]:
    """Kind and text of everything that must not be found in any output of a planted trace."""
    return [(kind.name, tell) for kind in kinds(seed) for tell in kind.tells]


def look(content: bytes, seed: int = 0) -> list[str]:
    """The kinds whose secrets are in the bytes, in UTF-8 or UTF-16, in upper case or lower."""
    lowered = content.lower()
    found = {}
    for name, tell in tells(seed):
        if any(tell.lower().encode(encoding) in lowered for encoding in ("utf-8", "utf-16-le", "utf-16-be")):
            found[name] = None
    return list(found)


class _Planter:
    def __init__(self, connection: sqlite3.Connection, planted: Sequence[Kind]) -> None:
        self._connection = connection
        self._kinds = planted
        self._string = 1 + (self._value("SELECT max(id) FROM StringIds") if self._has("StringIds", "id") else 0)
        self.places: dict[str, int] = {}

    def all(self) -> None:
        self._machine()
        self._ranges()
        self._kernels()
        for table, column in (("CUPTI_ACTIVITY_KIND_RUNTIME", "nameId"), ("ThreadNames", "nameId")):
            self._named(table, column)
        self._unused()
        self._messages()
        self._meta()
        self._processes()
        for table in self._tables():
            if table not in _OWN:
                self._rows(table)
        self._unknown()

    def free_pages(self) -> None:
        """A table that was there and is not any more."""
        with self._connection:
            self._connection.execute("CREATE TABLE planted_gone(x TEXT, y BLOB)")
            rows = [(f"{kind.text} " * 30, f"{kind.text} ".encode("utf-16-le") * 30) for kind in self._kinds]
            self._connection.executemany("INSERT INTO planted_gone VALUES (?, ?)", rows * 3)
        self._connection.execute("PRAGMA secure_delete = OFF")
        with self._connection:
            self._connection.execute("DROP TABLE planted_gone")
        self._count("free pages", len(self._kinds))

    # ---- places

    def _machine(self) -> None:
        """What nsys itself says of host, user and environment."""
        self._connection.execute("CREATE TABLE IF NOT EXISTS META_DATA_CAPTURE(name TEXT NOT NULL, value TEXT)")
        told = {"HOSTNAME": f"{HOST}.{DOMAIN}", "USER": USER, "HOME": f"/home/{USER}"}
        for name, value in told.items():
            entry = ("PROCESS_0:ENVIRONMENT_VARIABLE", f'{name}="{value}"')
            self._connection.execute("INSERT INTO META_DATA_CAPTURE(name, value) VALUES (?, ?)", entry)

    def _ranges(self) -> None:
        """Ranges inside one that the trace has: named by themselves and by a string, with payloads."""
        if not self._has("NVTX_EVENTS", "start", "end", "eventType"):
            return
        last = "SELECT rowid FROM NVTX_EVENTS WHERE eventType IN (59, 60) AND end > start ORDER BY start DESC LIMIT 1"
        row = self._value(last)
        if row is None:
            return
        for i, kind in enumerate(self._kinds):
            payload = json.dumps({"NCCL communicator ID": kind.text, kind.text: i, "Message size [bytes]": 8})
            raw = kind.text.encode()
            blob = struct.pack("<IIIIQQ", 1, 0, 4, 0, len(raw), 32 + len(raw)) + raw
            shapes: list[dict[str, object]] = [
                {"text": f"load {kind.text}", "textId": None, "jsonText": payload, "binaryData": blob},
                {"text": None, "textId": self._new_string(f"registered {kind.text} now"), "binaryData": raw},
                {"text": f"{kind.text}: step {i}", "textId": None, "binaryData": kind.text.encode("utf-16-le")},
            ]
            for shape in shapes:
                self._clone("NVTX_EVENTS", row, {"domainId": 0, **shape})
        self._count("NVTX_EVENTS", 6 * len(self._kinds))

    def _kernels(self) -> None:
        """Names of kernels that compute, one row each: in the arguments of a template, and behind the name."""
        if not self._has(_KERNELS, *_NAMES[:2]):
            return
        rows = self._connection.execute(
            f"SELECT k.rowid, s.value FROM {_KERNELS} k JOIN StringIds s ON s.id = k.shortName ORDER BY k.rowid"
        )
        compute = [(row, name) for row, name in rows if not _COLLECTIVE.search(name)][-len(self._kinds) :]
        columns = [column for column in _NAMES if self._has(_KERNELS, column)]
        for (row, name), kind in zip(compute, self._kinds, strict=False):
            texts = (f"{name}<{kind.text}>", f"void {name}<(int)4, {kind.text}>(T1 *)", f"_Z9acme_{kind.text}Pf")
            ids = [self._new_string(text) for text in texts[: len(columns)]]
            changes = ", ".join(f"{column} = ?" for column in columns)
            self._connection.execute(f"UPDATE {_KERNELS} SET {changes} WHERE rowid = ?", (*ids, row))
        self._count(_KERNELS, len(columns) * min(len(compute), len(self._kinds)))

    def _named(self, table: str, column: str) -> None:
        """Rows of a table that names by number."""
        row = self._value(f"SELECT max(rowid) FROM {table}") if self._has(table, column) else None
        if row is None:
            return
        for i, kind in enumerate(self._kinds):
            name = self._new_string(f"cudaLaunchKernel {kind.text}")
            self._clone(table, row, {column: name, "correlationId": _FAR + i})
        self._count(table, len(self._kinds))

    def _unused(self) -> None:
        for kind in self._kinds:
            self._new_string(f"unused {kind.text}")
        self._new_string("\0".join(f"NAME_{i}={kind.text}" for i, kind in enumerate(self._kinds)))
        self._count("StringIds", len(self._kinds))

    def _messages(self) -> None:
        row = self._value("SELECT max(rowid) FROM DIAGNOSTIC_EVENT") if self._has("DIAGNOSTIC_EVENT", "text") else None
        if row is None:
            return
        for kind in self._kinds:
            for text in (f"Some events were lost: {kind.text}", f"{kind.text} could not be opened"):
                self._clone("DIAGNOSTIC_EVENT", row, {"text": text})
        self._count("DIAGNOSTIC_EVENT", 2 * len(self._kinds))

    def _meta(self) -> None:
        """Options of capture and export: as values of names that stay and of others, and as names."""
        for table, kept in (("META_DATA_CAPTURE", "PROCESS_0:COLLECT_NVTX_TRACE"), ("META_DATA_EXPORT", "EXPORT_ARCH")):
            if not self._has(table, "name", "value"):
                continue
            for kind in self._kinds:
                options = [(kept, kind.text), ("PROCESS_0:ARGUMENT_7", kind.text), (f"COLLECT_{kind.text}", "1")]
                self._connection.executemany(f"INSERT INTO {table}(name, value) VALUES (?, ?)", options)
            self._count(table, 3 * len(self._kinds))

    def _processes(self) -> None:
        row = self._value("SELECT max(rowid) FROM PROCESSES") if self._has("PROCESSES", "name") else None
        if row is None:
            return
        for i, kind in enumerate(self._kinds):
            self._clone("PROCESSES", row, {"name": kind.text})
            self._clone("PROCESSES", row, {"name": f"/opt/{kind.text}", "globalPid": _FAR + i << 24, "pid": _FAR + i})
        self._count("PROCESSES", 2 * len(self._kinds))

    def _rows(self, table: str) -> None:
        """A row a kind in any table that has a row and a column for text."""
        columns = self._connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
        texts = [name for _, name, kind, *_ in columns if "TEXT" in kind.upper() or "CHAR" in kind.upper()]
        keys = [name for _, name, _, _, _, key in columns if key or name in ("id", "rowid")]
        row = self._value(f"SELECT max(rowid) FROM {quoted(table)}") if texts else None
        if row is None:
            return
        others = {name: _FAR for _, name, *_ in columns if name in ("domainId", "schemaId", "metricId", "typeId")}
        for i, kind in enumerate(self._kinds):
            self._clone(table, row, {**others, **dict.fromkeys(keys, _FAR + i), **dict.fromkeys(texts, kind.text)})
        self._count(table, len(self._kinds) * len(texts))

    def _unknown(self) -> None:
        """Tables that nsys does not have, called by secrets; columns and a view of that name; bytes."""
        for i, kind in enumerate(self._kinds):
            table, column = quoted(f"{kind.text} {i}"), quoted(kind.text)
            self._connection.execute(f"CREATE TABLE {table} ({column} TEXT, raw BLOB)")
            self._connection.execute(f"INSERT INTO {table} VALUES (?, ?)", (kind.text, kind.text.encode("utf-16-be")))
            literal = kind.text.replace("'", "''")
            self._connection.execute(f"CREATE VIEW {quoted(f'view {i}')} AS SELECT '{literal}' AS x")
        if self._has(_KERNELS, "start"):
            self._connection.execute(f"ALTER TABLE {_KERNELS} ADD COLUMN {quoted(self._kinds[0].text)} TEXT")
            self._connection.execute(f"UPDATE {_KERNELS} SET {quoted(self._kinds[0].text)} = ?", (self._kinds[1].text,))
        self._count("unknown tables", 4 * len(self._kinds))

    # ---- the database

    def _tables(self) -> list[str]:
        rows = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [name for (name,) in rows if not name.startswith("sqlite_")]

    def _has(self, table: str, *columns: str) -> bool:
        present = {row[1] for row in self._connection.execute(f"PRAGMA table_info({quoted(table)})")}
        return set(columns) <= present

    def _value(self, sql: str) -> int | None:
        found = self._connection.execute(sql).fetchone()
        return None if found is None else found[0]

    def _clone(self, table: str, row: int, changes: dict[str, object]) -> None:
        """Another row like the one, with other values where the table has such columns."""
        columns = [entry[1] for entry in self._connection.execute(f"PRAGMA table_info({quoted(table)})")]
        changed = {name: value for name, value in changes.items() if name in columns}
        shown = ", ".join("?" if name in changed else quoted(name) for name in columns)
        values = [changed[name] for name in columns if name in changed]
        names = ", ".join(map(quoted, columns))
        self._connection.execute(
            f"INSERT INTO {quoted(table)} ({names}) SELECT {shown} FROM {quoted(table)} WHERE rowid = ?",
            (*values, row),
        )

    def _new_string(self, text: str) -> int:
        self._string += 1
        self._connection.execute("INSERT INTO StringIds(id, value) VALUES (?, ?)", (self._string, text))
        return self._string

    def _count(self, place: str, number: int) -> None:
        self.places[place] = self.places.get(place, 0) + number


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", type=Path, help="an export of nsys in SQLite, which is not changed")
    parser.add_argument("target", nargs="?", type=Path, help="the planted copy to write")
    parser.add_argument("--type", choices=["sqlite", "parquetdir", "arrowdir"], default="sqlite", help="of the copy")
    parser.add_argument("--seed", type=int, default=0, help="other numbers, other secrets")
    parser.add_argument("--wal", action="store_true", help="leave the last rows in a -wal file beside the copy")
    parser.add_argument("--look", type=Path, metavar="FILE", help="say which secrets are in a file")
    parser.add_argument("--list", action="store_true", help="show the kinds")
    return parser


def _listed(seed: int) -> Iterator[str]:
    for kind in kinds(seed):
        shown = kind.text.replace("\n", " ")
        yield f"{kind.name:32}  {shown[:80]}{'...' if len(shown) > 80 else ''}"


def main() -> int:
    parser = _arguments()
    told = parser.parse_args()
    if told.list:
        print("\n".join(_listed(told.seed)))
        return 0
    if told.look:
        left = look(told.look.read_bytes(), told.seed)
        print(f"{len(left)} of {len(kinds(told.seed))} kinds are left" + "".join(f"\n  {name}" for name in left))
        return int(bool(left))
    if told.source is None or told.target is None:
        parser.error("name a trace, and the file to write")
    if told.target.exists():
        parser.error(f"{told.target} exists")
    file = told.target if told.type == "sqlite" else told.target.with_name(f"{told.target.name}.tmp")
    places = plant(told.source, file, seed=told.seed, log=told.wal)
    if told.type != "sqlite":
        to_folder(file, told.target, {"parquetdir": ".parquet", "arrowdir": ".arrow"}[told.type])
        file.unlink()
    print(f"{len(kinds(told.seed))} kinds, {sum(places.values())} secrets in {len(places)} places: {', '.join(places)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
