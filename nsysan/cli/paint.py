"""What styles look like on a terminal: ledger lines in the colours of the page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

import click

from nsysan.styled import Style
from nsysan.styled import painted as _painted

_LOOKS: dict[str, Mapping[str, Any]] = {
    Style.LABEL: {"bold": True},
    Style.BAD: {"fg": "red", "bold": True},
    Style.DOUBTFUL: {"fg": "yellow", "bold": True},
    Style.GOOD: {"fg": "green"},
    Style.WEIGHTY: {"bold": True},
    Style.FAINT: {"dim": True},
}
#: Of the 256 colours that every terminal has, six levels of each primary.
_LEVELS = (0, 95, 135, 175, 215, 255)


def painted(text: str) -> str:
    """The text with escapes for its styles, which `click.echo` takes out again where none are wanted."""
    return _painted(text, _look)


def _look(style: str, words: str) -> str:
    look = _LOOKS.get(style)
    if look is not None:
        return click.style(words, **look)
    colour = _colours().get(style)
    return words if colour is None else _in_colour(colour, words)


@cache
def _colours() -> dict[str, str]:
    """#rrggbb by name of a ledger line or kind of verdict: those of the page."""
    # Where nothing but click is, as on machines that capture, there is no ledger either.
    try:
        from nsysan.diagnosis.verdict import BOUNDS
        from nsysan.metrics.lines import LEDGER
        from nsysan.page.palette import COLOURS, colour_of
    except ImportError:
        return {}

    lines = {row.id.value: row.colour for row in LEDGER}
    names = {kind.value: bound.line or kind.value for kind, bound in BOUNDS.items() if bound.line or bound.path}
    return {kind: COLOURS[colour_of(name)] for kind, name in names.items()} | lines


def _in_colour(colour: str, words: str) -> str:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return f"\x1b[1;38;2;{red};{green};{blue}m{words}\x1b[0m"
    nearest = (min(range(6), key=lambda level: abs(_LEVELS[level] - part)) for part in (red, green, blue))
    r, g, b = nearest
    return f"\x1b[1;38;5;{16 + 36 * r + 6 * g + b}m{words}\x1b[0m"
