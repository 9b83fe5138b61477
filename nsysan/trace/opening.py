"""An export opened by what it is: an SQLite file, or a folder with a file a table."""

from __future__ import annotations

from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.trace.store import Store

#: Tables of which every export of nsys has one.
_NSYS_TABLES = frozenset(
    (
        "ANALYSIS_DETAILS",
        "ANALYSIS_FILE",
        "EXPORT_META_DATA",
        "META_DATA_EXPORT",
        "META_DATA_CAPTURE",
        "TARGET_INFO_GPU",
        "TARGET_INFO_SYSTEM_ENV",
        "TARGET_INFO_SESSION_START_TIME",
        "DIAGNOSTIC_EVENT",
        "CUPTI_ACTIVITY_KIND_KERNEL",
        "CUPTI_ACTIVITY_KIND_MEMCPY",
        "CUPTI_ACTIVITY_KIND_RUNTIME",
        "CUPTI_ACTIVITY_KIND_GRAPH_TRACE",
        "NVTX_EVENTS",
    )
)


def open_store(path: Path) -> Store:
    """The export at a path; NsysanError where it is none of nsys."""
    store = _open(path)
    if not _NSYS_TABLES & store.tables.keys():
        store.close()
        raise NsysanError(
            f"{path}: not an nsys export (no table of nsys in it); make one with "
            f"`nsys export --type sqlite REPORT.nsys-rep`",
            ExitCode.NOT_NSYS,
        )
    return store


def _open(path: Path) -> Store:
    if path.is_dir():
        from nsysan.trace.columnar import ColumnarFolder

        return ColumnarFolder(path)
    from nsysan.trace.sqlite import SqliteFile

    return SqliteFile(path)
