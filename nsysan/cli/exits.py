"""What `--help` says of the exit codes: the numbers and words of ExitCode, those that a command can end with."""

from __future__ import annotations

from collections.abc import Iterable

from nsysan._errors import ExitCode

#: Of commands that read one trace, and print what they find.
TRACE = (
    ExitCode.NO_SUCH_FILE,
    ExitCode.NOT_SQLITE,
    ExitCode.NOT_NSYS,
    ExitCode.NEEDS_EXPORT,
    ExitCode.DAMAGED,
    ExitCode.OUTPUT_UNWRITABLE,
    ExitCode.NO_NSYS,
    ExitCode.EXPORT_FAILED,
)
#: Of commands that analyse the traces of a run.
RUN = (*TRACE, ExitCode.NOTHING_TO_ANALYSE, ExitCode.NOT_ONE_RUN, ExitCode.NO_WORKERS)
#: Of commands that write files.
OUTPUT = (ExitCode.OUTPUT_EXISTS, ExitCode.OUTPUT_UNWRITABLE)
#: Those that are no error of nsysan's own; codes of signals are 128 and the signal's number.
USUAL = {
    0: "done",
    1: "of check: a rule fails (capture ends with the code of its workload)",
    2: "wrong usage (or, of check, a rule that cannot be told)",
    130: "interrupted",
    141: "nobody reads the output any more",
}


def exit_codes(*codes: ExitCode, before: str = "0 done", after: str = "") -> str:
    """One sentence for the end of a command's help; before, after: what is no ExitCode."""
    told = [f"{int(code)} {code.words}" for code in sorted(set(codes))]
    return f"Exit codes: {', '.join([before, *told])}{after}."


def all_codes() -> Iterable[tuple[str, str]]:
    """Every exit code with its meaning, by number."""
    known = USUAL | {int(code): code.words for code in ExitCode}
    return ((str(code), known[code]) for code in sorted(known))
