"""The one exception that a user can cause, and the exit codes that scripts can rely on."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line and what they mean; 0, 1 and 2 are of every command: done, a rule that
    failed (of check, and of nothing else), usage."""

    words: str

    def __new__(cls, code: int, words: str = "") -> ExitCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.words = words
        return member

    NO_SUCH_FILE = 3, "no such file"
    NOT_SQLITE = 4, "not SQLite"
    NOT_NSYS = 5, "not an export of nsys"
    NEEDS_EXPORT = 6, "a recording without an nsys to export it"
    DAMAGED = 7, "damaged or cut off"
    NOTHING_TO_ANALYSE = 8, "no GPU work to analyse"
    OUTPUT_EXISTS = 9, "output exists"
    OUTPUT_UNWRITABLE = 10, "output not writable"
    NO_STEPS = 11, "no such steps"
    NOT_ONE_RUN = 12, "not traces of one run"
    NO_WORKERS = 13, "no workers"
    SYSTEM = 14, "the system has no room (memory, files, processes)"
    NO_NSYS = 20, "no nsys that runs"
    NO_REPORT = 21, "no recording came back"
    RANGE_NEVER_OPENED = 22, "the capture range never opened"
    EXPORT_FAILED = 23, "export failed"
    NSYS_DIED = 24, "nsys died"
    NOT_CLEAN = 30, "a copy that would not be clean"
    BUG = 70, "a bug"


class NsysanError(Exception):
    """What is wrong, with which file, and what to do about it, in one line."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = int(code)

    def __reduce__(self) -> tuple[object, ...]:
        return NsysanError, (str(self), self.exit_code)
