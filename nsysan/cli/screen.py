"""What commands print for people: as wide as their terminal, with colours where it shows them."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from typing import TypeVar

import click

from nsysan.cli.paint import painted
from nsysan.styled import rebroken
from nsysan.text import broken, shortened

#: No narrower: tables would fall to pieces.
NARROWEST = 60
#: A label, or how severe a finding is, and what stands between it and the text.
_LABELLED = re.compile(r"(?:\S+ ){0,2}\S+ {2,}(?=\S)|  (?:high|medium|low) +(?=\S)")
_Command = TypeVar("_Command", bound=Callable[..., None])


def in_colour(command: _Command) -> _Command:
    """The option --color."""
    return click.option(
        "--color",
        type=click.Choice(("auto", "always", "never")),
        default="auto",
        show_default=True,
        expose_value=False,
        callback=_choose,
        help="Colours of the summary; auto: on a terminal, unless NO_COLOR is set.",
    )(command)


def _choose(ctx: click.Context, param: click.Parameter, when: str) -> None:
    del param
    plain_wanted = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    # None leaves it to click, which takes colours out of what goes to no terminal.
    ctx.color = {"always": True, "never": False}.get(when, False if plain_wanted else None)


def columns() -> int | None:
    """The width of the terminal that is written to; None where it is none, and lines may be as long as they are."""
    return max(shutil.get_terminal_size().columns, NARROWEST) if sys.stdout.isatty() else None


def say(text: str) -> None:
    """Print a finished text for people."""
    width = columns()
    shown = "\n".join(text.splitlines() if width is None else fitted(text, width))
    click.echo(painted(shown))


def fitted(text: str, width: int) -> list[str]:
    """Its lines, broken where they are longer; what follows stands under the text, not under its label."""
    lines: list[str] = []
    for line in text.splitlines():
        lines += rebroken(line, lambda words: _broken(words, width))
    return lines


def _broken(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    label = _LABELLED.match(line)
    deep = len(line) - len(line.lstrip())
    indent = " " * (label.end() if label and label.end() <= NARROWEST // 3 else deep + 2)
    # Space between words is kept, as labels stand apart by it.
    parts = [shortened(part, width - len(indent)) for part in re.split(r"( +)", line.lstrip())]
    return broken("".join(parts), width, indent, first=deep * " ")
