"""Colours of what commands print: labels, how severe and whether changed, ledger lines in the colours of the page."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import click

#: What a line is about, at its beginning.
_LABEL = re.compile(
    r"^(?:verdict|how sure|late|savings|tail|untraced|summed|trace|captured|steps|period|layout|pipeline|clock|light|"
    r"expected|scaling|bought|lost|replicas|predict|stop|basis|kernels|link|note|not comparable|[A-Z] vs [A-Z])(?=  )"
)
_HEADING = re.compile(
    r"^(?:findings|ledger|collectives|compute by group|kernels that differ most|kernels of|idle by cause|slowest steps|"
    r"read with care|skew|what if|as measured|without nsys|replay_error)(?=[ ,]|$)"
)
#: Words that say how much, or whether, where they stand.
_GRADES = (
    (re.compile(r"(?<=^  )(?:high|FAIL)(?= )|^fail\b"), {"fg": "red", "bold": True}),
    (re.compile(r"(?<=^  )(?:medium|warn)(?= )|^cannot tell"), {"fg": "yellow", "bold": True}),
    (re.compile(r"(?<=^  )ok(?=  )|^pass\b"), {"fg": "green"}),
    (re.compile(r"(?<=  )changed(?=  |$)"), {"bold": True}),
    (re.compile(r"(?<=  )(?:noise|small|too few steps)(?=  |$)|(?<=^  )low(?=  )"), {"dim": True}),
)
#: Of the 256 colours that every terminal has, six levels of each primary.
_LEVELS = (0, 95, 135, 175, 215, 255)


def painted(text: str) -> str:
    """The text with escapes for colours, which `click.echo` takes out again where none are wanted."""
    return "\n".join(map(_line, text.split("\n")))


def _line(line: str) -> str:
    for pattern in (_LABEL, _HEADING):
        line = pattern.sub(lambda found: click.style(found[0], bold=True), line, count=1)
    for pattern, style in _GRADES:
        line = pattern.sub(partial(_styled, style), line)
    return _ledger_words().sub(lambda found: _in_colour(found[0]), line)


def _styled(style: Mapping[str, Any], found: re.Match[str]) -> str:
    return click.style(found[0], **style)


@cache
def _ledger_words() -> re.Pattern[str]:
    """Names of ledger lines: of columns, at the head of a row, as a verdict, and of a share."""
    # Where nothing but click is, as on machines that capture, there is no ledger either.
    names = "|".join(_colours()) or "(?!)"
    return re.compile(
        rf"(?<=  )(?:{names})(?=  |$)|^(?:{names})(?=  )|(?<=verdict\x1b\[0m   )(?:{names})(?=:)|"
        rf"(?<=[ (])(?:{names})(?= \d[\d.]* %)"
    )


@cache
def _colours() -> dict[str, str]:
    """#rrggbb by name: those of the page; a kind of verdict has that of its line."""
    try:
        from nsysan.diagnosis.verdict import BOUNDS
        from nsysan.metrics.lines import LEDGER, ROW
    except ImportError:
        return {}

    lines = {row.id.value: row.colour for row in LEDGER}
    kinds = {kind.value: ROW[bound.line].colour for kind, bound in BOUNDS.items() if bound.line is not None}
    return kinds | lines


def _in_colour(word: str) -> str:
    red, green, blue = bytes.fromhex(_colours()[word].removeprefix("#"))
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return f"\x1b[1;38;2;{red};{green};{blue}m{word}\x1b[0m"
    nearest = (min(range(6), key=lambda level: abs(_LEVELS[level] - part)) for part in (red, green, blue))
    r, g, b = nearest
    return f"\x1b[1;38;5;{16 + 36 * r + 6 * g + b}m{word}\x1b[0m"
