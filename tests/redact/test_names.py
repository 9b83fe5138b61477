"""Real traces: redaction takes nothing from their names, and nothing from their figures."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from nsysan.redact import plan
from nsysan.redact.copy import write_copy
from nsysan.redact.export_copy import examined
from nsysan.redact.scan import names_of, scan
from tests.conftest import REAL_TRACES

#: Names in the fixtures that change, and what becomes of them; no name of a kernel, call or range is among them.
ALLOWED: dict[str, str] = {}
NAMES = (*REAL_TRACES, "tp4_graph_graph", "tp2_metrics")
#: Treatments that keep a text as it is, where it tells nothing.
KEPT = (plan.CODE_ID, plan.LABEL_ID, plan.LABEL, plan.WORD, plan.MODEL)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_real_trace_is_masked(name: str, real_trace: Callable[[str], Path], tmp_path: Path) -> None:
    source, copy = real_trace(name), tmp_path / "copy.sqlite"
    origin = examined(source)
    write_copy(source, copy, origin)
    compared = 0
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("ATTACH ? AS src", (str(source),))
        for table, column, joined in _texts(connection):
            changed = connection.execute(
                f"SELECT DISTINCT s.value, c.value FROM (SELECT {joined.format('src')}) s "
                f"JOIN (SELECT {joined.format('main')}) c USING (number) WHERE s.value IS NOT c.value"
            )
            assert {before: after for before, after in changed if before not in ALLOWED} == {}, (table, column)
            compared += connection.execute(f"SELECT count(*) FROM (SELECT {joined.format('main')})").fetchone()[0]
    assert compared > 100
    assert scan(copy, names_of(source)) == []


def _texts(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Table and column of each text that a copy keeps, and SQL for its number and value in one of the databases."""
    found = [(plan.STRINGS, "value", f"id AS number, value FROM {{}}.{plan.STRINGS}")]
    for table, columns in plan.TABLES.items():
        present = {row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")}
        for column, kind in columns.items():
            if column in present and kind in KEPT and not kind.endswith("_id"):
                # Rows are copied in order, but not all of them.
                number = (
                    "start || '/' || globalTid || '/' || eventType || '/' || ifnull(domainId, 0)"
                    if table == plan.NVTX
                    else "id"
                    if "id" in present
                    else "rowid"
                )
                found.append((table, column, f"{number} AS number, {column} AS value FROM {{}}.{table}"))
    return found


def test_every_text_of_the_plan_is_looked_at(real_trace: Callable[[str], Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    source = real_trace("tp4_eager")
    write_copy(source, copy, examined(source))
    with closing(sqlite3.connect(copy)) as connection:
        looked_at = {(table, column) for table, column, _ in _texts(connection)}
    assert {("StringIds", "value"), ("NVTX_EVENTS", "text"), ("TARGET_INFO_GPU", "name")} <= looked_at
