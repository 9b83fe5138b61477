"""A recording becomes a trace: exported beside it, and checked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.capture.bounded import now_and_then
from nsysan.capture.checks import Check
from nsysan.capture.cures import no_room
from nsysan.capture.nsys import Nsys, abilities_of, export
from nsysan.capture.postflight import check_export
from nsysan.capture.starters import Engine

Say = Callable[[str], None]


@dataclass(frozen=True)
class Captured:
    """One report of a capture: the recording, its export and what the checks say of it."""

    recording: Path
    export: Path
    checks: list[Check]


def exported(
    nsys: Nsys,
    recording: Path,
    expected_ranks: int | None,
    say: Say,
    *,
    late: bool,
    progress: bool,
    engine: Engine | None = None,
    replica: int | None = None,
    patience: float = 30.0,
) -> Captured:
    """Export a recording beside it, and check the export.

    late: collection began after the workload did. patience: seconds in which the export may do nothing.
    """
    say(f"exporting {recording.name}")
    target = recording.with_suffix(".sqlite")
    unfinished = target.with_name(f".{target.name}.part")
    try:
        waiting = None if progress else now_and_then(say, lambda: f"exporting {recording.name}, {_size(unfinished)}")
        export(nsys, recording, unfinished, progress=progress, waiting=waiting, patience=patience).replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    try:
        drops = "" if "--include-json" in abilities_of(nsys).export else nsys.label
        checks = check_export(
            target, expected=expected_ranks, capture_range=late, engine=engine, replica=replica, drops=drops
        )
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        full = no_room(target.absolute().parent)
        raise NsysanError(
            f"{recording}: {nsys.label} left an export that cannot be read, which was removed: {error}"
            + (f"; {full}" if full else ""),
            ExitCode.EXPORT_FAILED,
        ) from error
    return Captured(recording, target, checks)


def _size(unfinished: Path) -> str:
    """How far an export is."""
    try:
        return f"{unfinished.stat().st_size / 1e6:,.1f} MB so far"
    except OSError:
        return "nothing so far"
