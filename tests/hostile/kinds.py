"""The kinds of hostile input by name."""

from __future__ import annotations

from tests.hostile import beside, rows, several
from tests.hostile.case import Kind

KINDS: dict[str, Kind] = {
    "deep_json": rows.deep_json,
    "digits": rows.long_digits,
    "row_ids": rows.row_ids,
    "names": rows.names,
    "counters": rows.counters,
    "replay": rows.replayed,
    "wal": beside.write_ahead_log,
    "topology": beside.topology,
    "nccl": beside.nccl_logs,
    "hold": beside.hold_notes,
    "json": beside.foreign_json,
    "history": beside.history,
    "model": beside.configurations,
    "tables": several.tables,
    "predict": several.predicted,
    "windows": several.windows,
    "options": several.options,
    "mixtures": several.mixtures,
    "surroundings": several.surroundings,
}
