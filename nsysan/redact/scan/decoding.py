"""A text and what it says in other words: unescaped, decoded, without what is not seen."""

from __future__ import annotations

import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import unquote_plus

_DEPTH = 3
_CHUNK = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_DIGITS = re.compile(r"[0-9A-Fa-f]{16,}")
_PAIRS = re.compile(r"(?:[0-9A-Fa-f]{2}[ :,]){7,}[0-9A-Fa-f]{2}")
_CODE_POINT = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")


def readings(text: str) -> Iterator[str]:
    """The text, and each other text that a reader could get out of it; none twice."""
    seen = {text}
    layer = [text]
    for _ in range(_DEPTH):
        found = dict.fromkeys(other for known in layer for other in _other(known) if other not in seen)
        yield from layer
        seen |= found.keys()
        layer = list(found)
    yield from layer


@lru_cache(maxsize=1)
def hidden(text: str) -> tuple[str, ...]:
    """Texts that are in it as base64 or hexadecimal: whole words that decode to nothing but letters and signs."""
    return tuple(_hidden(text))


def _hidden(text: str) -> Iterator[str]:
    for chunk in _CHUNK.findall(text):
        for word in (chunk, *re.split("[-_]", chunk)):
            if len(word) >= 16 and (found := _legible(_base64(word), 12)):
                yield found
    for chunk in _DIGITS.findall(text):
        # Decimal numbers of usual length spell something by chance.
        if chunk.isdigit() and len(chunk) < 40:
            continue
        if found := _legible(binascii.unhexlify(chunk[: len(chunk) // 2 * 2]), 8):
            yield found
    for chunk in _PAIRS.findall(text):
        if found := _legible(binascii.unhexlify(re.sub("[ :,]", "", chunk)), 8):
            yield found


def _other(text: str) -> Iterator[str]:
    if not text.isascii():
        yield "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) not in ("Cf", "Mn"))
    if "%" in text:
        yield unquote_plus(text)
    if "&" in text and ";" in text:
        yield html.unescape(text)
    if "\\" in text:
        plain = _CODE_POINT.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
        yield plain.replace("\\n", "\n").replace("\\/", "/").replace('\\"', '"').replace("\\\\", "\\")
    yield from hidden(text)


def _base64(word: str) -> bytes:
    word = word.rstrip("=").translate(str.maketrans("-_", "+/"))
    word = word[: len(word) - (len(word) % 4 == 1)]
    try:
        return binascii.a2b_base64(word + "=" * (-len(word) % 4))
    except binascii.Error:
        return b""


def _legible(data: bytes, least: int) -> str | None:
    """The bytes as text, if they are one, in ASCII or UTF-16."""
    for encoding in ("ascii", "utf-16-le", "utf-16-be"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if len(text) >= least and text.isascii() and all(c.isprintable() or c.isspace() for c in text):
            return text
    return None
