"""The trace that is redacted: which processes belong to the run, which names are code, and what must not get out."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from nsysan.budgets import REDACTED_PACE, REDACTED_VALUE, SQLITE_LEAST_ROW, SQLITE_OPCODES
from nsysan.model.health import NO_CUDA
from nsysan.redact import plan
from nsysan.redact.secrets import DEVICE, HOST, PLACE, PROCESS, USER, Secrets
from nsysan.trace.globals import PROCESS_MASK
from nsysan.trace.guard import STEP, Guard, read_only_uri
from nsysan.trace.sql import quoted

_PID = f"& {PROCESS_MASK}"
_INIT = re.compile(r"(?:nccl)?Comm(?:Init|Split)")


@dataclass(frozen=True)
class Origin:
    """What has to be known of a trace before it can be copied.

    processes: globalPids of the run: they did GPU work or joined an NCCL communicator; without GPU work, those that
    called CUDA. silent: other processes of which the profiler says that they gave nothing of CUDA, which may be lost
    ranks: their names and messages are kept, and nothing else. others: how many more the trace names. environment:
    entries of environments found.
    """

    tables: Mapping[str, tuple[str, ...]]
    processes: frozenset[int]
    silent: frozenset[int]
    others: int
    code_ids: frozenset[int]
    label_ids: frozenset[int]
    secrets: Secrets
    environment: int


class Guarded:
    """A guarded connection of which a statement may take as many steps as a file of `size` bytes can need."""

    def __init__(self, connection: sqlite3.Connection, size: int) -> None:
        self._connection = connection
        self._guard = Guard(connection, REDACTED_VALUE, size, REDACTED_PACE)
        self._most_steps = size // SQLITE_LEAST_ROW * SQLITE_OPCODES // STEP + 10

    def execute(self, sql: str, values: Sequence[object] = (), *, columns: int = 2) -> sqlite3.Cursor:
        """Run one statement that looks at so many columns of each row; sqlite3.Error if it runs too long."""
        self._guard.allow(self._most_steps * columns)
        return self._connection.execute(sql, values)


def examine(path: Path, tables: Mapping[str, tuple[str, ...]]) -> Origin:
    """Read what a redacted copy depends on; sqlite3.Error where the file is damaged."""
    with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
        guarded = Guarded(connection, path.stat().st_size)
        connection.execute("PRAGMA query_only = ON")
        return _Reader(guarded, tables).origin()


def _telling(column: str) -> str:
    """SQL condition for the texts that may be of a communicator's beginning: of millions, few are."""
    return f"instr({column}, 'Comm')"


class _Reader:
    def __init__(self, connection: Guarded, tables: Mapping[str, tuple[str, ...]]) -> None:
        self._connection = connection
        self._tables = tables

    def origin(self) -> Origin:
        processes = self._processes()
        silent = self._silent() - processes
        code, labels = self._ids(plan.CODE_ID, processes), self._ids(plan.LABEL_ID, processes)
        names = {i: v for i, v in self._rows(plan.STRINGS, "id", "value") if isinstance(v, str)}
        secrets = Secrets(names[i].partition("\0")[0] for i in code if i in names)
        environment = self._collect(secrets)
        others = {p for (p,) in self._rows(plan.PROCESSES, "globalPid")} - processes - silent - {None}
        for process, name in self._rows(plan.PROCESSES, "globalPid", "name"):
            if process not in processes and isinstance(name, str):
                secrets.add_name(PROCESS, name)
        return Origin(self._tables, processes, silent, len(others), code, labels, secrets, environment)

    def _rows(self, table: str, *columns: str, where: str = "1") -> Iterator[tuple[object, ...]]:
        """Rows of the columns; none where the file lacks the table or one of them."""
        if not set(columns) <= set(self._tables.get(table, ())):
            return iter(())
        return iter(
            self._connection.execute(f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(table)} WHERE {where}")
        )

    def _distinct(self, table: str, column: str, expression: str, where: str = "1") -> set[int]:
        if column not in self._tables.get(table, ()):
            return set()
        found = self._connection.execute(f"SELECT DISTINCT {expression} FROM {quoted(table)} WHERE {where}")
        return {value for (value,) in found if isinstance(value, int)}

    def _processes(self) -> frozenset[int]:
        working = set[int]().union(*(self._distinct(table, "globalPid", "globalPid") for table in plan.GPU_WORK))
        if not working:
            return frozenset(self._distinct(plan.API, "globalTid", f"globalTid {_PID}"))
        return frozenset(working | self._communicating())

    def _silent(self) -> frozenset[int]:
        said = f"CAST(text AS TEXT) LIKE '{NO_CUDA}%'"
        rows = self._rows(plan.DIAGNOSTICS, "globalPid", "text", where=said)
        return frozenset(process for process, _ in rows if isinstance(process, int))

    def _communicating(self) -> set[int]:
        """Processes with a range of NCCL's communicators: ranks of the run, even where their GPU work is missing."""
        columns = ("text", "textId", "globalTid")
        if not set(columns) <= set(self._tables.get(plan.NVTX, ())):
            return set()
        inits = {i for i, v in self._rows(plan.STRINGS, "id", "value", where=_telling("value")) if _INIT.match(str(v))}
        found = {
            thread
            for text, thread in self._rows(plan.NVTX, "text", "globalTid", where=_telling("text"))
            if _INIT.match(str(text))
        }
        named = f"textId IN (SELECT id FROM {quoted(plan.STRINGS)} WHERE {_telling('value')})"
        found |= {
            thread
            for i, thread in (self._rows(plan.NVTX, "textId", "globalTid", where=named) if inits else ())
            if i in inits
        }
        return {thread & PROCESS_MASK for thread in found if isinstance(thread, int)}

    def _ids(self, kind: str, processes: frozenset[int]) -> frozenset[int]:
        found: set[int] = set()
        for table, columns in plan.TABLES.items():
            present = self._tables.get(table, ())
            condition = owned(present, processes, table)
            for column, treatment in columns.items():
                if treatment == kind and column in present:
                    found |= self._distinct(table, column, quoted(column), condition)
        return frozenset(found)

    def _collect(self, secrets: Secrets) -> int:
        count = 0
        for name, value in self._rows(plan.CAPTURE, "name", "value"):
            count += _collect_option(secrets, str(name), str(value))
        for table in plan.EXPORTS:
            for name, value in self._rows(table, "name", "value"):
                _collect_option(secrets, str(name), str(value))
        for name, value in self._rows("TARGET_INFO_SYSTEM_ENV", "name", "value"):
            if name == "Hostname":
                secrets.add(HOST, str(value))
            count += secrets.add_environment(str(value)) if "=" in str(value) else 0
        for (name,) in self._rows("TARGET_INFO_NIC_INFO", "name"):
            secrets.add_name(DEVICE, str(name))
        for table in ("TARGET_INFO_GPU", "TARGET_INFO_CUDA_DEVICE"):
            for (uuid,) in self._rows(table, "uuid"):
                secrets.add_name(DEVICE, str(uuid))
        return count + sum(self._collect_texts(secrets, table) for table in self._tables)

    def _collect_texts(self, secrets: Secrets, table: str) -> int:
        """Home directories and environments in any text of a table, be it known or not."""
        count = 0
        for column in self._tables[table]:
            name = quoted(column)
            tells = f"instr({name}, '/home/') OR instr({name}, 'Users') OR instr(CAST({name} AS BLOB), x'00')"
            texts = self._connection.execute(
                f"SELECT DISTINCT CAST({name} AS TEXT) FROM {quoted(table)} "
                f"WHERE typeof({name}) IN ('text', 'blob') AND ({tells})"
            )
            for (text,) in texts:
                secrets.add_homes(text)
                if "\0" in text and "=" in text:
                    count += secrets.add_environment(text)
        return count


def owned(present: tuple[str, ...], processes: frozenset[int], table: str) -> str:
    """SQL condition for the rows of the run's processes; rows that name no process belong to all."""
    conditions = ["1"]
    listed = ", ".join(map(str, sorted(processes)))
    for column in plan.OWNERS:
        if column in present and table != plan.DIAGNOSTICS:
            conditions.append(f"({column} IS NULL OR ({column} {_PID}) IN ({listed}))")
    if table.startswith("TARGET_INFO_CUDA"):
        pids = ", ".join(str(process >> 24 & 0xFFFFFF) for process in sorted(processes))
        conditions += [f"({column} IS NULL OR {column} IN ({pids}))" for column in plan.PIDS if column in present]
    if table == plan.NVTX and "eventType" in present:
        conditions.append(f"eventType IN ({', '.join(map(str, plan.NVTX_EVENT_TYPES))})")
    return " AND ".join(conditions)


def _collect_option(secrets: Secrets, name: str, value: str) -> int:
    if "ENVIRONMENT" in name:
        variable, _, setting = value.partition("=")
        secrets.add_setting(variable, setting)
        return 1
    if name.endswith("_HOST"):
        secrets.add(HOST, value)
    elif name.endswith(("USER_NAME", "EXPORT_USER")):
        secrets.add(USER, value)
    elif name.endswith(("WORKING_DIR", "_PATH", "_PATH_ABS")) or (name.endswith("COMMAND") and "/" in value):
        # The name of a folder alone may be a word of the code.
        (secrets.add if "/" in value or "\\" in value else secrets.add_name)(PLACE, value)
    return 0
