"""Just enough of a fresh export for the checks, by plain SQL: standard library only."""

from __future__ import annotations

import sqlite3
from collections import Counter

from nsysan.model.classes import COMMUNICATION, load_catalogue

KERNELS = "CUPTI_ACTIVITY_KIND_KERNEL"
REPLAYS = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"


class Export:
    """Just enough of an export for the checks, by plain SQL."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self._connection = connection
        self.tables = {name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def rows(self, sql: str) -> list[tuple]:  # type: ignore[type-arg]
        return self._connection.execute(sql).fetchall()

    def has(self, *tables: str) -> bool:
        return self.tables.issuperset(tables)


def kernel_counts(export: Export) -> Counter[tuple[int, int]]:
    """Kernels and replays per (globalPid, deviceId)."""
    counts: Counter[tuple[int, int]] = Counter()
    for table in (KERNELS, REPLAYS):
        if export.has(table):
            for process, device, n in export.rows(f"SELECT globalPid, deviceId, count(*) FROM {table} GROUP BY 1, 2"):
                counts[process, device] += n
    return counts


def communication_counts(export: Export) -> Counter[tuple[int, int]]:
    """Communication kernels per (globalPid, deviceId)."""
    if not export.has(KERNELS, "StringIds"):
        return Counter()
    catalogue = load_catalogue()
    names = export.rows(
        f"SELECT DISTINCT k.shortName, s.value, d.value FROM {KERNELS} k JOIN StringIds s ON s.id = k.shortName "
        f"LEFT JOIN StringIds d ON d.id = k.demangledName"
    )
    wanted = {i for i, short, full in names if catalogue.classify(short, full or short).op_class in COMMUNICATION}
    if not wanted:
        return Counter()
    ids = ",".join(map(str, wanted))
    rows = export.rows(f"SELECT globalPid, deviceId, count(*) FROM {KERNELS} WHERE shortName IN ({ids}) GROUP BY 1, 2")
    return Counter({(process, device): n for process, device, n in rows})


def open_ms(export: Export) -> float | None:
    """How long the window was open: between what opened and closed it, else by nsys' own figure; None if untold."""
    if export.has("DIAGNOSTIC_EVENT"):
        told = export.rows(
            "SELECT max(CASE WHEN text LIKE 'Profiling %started%' THEN timestamp END), "
            "max(CASE WHEN text LIKE 'Profiling %stopped%' THEN timestamp END) FROM DIAGNOSTIC_EVENT"
        )
        ((opened, closed),) = told
        if isinstance(opened, int) and isinstance(closed, int) and closed > opened:
            return (closed - opened) / 1e6
    if export.has("ANALYSIS_DETAILS"):
        durations = [row[0] for row in export.rows("SELECT max(duration) FROM ANALYSIS_DETAILS")]
        if durations and isinstance(durations[0], int):
            return durations[0] / 1e6
    return None
