"""Exit code 1 is of `check`, where a rule fails, and of nothing else: no command and no error ends with it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from unittest.mock import patch

import click
import pytest

from nsysan import ExitCode, NsysanError
from nsysan.cli import main, streams
from nsysan.cli.exits import USUAL
from tests.clitools import paper_trace, run_cli
from tests.helptexts import commands
from tests.test_layers import MODULES

Capsys = pytest.CaptureFixture[str]
#: Where a process is ended, but with a code of ExitCode.
ENDS = re.compile(r"\b(?:exit|quit|SystemExit)\((?!ExitCode\.)(.*)\)$", re.MULTILINE)
ALL = {words: command for words, command in commands().items() if not isinstance(command, click.Group)}
ERRORS = (
    (NsysanError("no such steps", ExitCode.NO_STEPS), 11),
    (click.UsageError("so not"), 2),
    (click.ClickException("odd"), 2),
    (click.exceptions.Exit(0), 0),
    (click.Abort(), 130),
    (streams.ReaderGone(), 141),
    (OSError(24, "Too many open files"), 14),
    (BrokenPipeError(32, "Broken pipe"), 141),
    (MemoryError(), 14),
    (RuntimeError("a bug"), 70),
    (RecursionError(), 70),
)


def code_of(words: list[str]) -> int:
    """Exit code of `nsysan WORDS`, as Python tells the system."""
    with patch.object(sys, "argv", ["nsysan", *words]):
        try:
            main()
        except SystemExit as exit_:
            return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    return 0


@pytest.mark.parametrize("words", ALL)
def test_no_error_of_any_command_ends_with_1(monkeypatch: pytest.MonkeyPatch, capsys: Capsys, words: str) -> None:
    command = ALL[words]
    monkeypatch.setattr(command, "params", [])
    for error, code in ERRORS:

        def fail(error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(command, "callback", fail)
        assert code_of(words.split()) == code, error
        assert code != 1
    capsys.readouterr()


@pytest.mark.parametrize("words", ALL)
def test_nothing_that_is_wrong_with_what_is_given_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("nsysan.capture.nsys._INSTALLED", ())
    (tmp_path / "junk").write_bytes(b"junk\0" * 100)
    for given in ([], ["--no-such-option"], ["nothing"], ["junk"], ["junk", "nothing"], ["."], ["-o"], ["--", "junk"]):
        got = run_cli(capsys, *words.split(), *given)
        assert got.code in (0, 2, *ExitCode), (given, got)
        assert got.code != 1


def test_check_alone_ends_with_1(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "t.sqlite")
    rules = {"period>1ns": 1, "period>1s": 0, "no_such_figure>1": 2, "period>+5%": 2}
    assert {rule: run_cli(capsys, "check", trace, "--fail-on", rule).code for rule in rules} == rules
    assert 1 not in list(ExitCode)
    assert USUAL[1].startswith("of check: a rule fails")


def test_no_module_exits_with_1_or_with_words() -> None:
    """sys.exit with a text is 1; what it is given is a code of ExitCode, a number that is not 1, or what was made of
    rules and signals."""
    given = {f"{name}: {end}" for name, path in MODULES.items() for end in ENDS.findall(path.read_text("utf-8"))}
    assert given == {
        "capture.processes: 128 + number",
        "cli: 130",
        "cli: 141",
        "cli: 2",
        "cli: error.exit_code",
        "cli.capture: holding.hold(session, say)",
        "cli.capture: result.exit_code",
        "cli.check: code",
        "cli.signals: 128 + number",
    }
