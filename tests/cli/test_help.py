"""Every `--help`: its text is held in a file, so that changing an option is changing that file."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from nsysan import ExitCode
from nsysan.cli.exits import USUAL
from tests.helptexts import FOLDER, commands, help_texts

TEXTS = help_texts()
CODES = {int(code): code.words for code in ExitCode} | USUAL


def test_each_command_has_its_file_and_each_file_its_command() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(TEXTS)


@pytest.mark.parametrize("name", TEXTS)
def test_help_is_as_held(name: str) -> None:
    assert TEXTS[name] == (FOLDER / name).read_text("utf-8"), (
        f"`--help` and tests/data/help/{name} differ; where that is meant, run `python -m tests.helptexts`, read the "
        f"difference, and name it in CHANGELOG.md"
    )


@pytest.mark.parametrize("name", TEXTS)
def test_help_fits_a_terminal(name: str) -> None:
    assert [line for line in TEXTS[name].splitlines() if len(line) > 82] == []


@pytest.mark.parametrize(("name", "command"), commands().items(), ids=lambda value: value if value else "nsysan")
def test_help_has_examples_and_states_defaults(name: str, command: click.Command) -> None:
    text = TEXTS[f"{name.replace(' ', '_') or 'nsysan'}.txt"]
    assert f"Examples:\n    nsysan {name}".rstrip() in text
    context = click.Context(command)
    options = [o for o in command.params if isinstance(o, click.Option) and not (o.is_eager or o.is_flag or o.multiple)]
    for option in options:
        assert option.help, f"{name} {option.opts[-1]} says nothing"
        # What click gives for "no default" differs by its version.
        if isinstance(option.get_default(context), str | int | float | Path):
            said = option.show_default or "[default: " in option.help
            assert said, f"{name} {option.opts[-1]} does not state its default"


def told_codes(text: str) -> dict[int, str]:
    """What a sentence "Exit codes: 3 no such file, ..." says of each."""
    sentence = re.search(r"Exit codes: (.*?)\.(?:\s|$)", " ".join(text.split()))
    return {
        int(code): words
        for code, words in re.findall(r"(\d+) (\D+?)(?=, \d|$| \(`|; )", sentence[1] if sentence else "")
    }


def test_nsysan_help_lists_every_exit_code() -> None:
    listed = re.findall(r"^  (\d+) +(\S.*)$", TEXTS["nsysan.txt"].partition("Exit codes:")[2], re.M)
    assert {int(code): words for code, words in listed} == CODES


@pytest.mark.parametrize("name", [name for name in TEXTS if not name.startswith(("nsysan", "history_"))])
def test_each_command_tells_its_exit_codes(name: str) -> None:
    told = told_codes(TEXTS[name])
    assert told
    own = {code: words for code, words in told.items() if code in set(ExitCode)}
    # What 20 means to doctor, it says in its own words.
    assert own == {code: ExitCode(code).words for code in own} or name == "doctor.txt"


def test_report_tells_what_it_can_end_with() -> None:
    assert set(told_codes(TEXTS["report.txt"])) == {0, *range(3, 14), 20, 23, 30}
