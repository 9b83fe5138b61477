"""The header of an SQLite file, by which one that cannot be read is told before anything in it is believed."""

from __future__ import annotations

import stat
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError

MAGIC = b"SQLite format 3\x00"
_HEADER_SIZE = 100


def checked_size(path: Path) -> int:
    """Size of the file in bytes; NsysanError where it is none, or no SQLite file."""
    try:
        told = path.stat()
        if not stat.S_ISREG(told.st_mode):  # nobody may ever write to a pipe, and a device may have no end
            raise NsysanError(f"{path}: is a pipe or device; nsysan reads files and folders", ExitCode.NOT_SQLITE)
        size = told.st_size
        with path.open("rb") as file:
            header = file.read(_HEADER_SIZE)
    except FileNotFoundError:
        raise NsysanError(f"{path}: no such file", ExitCode.NO_SUCH_FILE) from None
    except OSError as error:
        raise NsysanError(f"{path}: cannot be read: {error.strerror}", ExitCode.NO_SUCH_FILE) from error
    if size == 0:
        raise NsysanError(
            f"{path}: the file is empty (an export that was interrupted?); export it again with "
            f"`nsys export --type sqlite`",
            ExitCode.DAMAGED,
        )
    if not header.startswith(MAGIC):
        raise NsysanError(
            f"{path}: not an SQLite file; nsysan reads what `nsys export --type sqlite` writes, and folders of "
            f"`--type parquetdir` and `arrowdir`",
            ExitCode.NOT_SQLITE,
        )
    _check_length(path, header, size)
    return size


def _check_length(path: Path, header: bytes, size: int) -> None:
    """Compare the size in the SQLite header with the file's; a short read further on would be less clear."""
    page_size = int.from_bytes(header[16:18], "big")
    size_is_current = header[24:28] == header[92:96]
    pages = int.from_bytes(header[28:32], "big") if size_is_current else 1
    expected = (65536 if page_size == 1 else page_size) * pages
    if size < max(expected, _HEADER_SIZE):
        raise NsysanError(
            f"{path}: the file is cut off ({size} of {max(expected, _HEADER_SIZE)} bytes); copy it again",
            ExitCode.DAMAGED,
        )
