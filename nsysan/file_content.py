"""The bytes of a file that may be anything: no more than a bound, and without waiting for ever."""

from __future__ import annotations

import os
import select
from pathlib import Path

from nsysan._errors import ExitCode, NsysanError
from nsysan.budgets import PIPE_SECONDS

_PIECE = 1 << 20


def content_of(path: Path, most: int) -> bytes:
    """Bytes of a file or pipe, one more than `most` where it has more; NsysanError where it cannot be read."""
    try:
        # Without waiting for somebody to open the other end of a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NsysanError(f"{path}: no such file", ExitCode.NO_SUCH_FILE) from None
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    try:
        return _read(descriptor, most + 1)
    except TimeoutError:
        raise _unreadable(path, f"nothing came for {PIPE_SECONDS:.0f} s") from None
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    finally:
        os.close(descriptor)


def _read(descriptor: int, most: int) -> bytes:
    pieces, left = [], most
    while left:
        if not select.select([descriptor], [], [], PIPE_SECONDS)[0]:
            raise TimeoutError
        piece = os.read(descriptor, min(left, _PIECE))
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _unreadable(path: Path, why: str | None) -> NsysanError:
    return NsysanError(f"{path}: cannot be read: {why}", ExitCode.DAMAGED)
