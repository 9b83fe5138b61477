"""The copy of an export, of either form, as it comes out of the rules; it is yet to be searched."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nsysan._errors import ExitCode, NsysanError
from nsysan.redact.copy import Copied, write_copy
from nsysan.redact.folder import Form, from_sqlite, to_sqlite
from nsysan.redact.source import Origin, examine
from nsysan.trace.sqlite import SqliteFile
from nsysan.trace.store import damaged

_WRITING_FAILED = frozenset(
    (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
)


def copy_export(source: Path, copy: Path, *, as_file: bool = False) -> tuple[Origin, Copied]:
    """Write the redacted copy of an export, and say what was in it; it is not searched yet.

    as_file: make an SQLite file of a folder too. NsysanError where either cannot be read or written.
    """
    if not source.is_dir():
        origin = examined(source)
        return origin, _copied(source, source, copy, origin)
    with TemporaryDirectory(prefix="tables.", dir=copy.parent) as folder:
        whole, clean = Path(folder) / "whole", copy if as_file else Path(folder) / "clean"
        with _told(source, copy):
            form = to_sqlite(source, whole)
        origin = examined(whole)
        copied = _copied(source, whole, clean, origin)
        if not as_file:
            _folder(clean, copy, form)
    return origin, copied


def examined(source: Path) -> Origin:
    """What must not get out of a trace in SQLite; NsysanError where it cannot be read."""
    file = SqliteFile(source)
    tables = file.tables
    file.close()
    try:
        return examine(source, tables)
    except (sqlite3.Error, UnicodeError) as error:
        raise file.damaged(str(error)) from error


def _copied(source: Path, whole: Path, copy: Path, origin: Origin) -> Copied:
    with _told(source, copy):
        return write_copy(whole, copy, origin)


@contextmanager
def _told(source: Path, copy: Path) -> Iterator[None]:
    """What SQLite cannot take of the source, or write, in one line."""
    try:
        yield
    except (sqlite3.Error, UnicodeError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _WRITING_FAILED:
            raise NsysanError(
                f"{copy.name}: cannot be written: {error}; is the disk full?", ExitCode.OUTPUT_UNWRITABLE
            ) from error
        kind = "parquetdir or arrowdir" if source.is_dir() else "sqlite"
        raise damaged(source, str(error), kind) from error


def _folder(clean: Path, copy: Path, form: Form) -> None:
    import pyarrow as pa

    try:
        from_sqlite(clean, copy, form)
    except pa.ArrowException as error:
        raise NsysanError(f"{copy.name}: cannot be written: {error}", ExitCode.OUTPUT_UNWRITABLE) from error
