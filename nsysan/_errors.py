"""The one exception that a user can cause, and the exit codes that scripts can rely on."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line; 1 and 2 keep their usual meaning (bug, usage)."""

    NO_SUCH_FILE = 3
    NOT_SQLITE = 4
    NOT_NSYS = 5
    NEEDS_EXPORT = 6
    DAMAGED = 7
    NOTHING_TO_ANALYSE = 8
    OUTPUT_EXISTS = 9
    OUTPUT_UNWRITABLE = 10
    NO_STEPS = 11
    NOT_ONE_RUN = 12
    NO_WORKERS = 13
    NO_NSYS = 20
    NO_REPORT = 21
    RANGE_NEVER_OPENED = 22
    EXPORT_FAILED = 23
    NSYS_DIED = 24
    NOT_CLEAN = 30


class NsysanError(Exception):
    """What is wrong, with which file, and what to do about it, in one line."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = int(code)

    def __reduce__(self) -> tuple[object, ...]:
        return NsysanError, (str(self), self.exit_code)
