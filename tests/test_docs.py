"""The README keeps up with the command line, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from nsysan import ExitCode
from nsysan.cli import cli

ROOT = Path(__file__).parent.parent


def commands() -> dict[str, click.Command]:
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    flat: dict[str, click.Command] = {}
    for name, command in found.items():
        if isinstance(command, click.Group):
            flat |= {f"{name} {sub}": of_group for sub, of_group in command.commands.items()}
        elif command is not None:
            flat[name] = command
    return flat


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text("utf-8")


def test_readme_mentions_every_command_and_option(readme: str) -> None:
    missing = []
    for name, command in commands().items():
        if f"nsysan {name}" not in readme:
            missing.append(name)
        options = [o for p in command.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts)]
        assert options, f"{name} has no option: is it loaded?"
        missing += [f"{name} {o}" for o in options if not re.search(rf"(?<![\w-]){re.escape(o)}(?![\w-])", readme)]
    assert missing == []


def test_readme_and_help_tell_the_exit_codes_of_report(readme: str) -> None:
    # From 20 on they are those of commands that run nsys.
    codes = [int(code) for code in ExitCode if code < 20]
    report_help = commands()["report"].help or ""
    for text in (readme, report_help):
        listed = re.search(r"Exit codes: (.*?\.)", " ".join(text.split()))
        assert listed is not None
        assert [int(number) for number in re.findall(r"\d+", listed[1])][: len(codes)] == codes


def test_relative_links_and_pictures_exist(readme: str) -> None:
    targets = re.findall(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)", readme) + re.findall(r'(?:src|href)="([^"]+)"', readme)
    relative = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in relative if not (ROOT / target).exists()] == []


def test_files_that_the_readme_runs_exist(readme: str) -> None:
    named = re.findall(r"\b((?:scripts|fixtures|nsysan)/[\w./-]+\w)", readme)
    assert [name for name in named if not (ROOT / name).exists()] == []
