"""From a trace to a file that can be given away: copied, searched, compared, and only then put in its place."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nsysan._errors import ExitCode, NsysanError
from nsysan.output import check_writable
from nsysan.redact.copy import Copied, write_copy
from nsysan.redact.figures import differences
from nsysan.redact.scan import Leak, scan
from nsysan.redact.source import Origin, examine
from nsysan.text import counted
from nsysan.trace.sqlite import SqliteFile
from nsysan.trace.store import damaged
from nsysan.trace.topology import Topology, read_topology, topology_file
from nsysan.trace.trace import Trace

_WRITING_FAILED = frozenset(
    (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
)


@dataclass(frozen=True)
class Redacted:
    """What became of a trace. sizes: bytes of the source and of the copy; changed: parts of the report that differ."""

    origin: Origin
    copied: Copied
    sizes: tuple[int, int]
    changed: list[str]
    outputs: list[Path]


def redact_file(source: Path, output: Path, *, force: bool = False) -> Redacted:
    """Write a redacted copy of the export `source` to `output`, and of its topology beside it.

    NsysanError where the source cannot be read, the output not be written, or a search of the copy finds anything;
    then nothing is left under the output's name.
    """
    check_is_file(source)
    check_writable(output, force=force, source=source)
    Trace(source)
    topology = read_topology(source)
    if topology is not None:
        check_writable(topology_file(output), force=force, source=topology_file(source))
    origin = examined(source)
    try:
        with TemporaryDirectory(prefix=f".{output.name}.", dir=output.absolute().parent) as folder:
            copy = Path(folder) / output.name
            copied = _copied(source, copy, origin)
            if topology is not None:
                topology_file(copy).write_text(_topology_text(topology), encoding="utf-8")
            _check_clean(source, scan(copy, origin.secrets, origin.code_ids))
            sizes = source.stat().st_size, copy.stat().st_size
            changed = differences(source, copy)
            outputs = _put(copy, output)
    except OSError as error:
        raise NsysanError(f"{output}: cannot be written: {error.strerror}", ExitCode.OUTPUT_UNWRITABLE) from error
    return Redacted(origin, copied, sizes, changed, outputs)


def check_is_file(source: Path) -> None:
    """NsysanError for a folder of tables, which cannot be redacted."""
    if source.is_dir():
        raise NsysanError(
            f"{source}: is a folder; what can be redacted is one file, as `nsys export --type sqlite` writes it",
            ExitCode.NO_SUCH_FILE,
        )


def examined(source: Path) -> Origin:
    """What must not get out of a trace; NsysanError where it cannot be read."""
    file = SqliteFile(source)
    tables = file.tables
    file.close()
    try:
        return examine(source, tables)
    except (sqlite3.Error, UnicodeError) as error:
        raise file.damaged(str(error)) from error


def _copied(source: Path, copy: Path, origin: Origin) -> Copied:
    try:
        return write_copy(source, copy, origin)
    except (sqlite3.Error, UnicodeError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _WRITING_FAILED:
            raise NsysanError(
                f"{copy.name}: cannot be written: {error}; is the disk full?", ExitCode.OUTPUT_UNWRITABLE
            ) from error
        raise damaged(source, str(error), "sqlite") from error


def _check_clean(source: Path, leaks: list[Leak]) -> None:
    if not leaks:
        return
    shown = "; ".join(f"{leak.kind} in {leak.where}" for leak in leaks[:5])
    raise NsysanError(
        f"{source}: {counted(len(leaks), 'place')} of the copy would still tell what was to be removed ({shown}); "
        f"nothing was written",
        ExitCode.NOT_CLEAN,
    )


def _topology_text(topology: Topology) -> str:
    """What a report reads of a topology, in the words of nvidia-smi: no GPU's serial number, no network card."""
    count = max((j for _, j, _ in topology.pairs), default=0) + 1
    kinds = {(i, j): kind for i, j, kind in topology.pairs}
    rows = [
        "\t".join([f"GPU{i}", *("X" if i == j else kinds.get((min(i, j), max(i, j)), "?") for j in range(count))])
        for i in range(count)
    ]
    rows += [f"Link {i}: {speed:g} GB/s" for i, speed in enumerate(topology.speeds)]
    rows += [f"Link {len(topology.speeds) + i}: <inactive>" for i in range(topology.inactive)]
    return "\n".join(rows) + "\n"


def _put(copy: Path, output: Path) -> list[Path]:
    """Move the finished files to their names, the trace last."""
    umask = os.umask(0)
    os.umask(umask)
    moves = [(topology_file(copy), topology_file(output)), (copy, output)]
    done = []
    for made, final in moves:
        if not made.exists():
            continue
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.chmod(0o666 & ~umask)
        made.replace(final)
        done.append(final)
    return done[::-1]
