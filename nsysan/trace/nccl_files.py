"""NCCL's logs as files: where a capture leaves them, and their lines within bounds, whatever the files hold."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from nsysan.budgets import NCCL_BYTES, NCCL_FILES, NCCL_LINE, NCCL_LINES

if TYPE_CHECKING:
    from nsysan.trace.nccl_log import NcclLog


@dataclass
class Budget:
    """What may still be read."""

    bytes: int = NCCL_BYTES
    lines: int = NCCL_LINES


def read_logs(paths: Iterable[Path], budget: Budget | None = None) -> NcclLog:
    """What these files say, which may be anything; nothing of them is believed here."""
    # Few runs have such logs, and what reads them takes as long to load as many a trace to read.
    from nsysan.trace.nccl_log import LogReader, NcclLog

    left = budget or Budget()
    found = NcclLog()
    reader = LogReader(found)
    for number, path in enumerate(paths):
        if number >= NCCL_FILES:
            found.cut = True
            break
        try:
            reader.read(lines_of(path, left, found))
            found.files += 1
        except OSError:
            found.unread += 1
    return found


def lines_of(path: Path, left: Budget, found: NcclLog | None = None) -> Iterator[str]:
    """The lines of a file that NCCL may have written, as many as the budget still allows; OSError as it comes.

    found: what is told of the rest.
    """
    # A pipe or a device would be read for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path.name} is no file")
    with path.open("rb") as file:
        yield from whole_lines(iter(lambda: file.readline(NCCL_LINE + 1), b""), left, found)


def whole_lines(pieces: Iterator[bytes], left: Budget, found: NcclLog | None) -> Iterator[str]:
    """Whole lines of no more than NCCL_LINE bytes; pieces: lines, or parts of longer ones."""
    inside = False  # a line that is too long
    for piece in pieces:
        left.bytes -= len(piece)
        left.lines -= not inside
        if left.bytes < 0 or left.lines < 0:
            if found is not None:
                found.cut = True
            return
        ends = piece.endswith(b"\n")
        if inside or (not ends and len(piece) > NCCL_LINE):
            if found is not None:
                found.long += not inside
            inside = not ends
        else:
            yield piece.decode("utf-8", "replace")


def logs_named(folder: Path, name: str, ending: str = ".log") -> list[Path]:
    """The logs that a capture of that name, without suffix, left in a folder."""
    try:
        return sorted(folder.glob(f"{escape(name)}.nccl.*{ending}"))[: NCCL_FILES + 1]
    except OSError:
        return []


def logs_beside(trace: Path) -> list[Path]:
    """The logs beside a trace, NAME.nccl.*, by name; the traces of a range that repeats share them."""
    base, _, number = trace.stem.rpartition(".")
    names = (trace.stem, *([base] if base and number.isdecimal() else []))
    return next((found for name in names if (found := logs_named(trace.parent, name, ""))), [])


def read_logs_beside(trace: Path) -> NcclLog | None:
    """What NCCL said, where a capture left its logs beside the trace."""
    found = logs_beside(trace)
    return read_logs(found) if found else None
