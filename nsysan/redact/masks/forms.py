"""The form of a text: a log has a million lines that differ by addresses and counts alone, which tell nothing."""

from __future__ import annotations

import re

#: Words of their own: numbers, in hexadecimal up to those that are looked at for what they may spell (see encoded).
_NUMBER = re.compile(r"(?<!\S)(?:0x[0-9a-f]{3,12}|[0-9]{3,15}|[0-9a-f]{3,8})(?!\S)")
#: Words after which it is asked what a number is; and dots of what may be an address, as of which what is before it is.
_ASKING = re.compile(
    r"node|host|login|server|srv|slurm|job|serial|s/?n\b|bearer|basic|pass|pwd|secret|credential|token|key|auth|cookie|"
    r"sess|sid|client|project|guid|mac\b|ether|addr|nic\b|\d\.\d+\.\d",
    re.IGNORECASE,
)


def form_of(text: str) -> str:
    """The text with another number of its kind and length for each that is a word."""
    return _NUMBER.sub(_another, text)


def asks_for_numbers(form: str) -> bool:
    """Whether it may matter which numbers a text of the form has.

    Else what is masked in the form is masked in the text: no number in it is long enough to be a key, a card or a text,
    and none stands by a dot, a colon or a hyphen, as parts of addresses and names do.
    """
    return not form.isascii() or _ASKING.search(form) is not None


def _another(match: re.Match[str]) -> str:
    number = match[0]
    if number.isalpha():
        return number
    if number.isdigit():
        return "0" * len(number)
    return "0x" + "a" * (len(number) - 2) if number.startswith("0x") else "a" + "0" * (len(number) - 1)
