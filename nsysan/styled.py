"""The style that a printer gives its words: carried in the text from where it is known to the terminal that paints it.

Text is plain unless it is made within `painting()`. A mark is no letter: what measures, breaks or aligns text passes
over it (`text.py`), and what a trace has names cannot be one (`text.plain`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum

_OPEN, _NAMED, _CLOSE = "\ue000", "\ue001", "\ue002"
#: All marks, as a class of a regular expression.
MARKS = f"{_OPEN}-{_CLOSE}"
_MARK = re.compile(f"{_OPEN}[^{MARKS}]*{_NAMED}|{_CLOSE}")
_STYLED = re.compile(f"{_OPEN}([^{MARKS}]*){_NAMED}([^{MARKS}]*){_CLOSE}")
_PAINTING: ContextVar[bool] = ContextVar("painting", default=False)
#: A label and the space behind it take so many columns, if it is no longer.
_LABEL = 10


class Style(StrEnum):
    """What words are, where they are no ledger line."""

    LABEL = "label"
    BAD = "bad"
    DOUBTFUL = "doubtful"
    GOOD = "good"
    WEIGHTY = "weighty"
    FAINT = "faint"


@contextmanager
def painting() -> Iterator[None]:
    """Text that is made meanwhile carries its style."""
    token = _PAINTING.set(True)
    try:
        yield
    finally:
        _PAINTING.reset(token)


def styled(style: str, words: str) -> str:
    """Words in a style, or in the colour of the ledger line or verdict of that name; plain where nobody paints."""
    return f"{_OPEN}{style}{_NAMED}{words}{_CLOSE}" if _PAINTING.get() and words else words


def label(words: str) -> str:
    """What a line is about, at its beginning, with the space behind it."""
    return styled(Style.LABEL, words) + " " * max(2, _LABEL - len(words))


def heading(words: str) -> str:
    """What the lines below are about."""
    return styled(Style.LABEL, words)


def bare(text: str) -> str:
    """The text without its style."""
    return _MARK.sub("", text)


def seen(text: str) -> int:
    """Columns that it takes."""
    return len(bare(text))


def painted(text: str, paint: Callable[[str, str], str]) -> str:
    """The text with its styled words as `paint` makes them of a style's name and the words."""
    return bare(_STYLED.sub(lambda found: paint(found[1], found[2]), text))


def rebroken(text: str, by: Callable[[str], list[str]]) -> list[str]:
    """Lines that `by` breaks the bare text into, with its style where the words are now: it moves nothing but space."""
    pieces = re.split(f"({_MARK.pattern})", text)
    lines = by("".join(pieces[::2]))
    marks: list[tuple[int, str]] = []
    letters = 0
    for number, piece in enumerate(pieces):
        if number % 2:
            marks.append((letters, piece))
        else:
            letters += sum(not letter.isspace() for letter in piece)
    return "\n".join(_laid(lines, marks)).split("\n") if marks else lines


def _laid(lines: list[str], marks: list[tuple[int, str]]) -> Iterator[str]:
    """The lines with marks at the letters that they were at, counted from 0; none goes over a line's end."""
    passed, waiting, inside = 0, list(marks), ""
    for line in lines:
        made: list[str] = []
        opened = not inside
        for letter in line:
            if letter.isspace():
                made.append(letter)
                continue
            if not opened:
                made.append(inside)
                opened = True
            while waiting and waiting[0][0] <= passed:
                inside = _told(made, waiting.pop(0)[1])
            made.append(letter)
            passed += 1
            while waiting and waiting[0] == (passed, _CLOSE):
                inside = _told(made, waiting.pop(0)[1])
        if inside and opened:
            made.append(_CLOSE)
        yield "".join(made)


def _told(made: list[str], mark: str) -> str:
    made.append(mark)
    return "" if mark == _CLOSE else mark
