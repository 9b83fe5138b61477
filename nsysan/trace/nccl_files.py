"""NCCL's logs as files: where a capture leaves them, and their lines within bounds, whatever the files hold."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nsysan.trace.nccl_log import LogReader, NcclLog

#: NCCL writes a line of up to 1 KB; what is longer is not its.
MAX_LINE = 4096
#: Of all logs of a trace together; NCCL set up on 64 ranks prints less than a tenth of it.
MAX_BYTES = 64_000_000
MAX_LINES = 400_000
MAX_FILES = 1024


@dataclass
class Budget:
    """What may still be read."""

    bytes: int = MAX_BYTES
    lines: int = MAX_LINES


def read_logs(paths: Iterable[Path], budget: Budget | None = None) -> NcclLog:
    """What these files say, which may be anything; nothing of them is believed here."""
    left = budget or Budget()
    found = NcclLog()
    reader = LogReader(found)
    for number, path in enumerate(paths):
        if number >= MAX_FILES:
            found.cut = True
            break
        try:
            # A pipe or a device would be read for ever.
            if not stat.S_ISREG(path.stat().st_mode):
                raise OSError
            with path.open("rb") as file:
                found.files += 1
                reader.read(_lines(iter(lambda: file.readline(MAX_LINE + 1), b""), left, found))
        except OSError:
            found.unread += 1
    return found


def _lines(pieces: Iterator[bytes], left: Budget, found: NcclLog) -> Iterator[str]:
    """Whole lines of no more than MAX_LINE bytes; pieces: lines, or parts of longer ones."""
    inside = False  # a line that is too long
    for piece in pieces:
        left.bytes -= len(piece)
        left.lines -= not inside
        if left.bytes < 0 or left.lines < 0:
            found.cut = True
            return
        ends = piece.endswith(b"\n")
        if inside or (not ends and len(piece) > MAX_LINE):
            found.long += not inside
            inside = not ends
        else:
            yield piece.decode("utf-8", "replace")


def log_pattern(trace: Path) -> str:
    """What the names of a trace's logs look like, for Path.glob in its folder; a repeated range's traces share them."""
    stem = trace.stem
    base, _, number = stem.rpartition(".")
    name = base if base and number.isdecimal() else stem
    return "".join(f"[{c}]" if c in "*?[" else c for c in name) + ".nccl.*.log"


def logs_beside(trace: Path) -> list[Path]:
    """The logs that a capture left beside a trace, by name."""
    try:
        found = sorted(trace.parent.glob(log_pattern(trace)))
    except OSError:
        return []
    return found[: MAX_FILES + 1]


def read_logs_beside(trace: Path) -> NcclLog | None:
    """What NCCL said, where a capture left its logs beside the trace."""
    found = logs_beside(trace)
    return read_logs(found) if found else None
