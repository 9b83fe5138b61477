"""Calling the command line in this process, and the traces with a known answer that its tests share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from nsysan import ExitCode
from nsysan.cli import main
from tests.documents import held
from tests.tracebuilder import TraceBuilder, decode_loop


@dataclass(frozen=True)
class Result:
    """What one call of the command line left behind."""

    code: int
    out: str
    err: str


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Result:
    """Call `nsysan` with the arguments; any exception but its own exit is a failure of the test.

    So is a JSON document that is not as its schema says.
    """
    capsys.readouterr()
    code = 0
    words = [str(argument) for argument in arguments]
    with patch.object(sys, "argv", ["nsysan", *words]):
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 0
    captured = capsys.readouterr()
    assert code != ExitCode.BUG, captured.err
    if code == 0 and "--json" in words:
        target = "-" if words[0] == "info" else words[words.index("--json") + 1]
        held(captured.out if target == "-" else Path(target).read_text("utf-8"))
    return Result(code, captured.out, captured.err)


#: Runs argv[2:], and all signals end it as usual but those that argv[1] numbers.
_AS_USUAL = """
import os, signal, sys
ignored = set(map(int, sys.argv[1].split()))
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
os.execv(sys.argv[2], sys.argv[2:])
"""


def signalled(*command: str | Path, ignored: Iterable[signal.Signals] = ()) -> list[str]:
    """The command, to be told to end by any signal but those ignored.

    A process inherits what is ignored: SIGHUP under nohup, SIGINT in what a script runs beside itself.
    """
    numbers = " ".join(str(int(number)) for number in ignored)
    return [sys.executable, "-I", "-S", "-c", _AS_USUAL, numbers, *map(str, command)]


def paper_trace(path: Path, ranks: int = 4, steps: int = 4) -> Path:
    """Rank 1 is 3 us late in each of two layers; see decode_loop for what follows from that."""
    builder = TraceBuilder()
    decode_loop(builder, ranks=ranks, steps=steps, late={1: 3_000} if ranks > 1 else {})
    return builder.write(path)


def graph_level_trace(path: Path) -> Path:
    """The same loop in CUDA graphs that were traced as blocks."""
    builder = TraceBuilder(graph_mode="Graph")
    decode_loop(builder, graph=True)
    return builder.write(path)
