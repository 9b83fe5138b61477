"""What a text must hold for a pattern to match it: quicker to ask than the pattern is to search."""

from __future__ import annotations

from collections.abc import Iterable


def may_hold(text: str, words: Iterable[str]) -> bool:
    """Whether a text can hold one of the words, which are in lower case, in letters of any case.

    Outside of ASCII, patterns take letters for others' upper case that are not.
    """
    if not text.isascii():
        return True
    lowered = text.lower()
    # Not any(): this is asked of each text a dozen times.
    for word in words:  # noqa: SIM110
        if word in lowered:
            return True
    return False
