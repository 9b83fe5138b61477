"""Standard output and error of the command line: what cannot be written is an error, and is told if it can be."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from nsysan._errors import ExitCode, NsysanError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class ReaderGone(Exception):
    """Whoever read standard output has what it wanted, as `head` does."""


class _Output(io.FileIO):
    """Standard output. Errors are no OSError, which click, and code that expects those of a file, would catch."""

    failed = False

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failed = True
            if error.errno == errno.EPIPE:
                raise ReaderGone from error
            why = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise NsysanError(f"standard output cannot be written: {why}", ExitCode.OUTPUT_UNWRITABLE) from error


class _Messages(io.FileIO):
    """Standard error: that nobody can be told is no reason to stop."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def attach() -> None:
    """Write standard output and error through these, in place of Python's streams (not in place of a caller's)."""
    for number in (0, 1, 2):
        _occupy(number)
    if sys.stdout is sys.__stdout__:
        output = _Output(1, "wb", closefd=False)
        sys.stdout = _stream(output, sys.stdout, "strict", line_buffering=output.isatty())
    if sys.stderr is sys.__stderr__:
        messages = _Messages(2, "wb", closefd=False)
        sys.stderr = _stream(messages, sys.stderr, "backslashreplace", line_buffering=True)


def detach() -> None:
    """Let go of what standard output did not take: Python would try once more when it ends."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Output) and raw.failed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _occupy(number: int) -> None:
    """Let no file that is opened later be taken for a standard stream that the caller has closed."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_RDONLY)  # gets the lowest number that is free


def _stream(raw: io.FileIO, like: TextIO | None, errors: str, *, line_buffering: bool) -> io.TextIOWrapper:
    encoding = "utf-8" if like is None else like.encoding
    errors = errors if like is None else like.errors or errors
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=line_buffering)
