"""What SQLite left beside a file that it had not finished with: a rollback journal, or a write-ahead log.

A log's layout is that of https://www.sqlite.org/fileformat2.html#walformat.
"""

from __future__ import annotations

import os
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.budgets import WAL_BYTES

_MAGIC = (0x377F0682, 0x377F0683)
_PAGE_SIZES = frozenset(1 << n for n in range(9, 17))
_HEADER, _FRAME = 32, 24


def check_finished(path: Path) -> None:
    """NsysanError where the file lacks what was written to it: it is read without what lies beside it."""
    # SQLite names both after the file itself, not after a link to it.
    for file in dict.fromkeys((path, Path(os.path.realpath(path)))):
        if file.with_name(file.name + "-journal").exists():
            raise NsysanError(
                f"{path}: an export into it was interrupted (there is a -journal file beside it); export it again",
                ExitCode.DAMAGED,
            )
        log = file.with_name(file.name + "-wal")
        if (size := _unmerged(file, log)) is not None:
            raise NsysanError(
                f"{path}: what is in {log.name} beside it ({size:,} bytes) is not in the file yet; close what has it "
                f"open or run `sqlite3 {file.name} 'PRAGMA wal_checkpoint(TRUNCATE)'`, or remove {log.name} if it is "
                f"an older file's",
                ExitCode.DAMAGED,
            )


def _unmerged(file: Path, log: Path) -> int | None:
    """Bytes of the log if something in it was committed that the file has not, or that cannot be told; else None."""
    try:
        size = log.stat().st_size if log.is_file() else 0
        if not size or (size <= WAL_BYTES and _is_merged(file, log, size)):
            return None
    except OSError:
        pass
    return size


def _is_merged(file: Path, log: Path, size: int) -> bool:
    with file.open("rb", buffering=0) as own, log.open("rb", buffering=0) as other:
        page_size, pages = _committed(other.fileno(), size)
        return all(
            os.pread(own.fileno(), page_size, (page - 1) * page_size) == os.pread(other.fileno(), page_size, place)
            for page, place in pages.items()
        )


def _committed(log: int, size: int) -> tuple[int, dict[int, int]]:
    """Bytes of a page, and where the log holds the last committed state of each, by number; none in what is no log."""
    header = os.pread(log, _HEADER, 0)
    page_size, salts = int.from_bytes(header[8:12], "big"), header[16:24]
    if int.from_bytes(header[:4], "big") not in _MAGIC or page_size not in _PAGE_SIZES:
        return 0, {}
    committed: dict[int, int] = {}
    begun: dict[int, int] = {}
    last = 0
    for frame in range(_HEADER, size - _FRAME - page_size + 1, _FRAME + page_size):
        told = os.pread(log, _FRAME, frame)
        if told[8:16] != salts:  # from here on, what was there before the log was begun anew
            break
        begun[int.from_bytes(told[:4], "big")] = frame + _FRAME
        if pages := int.from_bytes(told[4:8], "big"):  # of the file, after a commit
            last = pages
            committed |= begun
            begun = {}
    return page_size, {page: place for page, place in committed.items() if 0 < page <= last}
