"""Writing results: whole or not at all, and never over a file that nobody offered."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError


def check_writable(path: Path, *, force: bool, source: Path | None = None) -> None:
    """Raise NsysanError before the work is done, where writing afterwards would fail or replace `source`."""
    if path.is_dir():
        raise NsysanError(f"{path}: is a folder; name a file in it", ExitCode.OUTPUT_UNWRITABLE)
    if path.exists() and not path.is_file():
        raise NsysanError(f"{path}: is a device or pipe; name a file", ExitCode.OUTPUT_UNWRITABLE)
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise NsysanError(f"{path}: is the trace itself; name another output with -o", ExitCode.OUTPUT_UNWRITABLE)
    if path.exists() and not force:
        raise NsysanError(
            f"{path}: exists already; pass --force to replace it, or another name", ExitCode.OUTPUT_EXISTS
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise NsysanError(f"{path}: there is no folder {path.parent}; create it first", ExitCode.OUTPUT_UNWRITABLE)
    if not os.access(folder, os.W_OK):
        raise NsysanError(f"{path}: the folder is not writable; name another with -o", ExitCode.OUTPUT_UNWRITABLE)


def write_text(path: Path, text: str, *, force: bool) -> None:
    """Write the file as UTF-8, in one step (see write_bytes)."""
    write_bytes(path, text.encode("utf-8"), force=force)


def write_bytes(path: Path, content: bytes, *, force: bool) -> None:
    """Write the file in one step: under its name there is the old content or all of the new."""
    check_writable(path, force=force)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Temporary files are private; a report is as readable as any new file of the user's.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise NsysanError(f"{path}: cannot be written: {error.strerror}", ExitCode.OUTPUT_UNWRITABLE) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
