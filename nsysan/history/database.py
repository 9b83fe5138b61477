"""The database of runs: a row a run, with its ranks and collectives beside it."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nsysan._errors import ExitCode, NsysanError
from nsysan.budgets import HISTORY_ROWS, SQLITE_SECONDS, SQLITE_VALUE
from nsysan.check.collective import of_steps
from nsysan.check.judge import metric_of
from nsysan.check.rules import DURATIONS, PERCENTILES
from nsysan.history import kept_kernels
from nsysan.history.cells import Row, usable, words
from nsysan.history.workloads import default_workload
from nsysan.history.writing import insert, transaction
from nsysan.metrics.lines import BESIDE, LINES
from nsysan.metrics.scenarios import Scenario
from nsysan.report.read_back import Collective, ReportDocument

if TYPE_CHECKING:
    from sqlite_utils import Database

#: Instructions of SQLite between two looks at the time.
_LOOK = 10_000
_PER_RANK = ("period", *LINES, *BESIDE)
_COLLECTIVE = (
    *("name", "population", "kind", "library", "bytes", "ranks"),
    *("count", "matched", "unmatched", "rejected", "floor_ns"),
)
_TABLES = ("runs", "per_rank", "collectives")
#: Beside them, in databases of since it is kept.
STEPS = "steps"
#: Columns of `runs` that a list shows.
LISTED = ("id", "added", "name", "host", "commit", "tags", "ranks", "period_ns", "wire_ns", "wait_ns", "verdict")
_TYPES = {
    "id": int,
    "added": str,
    "name": str,
    "host": str,
    "commit": str,
    "tags": str,
    "trace": str,
    "nsys_version": str,
    "nsysan_version": str,
    "gpu": str,
    "ranks": int,
    "graph_trace": str,
    "steps_source": str,
    "steps": int,
    "steady": int,
    **{f"{metric}_ns": float for metric in DURATIONS},
    "verdict": str,
    "verdict_reason": str,
    "straggler_rank": int,
    "straggler_cause": str,
    **{scenario.column: int for scenario in Scenario},
    "findings": str,
    "hash": str,
    "workload": str,
    "page": str,
}


@dataclass(frozen=True)
class Labels:
    """What the user says of a run; name: None for that of the trace. workload: None for what the report tells of it;
    page: where its report's page lies.
    """

    name: str | None = None
    host: str | None = None
    commit: str | None = None
    tags: tuple[str, ...] = ()
    workload: str | None = None
    page: str | None = None


@contextmanager
def opened_history(path: Path, *, create: bool = False) -> Iterator[Database]:
    """The database at `path`; NsysanError if it is missing (unless `create`) or not a history."""
    import sqlite_utils

    database, is_new = None, False
    try:
        is_new = not os.path.lexists(path)
        if not path.exists() and not create:
            raise NsysanError(f"{path}: no history there; `nsysan history add` starts one", ExitCode.NO_SUCH_FILE)
        if path.exists() and not path.is_file():
            raise NsysanError(f"{path}: is a folder, pipe or device; name a file", ExitCode.OUTPUT_UNWRITABLE)
        database = sqlite_utils.Database(path)
        _bound(database.conn)
        tables = set(database.table_names())
        # A view by the name of a table that an older history lacks would be read as one, and never be written to.
        views = {STEPS, kept_kernels.TABLE}.intersection(database.view_names())
        if views or (tables and not tables.issuperset(_TABLES)):
            raise NsysanError(f"{path}: a database, but not a history of nsysan", ExitCode.OUTPUT_UNWRITABLE)
        if create and STEPS not in tables:
            with transaction(database.conn):
                _create(database)
        yield database
    except sqlite_utils.db.AlterError as error:  # of the oldest: runs have no column that a table can name
        why = "cannot be used as a history: a run has no number"
        raise NsysanError(f"{path}: {why}", ExitCode.OUTPUT_UNWRITABLE) from error
    except (sqlite3.Error, UnicodeDecodeError, OSError) as error:
        raise NsysanError(f"{path}: cannot be used as a history: {error}", ExitCode.OUTPUT_UNWRITABLE) from error
    finally:
        if database is not None:
            database.conn.close()
            _removed_if_empty(path, is_new)


def _bound(connection: sqlite3.Connection) -> None:
    """Anybody may have written into the file: text in any code page, large values, statements that never end."""
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, SQLITE_VALUE)
    connection.execute("PRAGMA trusted_schema = OFF")
    ends = time.thread_time() + SQLITE_SECONDS
    connection.set_progress_handler(lambda: time.thread_time() > ends, _LOOK)


def _removed_if_empty(path: Path, is_new: bool) -> None:
    """Where nothing could be written, the file that SQLite made for it goes, too; not where another process writes."""
    with suppress(OSError):
        if is_new and path.stat().st_size == 0 and not os.path.exists(f"{path}-journal"):
            path.unlink()


def add_run(database: Database, document: ReportDocument, labels: Labels) -> tuple[int, bool]:
    """The run's number, and whether it is new: the same document is kept once, under its first labels."""
    found = "select id from runs where hash = ?"
    with transaction(database.conn):
        known = list(database.query(found, [document.digest]))
        if known:
            return _number(known[0]), False
        insert(database, "runs", [_run_row(document, labels)])
        run = _number(next(iter(database.query(found, [document.digest]))))
        ranks: list[Row] = [
            {"run": run, "rank": row.rank, **{f"{line}_ns": row.ns.get(line) for line in _PER_RANK}}
            for row in document.per_rank
        ]
        insert(database, "per_rank", ranks)
        insert(database, "collectives", [{"run": run, **_collective_row(row)} for row in document.collectives])
        kept_kernels.keep(database, run, document)
        periods = document.step_periods.items()
        insert(database, STEPS, [{"run": run, "step": step, "period_ns": ns} for step, ns in periods])
    return run, True


def periods_of(database: Database) -> dict[int, list[int]]:
    """ns of the steady steps of each run, by its number; of runs of before they were kept there are none."""
    found: dict[int, list[int]] = {}
    if STEPS in database.table_names():
        for row in database.query(f"select run, period_ns from {STEPS} order by run, step"):
            if isinstance(row["run"], int) and isinstance(row["period_ns"], int):
                found.setdefault(row["run"], []).append(row["period_ns"])
    return found


def list_runs(database: Database, tags: tuple[str, ...] = ()) -> list[Row]:
    """All runs that carry every one of the tags, in the order they were added."""
    if not database.table_names():
        return []
    found = database.query("select * from runs order by id limit ?", [HISTORY_ROWS + 1])
    rows = [usable(row) for row in found]
    if len(rows) > HISTORY_ROWS:
        raise sqlite3.DataError(f"more than {HISTORY_ROWS:,} runs")
    for row in rows:
        _number(row)
    return [row for row in rows if set(tags) <= set(words(row, "tags"))]


def _number(row: Mapping[str, object]) -> int:
    number = row.get("id")
    if not isinstance(number, int):
        raise sqlite3.DataError("a run has no number")
    return number


def get_run(database: Database, run: int) -> tuple[Row, dict[str, list[Row]]]:
    """One run, and the rows of its ranks, collectives and kernels by table; NsysanError if there is no such run."""
    found = [row for row in list_runs(database) if row["id"] == run]
    if not found:
        raise NsysanError(f"run {run}: not in the history; `nsysan history list` shows what is", ExitCode.NO_SUCH_FILE)
    parts = {
        table: [
            {key: value for key, value in usable(row).items() if key != "run"}
            for row in database.query(
                f"select * from {table} where run = ? order by rowid limit ?", [run, HISTORY_ROWS]
            )
        ]
        for table in ("per_rank", "collectives", kept_kernels.TABLE)
        if database.table(table).exists()
    }
    return found[0], parts


def _create(database: Database) -> None:
    """The tables that are not there; another process may have made them by now."""
    tables = set(database.table_names())
    to_run = [("run", "runs", "id")]
    if not tables:
        database.create_table("runs", _TYPES, pk="id", not_null={"added", "hash"})
        database.table("runs").create_index(["hash"], unique=True)
        ranks = {"run": int, "rank": int, **{f"{line}_ns": int for line in _PER_RANK}}
        database.create_table("per_rank", ranks, pk=("run", "rank"), foreign_keys=to_run)
        spreads = {f"{name}_ns": int for name in PERCENTILES}
        text = {"name", "kind", "library"}
        calls = {"run": int, **{name: str if name in text else int for name in _COLLECTIVE}, **spreads}
        database.create_table("collectives", calls, foreign_keys=to_run)
    if STEPS not in tables:
        steps = {"run": int, "step": int, "period_ns": int}
        database.create_table(STEPS, steps, pk=("run", "step"), foreign_keys=to_run)


def _run_row(document: ReportDocument, labels: Labels) -> Row:
    row = _told(document, labels)
    calls = sorted(of_steps(document), key=lambda one: -one.count)
    sizes = [(one.kind, one.bytes) for one in calls]
    replicas = max(1, len(document.replicas))
    workload = labels.workload or default_workload(row, sizes, document.layout, replicas)
    return row | {"workload": workload, "page": labels.page}


def _told(document: ReportDocument, labels: Labels) -> Row:
    late, first = document.straggler, document.inputs[0]
    trace = ", ".join(source.name for source in document.inputs)
    return {
        "added": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": labels.name or trace,
        "host": labels.host,
        "commit": labels.commit,
        "tags": json.dumps(list(dict.fromkeys(labels.tags))),
        "trace": trace,
        "nsys_version": first.nsys_version,
        "nsysan_version": document.nsysan_version,
        "gpu": ", ".join(sorted({model or "unknown GPU" for model in document.gpu_models})),
        "ranks": len(document.gpu_models),
        "graph_trace": first.graph_trace,
        "steps_source": document.steps_source,
        "steps": document.steps,
        "steady": document.steady,
        **{f"{metric}_ns": metric_of(document, metric) for metric in DURATIONS},
        "verdict": document.verdict,
        "verdict_reason": document.verdict_reason,
        "straggler_rank": None if late is None else late.rank,
        "straggler_cause": None if late is None else late.cause,
        **{scenario.column: document.what_if.get(scenario.value) for scenario in Scenario},
        "findings": json.dumps([finding.id for finding in document.findings]),
        "hash": document.digest,
    }


def _collective_row(row: Collective) -> Row:
    spreads = {
        f"{what}_{q}_ns": None if spread is None else spread.at(q)
        for what, spread in (("wire", row.wire_ns), ("wait", row.wait_ns))
        for q in ("p50", "p95", "p99", "max")
    }
    return {**{name: getattr(row, name) for name in _COLLECTIVE}, **spreads}
