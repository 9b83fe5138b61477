"""Lines of a log that differ by numbers alone: what is found in one of them is asked once."""

from __future__ import annotations

import re

_MOST_COUNT = 15
_HEX, _MOST_HEX, _MOST_PLAIN_HEX = re.compile(r"0x[0-9a-f]+"), 14, 8
_PLAIN_HEX = re.compile(r"[0-9a-f]+")
#: What has other readings, and pairs that may spell a text; words and signs of what numbers are part of.
_READ = re.compile(
    r"[%\\&]|(?:[0-9A-Fa-f]{2}[ :,]){5}|\d\.\d+\.\d|serial|guid|slurm|bearer|authorization|cookie|passw|passphrase|"
    r"secret|key|token|credential|session|sessid|shared|project|client",
    re.IGNORECASE,
)


def form(text: str) -> str:
    """The text with one number of each length and kind for all that stand between blanks."""
    return " ".join([_number(word) if 2 < len(word) <= _MOST_COUNT else word for word in text.split(" ")])


def is_told_by_form(text: str) -> bool:
    """Whether texts of one form hold the same kinds of secret, but for names."""
    return text.isascii() and _READ.search(text) is None


def _number(word: str) -> str:
    if word.isdigit() and word.isascii():
        return "7" * len(word)
    if len(word) <= _MOST_HEX and _HEX.fullmatch(word):
        return "0x" + "c" * (len(word) - 2)
    if len(word) <= _MOST_PLAIN_HEX and not word.isalpha() and _PLAIN_HEX.fullmatch(word):
        return "c" + "7" * (len(word) - 1)
    return word
