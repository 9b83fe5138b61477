"""The text of every `--help`, as tests/data/help holds it; `python -m tests.helptexts` writes those files anew."""

from __future__ import annotations

from pathlib import Path

import click

from nsysan.cli import cli

FOLDER = Path(__file__).parent / "data" / "help"
_WIDTH = 80


def commands() -> dict[str, click.Command]:
    """Every command by its words; "" for nsysan itself."""
    return {" ".join(context.info_name or "" for context in way[1:]): way[-1].command for way in _ways()}


def help_texts() -> dict[str, str]:
    """The help of every command, by the name of its file."""
    return {
        "_".join(str(context.info_name) for context in (way[1:] or way)) + ".txt": way[-1].get_help() + "\n"
        for way in _ways()
    }


def _ways() -> list[list[click.Context]]:
    """The contexts that lead from nsysan to each command, itself first."""
    ways = [[click.Context(cli, info_name="nsysan", terminal_width=_WIDTH, **cli.context_settings)]]
    for way in ways:
        group = way[-1].command
        if not isinstance(group, click.Group):
            continue
        for name in group.list_commands(way[-1]):
            command = group.get_command(way[-1], name)
            assert command is not None, f"{name} is listed, and is not there"
            ways.append([*way, click.Context(command, info_name=name, parent=way[-1])])
    return ways


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    texts = help_texts()
    for path in FOLDER.iterdir():
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
