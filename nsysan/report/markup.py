"""Text from a trace inside Markdown: shown as it is, whatever marks, links, mentions and HTML it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from nsysan.text import plain

_MARKS = str.maketrans({c: f"\\{c}" for c in "\\`*[]|~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})
#: Marks at some places only, addresses, and mentions, which an invisible word joiner keeps from being ones.
_PLACES = (
    (re.compile(r"^([-+=#])"), r"\\\1"),
    (re.compile(r"^(\d+)([.)])(?=\s|$)"), r"\1\\\2"),
    (re.compile(r"(?<![^\W_])_|_(?![^\W_])"), r"\\_"),
    (re.compile(r"#(?=\d)"), "#\u2060"),
    (re.compile(r"://"), r":\\//"),
    (re.compile(r"(?i)\b(www)\."), r"\1\\."),
    (re.compile(r"@"), "@\u2060"),
)


def escaped(text: str, width: int = 2_000) -> str:
    """A sentence that Markdown shows as it is, in one line of at most `width` characters before escaping."""
    shown = plain(text, width).strip().translate(_MARKS)
    for pattern, replacement in _PLACES:
        shown = pattern.sub(replacement, shown)
    return shown


def code(text: str, width: int = 80, *, cell: bool = False) -> str:
    """A name as a code span; cell: within a table, where a bar must be escaped even so."""
    shown = plain(text, width).strip() or "?"
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    space = " " if shown[0] == "`" or shown[-1] == "`" else ""
    return f"{fence}{space}{shown.replace('|', chr(92) + '|') if cell else shown}{space}{fence}"


def rows(header: Sequence[str], body: Iterable[Sequence[str]], *, left: int = 1) -> list[str]:
    """Lines of a table of finished Markdown; the first `left` columns are left-aligned, the rest right-aligned."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return [f"| {' | '.join(row)} |" for row in (header, rule, *body)]
