"""Writing the copy: a new database that has only ever held what may be given away."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.budgets import SQLITE_LEAST_ROW
from nsysan.redact import plan
from nsysan.redact.scrub import Scrubber
from nsysan.redact.source import Guarded, Origin, owned
from nsysan.trace.guard import read_only_uri
from nsysan.trace.sql import quoted

_DECLARED = ("INTEGER", "TEXT", "REAL", "BLOB")
_NUMERIC = (plan.NUMBER, plan.CODE_ID, plan.LABEL_ID)


@dataclass
class Copied:
    """What was kept and what was left out, for people.

    tables: name to (rows kept, rows in the source). dropped: names of tables left out, which may tell something
    themselves. columns: how many columns of kept tables were left out.
    """

    tables: dict[str, tuple[int, int]] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    columns: int = 0
    strings: tuple[int, int] = (0, 0)
    options: int = 0
    masked: dict[str, int] = field(default_factory=dict)


def _check_encoding(source: Path) -> None:
    """Texts are searched as UTF-8, which is what nsys writes."""
    with closing(sqlite3.connect(read_only_uri(source), uri=True)) as connection:
        (found,) = connection.execute("PRAGMA encoding").fetchone()
    if found != "UTF-8":
        raise NsysanError(
            f"{source}: its texts are in {found}, and nsys writes UTF-8: export it again with nsys, and redact that",
            ExitCode.DAMAGED,
        )


class TooManyRows(sqlite3.DatabaseError):
    """A table has more rows than its file has room for."""


def write_copy(source: Path, target: Path, origin: Origin) -> Copied:
    """Write the redacted copy of `source` to the empty file `target`; sqlite3.Error where either fails."""
    _check_encoding(source)
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        # A copy that was interrupted is thrown away, so it needs no journal; none is left beside it either.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        # Rows that move to another page leave zeros where they were.
        connection.execute("PRAGMA secure_delete = ON")
        size = source.stat().st_size
        guarded = Guarded(connection, size)
        connection.execute("ATTACH ? AS src", (read_only_uri(source),))
        copier = _Copier(connection, guarded, origin, size // SQLITE_LEAST_ROW)
        with _transaction(connection):
            copier.copy_all()
        connection.execute("DETACH src")
        return copier.result()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    yield
    connection.execute("COMMIT")


class _Copier:
    def __init__(self, raw: sqlite3.Connection, connection: Guarded, origin: Origin, most_rows: int) -> None:
        self._raw = raw
        self._connection = connection
        self._origin = origin
        self._most_rows = most_rows
        self._scrubber = Scrubber(origin.secrets)
        self._copied = Copied()
        for name in (plan.LABEL, plan.WORD, plan.PROGRAM, plan.MODEL, plan.PAYLOAD, "message"):
            self._register(name, _on_text(getattr(self._scrubber, name)))
        self._register(plan.BLOB, _on_bytes(self._scrubber.blob))
        self._register("not_a_number", _refuse)

    def copy_all(self) -> None:
        """Every table of the plan that the source has; the others by name only."""
        special: dict[str, Callable[[], None]] = {
            plan.STRINGS: self._strings,
            plan.CAPTURE: self._capture,
            plan.DIAGNOSTICS: self._messages,
            **{table: lambda table=table: self._exported(table) for table in plan.EXPORTS},  # type: ignore[misc]
        }
        for table in self._origin.tables:
            if table in special:
                special[table]()
            elif table in plan.TABLES:
                self._table(table)
            else:
                self._copied.dropped.append(table)

    def result(self) -> Copied:
        """What was done, with the texts that were masked by kind."""
        self._copied.masked = dict(self._scrubber.masked)
        return self._copied

    def _table(self, table: str) -> None:
        present = self._origin.tables[table]
        kept = {column: kind for column, kind in plan.TABLES[table].items() if column in present}
        self._copied.columns += len(present) - len(kept)
        if not kept:
            self._copied.dropped.append(table)
            return
        # In the order of the source, which other readers may count on.
        columns = {column: kept[column] for column in present if column in kept}
        self._create(table, columns)
        shown = ", ".join(_expression(column, kind) for column, kind in columns.items())
        processes = self._origin.processes | (self._origin.silent if table == plan.PROCESSES else frozenset())
        self._insert(table, columns, shown, owned(present, processes, table))

    def _strings(self) -> None:
        if not {"id", "value"} <= set(self._origin.tables[plan.STRINGS]):
            self._copied.dropped.append(plan.STRINGS)
            return
        code, labels = self._origin.code_ids, self._origin.label_ids
        self._create(plan.STRINGS, {"id": plan.NUMBER, "value": plan.LABEL})
        kept = total = 0
        apart = _Apart()
        rows = self._connection.execute(
            f"SELECT id, value FROM src.{plan.STRINGS} NOT INDEXED LIMIT {self._most_rows + 1}"
        )
        for number, value in rows:
            total += 1
            if number not in code and number not in labels:
                continue
            kept += 1
            scrubbed = None
            if value is not None:
                text = str(value)
                scrubbed = apart(text, self._scrubber.code(text)) if number in code else self._scrubber.label(text)
            self._connection.execute(f"INSERT OR IGNORE INTO main.{plan.STRINGS} VALUES (?, ?)", (number, scrubbed))
        self._check(total)
        self._copied.strings = kept, total

    def _capture(self) -> None:
        """Options that say how was traced; of the environment the numbers of ranks alone."""
        kept: list[tuple[str, str]] = []
        for name, value in self._named_values(plan.CAPTURE):
            if "ENVIRONMENT" in name:
                variable, _, setting = value.partition("=")
                number = setting.strip('"')
                if variable in plan.RANK_VARIABLES and re.fullmatch(r"[0-9]{1,7}", number):
                    kept.append(("PROCESS_0:ENVIRONMENT_VARIABLE", f'{variable}="{int(number)}"'))
            elif plan.CAPTURE_NAMES.fullmatch(name) and plan.META_VALUE.fullmatch(value):
                kept.append((self._scrubber.label(name), self._scrubber.label(value)))
            else:
                self._copied.options += 1
        self._write_named(plan.CAPTURE, kept)

    def _exported(self, table: str) -> None:
        values = list(self._named_values(table))
        known = [(n, v) for n, v in values if plan.EXPORT_NAMES.fullmatch(n) and plan.META_VALUE.fullmatch(v)]
        # As code: a version of four numbers reads like an address.
        kept = [(name, self._scrubber.code(value)) for name, value in known]
        self._copied.options += len(values) - len(kept)
        self._write_named(table, kept)

    def _messages(self) -> None:
        """Messages about the run's processes, lost ones among them, and the session, whose id is no process."""
        table, present = plan.DIAGNOSTICS, self._origin.tables[plan.DIAGNOSTICS]
        kinds = {"timestamp", "timestampType", "source", "severity", "text", "globalPid"}
        columns = {c: "message" if c == "text" else plan.NUMBER for c in present if c in kinds}
        if not columns:
            self._copied.dropped.append(table)
            return
        self._create(table, columns)
        others = "1"
        if "globalPid" in columns:
            listed = ", ".join(map(str, sorted(self._origin.processes | self._origin.silent)))
            others = f"(globalPid IS NULL OR globalPid < 0 OR globalPid IN ({listed}))"
        self._insert(table, columns, ", ".join(_expression(c, kind) for c, kind in columns.items()), others)

    def _named_values(self, table: str) -> Iterator[tuple[str, str]]:
        if not {"name", "value"} <= set(self._origin.tables[table]):
            return
        for name, value in self._connection.execute(f"SELECT name, value FROM src.{quoted(table)} NOT INDEXED"):
            yield str(name or ""), str(value or "")

    def _write_named(self, table: str, rows: list[tuple[str, str]]) -> None:
        if not {"name", "value"} <= set(self._origin.tables[table]):
            self._copied.dropped.append(table)
            return
        self._create(table, {"name": plan.WORD, "value": plan.WORD})
        self._raw.executemany(f"INSERT INTO main.{quoted(table)} VALUES (?, ?)", rows)
        self._copied.tables[table] = len(rows), self._count(table)

    def _create(self, table: str, columns: dict[str, str]) -> None:
        """A table with the declarations of the source, as far as nsys makes such; nobody else's SQL is run."""
        declared = {
            name: (kind.upper(), not_null, key)
            for _, name, kind, not_null, _, key in self._connection.execute(f"PRAGMA src.table_info({quoted(table)})")
        }
        parts = []
        for column, treatment in columns.items():
            kind, not_null, key = declared[column]
            if kind not in _DECLARED:
                kind = "INTEGER" if treatment in _NUMERIC else "TEXT"
            removable = treatment in (plan.PAYLOAD, plan.BLOB)
            unique = " PRIMARY KEY" if key and column == "id" else ""
            parts.append(f"{quoted(column)} {kind}{' NOT NULL' if not_null and not removable else ''}{unique}")
        self._connection.execute(f"CREATE TABLE main.{quoted(table)} ({', '.join(parts)})")

    def _insert(self, table: str, columns: dict[str, str], shown: str, where: str) -> None:
        names = ", ".join(map(quoted, columns))
        done = self._connection.execute(
            f"INSERT OR IGNORE INTO main.{quoted(table)} ({names}) SELECT {shown} FROM src.{quoted(table)} NOT INDEXED "
            f"WHERE {where} LIMIT {self._most_rows + 1}",
            columns=4 * len(columns),
        )
        self._check(done.rowcount)
        self._copied.tables[table] = done.rowcount, self._count(table)

    def _count(self, table: str) -> int:
        return int(self._connection.execute(f"SELECT count(*) FROM src.{quoted(table)}").fetchone()[0])

    def _check(self, rows: int) -> None:
        if rows > self._most_rows:
            raise TooManyRows("more rows than the file has room for")

    def _register(self, name: str, function: Callable[[object], str | bytes | None]) -> None:
        self._raw.create_function(f"nsysan_{name}", 1, function, deterministic=True)


class _Apart:
    """Keeps names that were masked as different as they were: a report tells kernels from each other by name."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._count: dict[str, int] = {}

    def __call__(self, text: str, scrubbed: str) -> str:
        if text not in self._given:
            number = self._count[scrubbed] = self._count.get(scrubbed, 0) + 1
            self._given[text] = scrubbed if number == 1 else f"{scrubbed} ({number})"
        return self._given[text]


def _expression(column: str, kind: str) -> str:
    name = quoted(column)
    if kind in _NUMERIC:
        return f"CASE WHEN typeof({name}) IN ('text', 'blob') THEN nsysan_not_a_number({name}) ELSE {name} END"
    return f"CASE WHEN {name} IS NULL THEN NULL ELSE nsysan_{kind}(CAST({name} AS BLOB)) END"


def _on_text(scrub: Callable[[str], str | None]) -> Callable[[object], str | bytes | None]:
    def call(value: object) -> str | bytes | None:
        return scrub(value.decode("utf-8", "replace")) if isinstance(value, bytes) else None

    return call


def _on_bytes(scrub: Callable[[bytes], bytes | None]) -> Callable[[object], str | bytes | None]:
    def call(value: object) -> str | bytes | None:
        return scrub(value) if isinstance(value, bytes) else None

    return call


def _refuse(value: object) -> None:
    del value
    raise ValueError("a text where nsys writes numbers")
