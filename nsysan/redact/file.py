"""From a trace to a file that can be given away: copied, searched, compared, and only then put in its place."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.output import check_writable, exists, put, write_text
from nsysan.redact.copy import Copied
from nsysan.redact.export_copy import copy_export
from nsysan.redact.figures import differences
from nsysan.redact.logs import mask_file
from nsysan.redact.nccl_log_copy import copy_nccl_logs, nccl_logs_of
from nsysan.redact.scan import Leak, Names, check_clean, names_in, names_of, scan, scan_bytes
from nsysan.redact.scrub import Scrubber
from nsysan.redact.source import Origin
from nsysan.redact.topology_copy import copy_topology
from nsysan.scratch import scratch
from nsysan.trace.nccl_files import logs_beside
from nsysan.trace.topology import topology_file
from nsysan.trace.trace import Trace

_TABLES = (".parquet", ".arrow")


@dataclass(frozen=True)
class Redacted:
    """What became of a trace. sizes: bytes of the source and of the copy; changed: parts of the report that differ."""

    origin: Origin
    copied: Copied
    sizes: tuple[int, int]
    changed: list[str]
    outputs: list[Path]


def redact_file(source: Path, output: Path, *, force: bool = False) -> Redacted:
    """Write a redacted copy of the export `source`, a file or a folder, to `output`.

    Its topology and NCCL's logs beside it go along.

    NsysanError where the source cannot be read, the output not be written, or a search of the copy finds anything;
    then nothing is left under the output's name.
    """
    _check_output(source, output, force=force)
    Trace(source)
    if topology_file(source).exists():
        check_writable(topology_file(output), force=force, source=topology_file(source))
    for log, original in zip(nccl_logs_of(output, source), logs_beside(source), strict=True):
        check_writable(log, force=force, source=original)
    names = names_of(source)
    try:
        with scratch(output.absolute().parent) as folder:
            copy = folder / output.name
            origin, copied = copy_export(source, copy)
            copy_topology(source, copy)
            logs = copy_nccl_logs(source, copy)
            check_clean(
                [*_left(copy, names), *(leak for log in logs for leak in scan(log, names))], f"{source}: the copy"
            )
            sizes = _size(source), _size(copy)
            changed = differences(source, copy, Scrubber(origin.secrets))
            outputs = _put(copy, output, logs, force=force)
    except OSError as error:
        raise NsysanError(f"{output}: cannot be written: {error.strerror}", ExitCode.OUTPUT_UNWRITABLE) from error
    return Redacted(origin, copied, sizes, changed, outputs)


def redact_log(source: Path, output: Path, *, force: bool = False) -> dict[str, int]:
    """Write a log of NCCL, or a topology, to `output` without what it tells; how much was masked, by kind.

    NsysanError as for redact_file.
    """
    check_writable(output, force=force, source=source)
    text, masked = mask_file(source)
    with source.open(encoding="utf-8", errors="replace") as lines:
        names = names_in(lines)
    check_clean(scan_bytes(text.encode("utf-8"), names), f"{source}: the copy")
    write_text(output, text, force=force)
    return masked


def _check_output(source: Path, output: Path, *, force: bool) -> None:
    """As check_writable, for a folder too, which is replaced if there is nothing but tables in it."""
    if not source.is_dir():
        check_writable(output, force=force, source=source)
        return
    inside = output.absolute()
    if source.absolute() in (inside, *inside.parents) or (output.exists() and output.samefile(source)):
        raise NsysanError(f"{output}: is the trace itself or in it; name another folder", ExitCode.OUTPUT_UNWRITABLE)
    if not output.exists():
        check_writable(output, force=force)
        return
    if not output.is_dir() or any(entry.suffix not in _TABLES for entry in output.iterdir()):
        raise NsysanError(f"{output}: is no folder of tables; name another", ExitCode.OUTPUT_UNWRITABLE)
    if not force:
        raise exists(output)


def _left(copy: Path, names: Names) -> list[Leak]:
    beside = topology_file(copy)
    return scan(copy, names) + (scan(beside, names) if beside.exists() else [])


def _size(export: Path) -> int:
    return sum(file.stat().st_size for file in export.iterdir()) if export.is_dir() else export.stat().st_size


def _put(copy: Path, output: Path, logs: list[Path], *, force: bool) -> list[Path]:
    """Move the finished files to their names, the trace last."""
    umask = os.umask(0)
    os.umask(umask)
    beside = [(topology_file(copy), topology_file(output)), *zip(logs, nccl_logs_of(output, copy), strict=True)]
    moves = [*beside, (copy, output)]
    done = []
    for made, final in moves:
        if not made.exists():
            continue
        for file in made.iterdir() if made.is_dir() else [made]:
            with file.open("rb") as written:
                os.fsync(written.fileno())
            file.chmod(0o666 & ~umask)
        if made.is_dir():
            _put_folder(made, final, umask, force=force)
        else:
            put(made, final, force=force)
        done.append(final)
    return done[::-1]


def _put_folder(made: Path, final: Path, umask: int, *, force: bool) -> None:
    made.chmod(0o777 & ~umask)
    if force and final.exists():
        final.rename(made.with_name("before"))  # goes with the folder that it was made in
    try:
        made.rename(final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise NsysanError(f"{final}: exists by now; name another", ExitCode.OUTPUT_EXISTS) from error
