"""What is written in another way: percent signs, escapes, base64, hexadecimal, characters without width; and noise."""

from __future__ import annotations

import binascii
import html
import re
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import unquote

from nsysan.redact.common_words import words

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e007f]"
)
_ESCAPED_TOKEN = re.compile(r"[^\s\"'<>(),]{3,65536}")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_ESCAPE = re.compile(r"\\u\{?[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[nrt/\"']|\\[0-7]{3}|&#?\w{2,8};")
_HEX = re.compile(r"(?:0x)?([0-9A-Fa-f]{16,65536})")
_HEX_SPACED = re.compile(
    r"(?<![\w:])(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ :,-]{1,2}){7,4096}(?:0x|\\x)?[0-9A-Fa-f]{2}(?![\w:])"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{11,65536}={0,2}")
_LEAST = 16  # letters; shorter ones have to tell something
_DIGEST = re.compile(r"(?<![0-9A-Fa-f])(?<!0[xX])[0-9A-Fa-f]{32,}(?![0-9A-Fa-f])")
_WORD = re.compile(r"[\w$.+/-]{24,65536}={0,2}")
_PIECE = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_LONG_NUMBER = 40
_PRINTABLE = re.compile(rb"[\x20-\x7e\s]*")
_RUN = re.compile(rb"[\x20-\x7e]{12,}")
#: Bytes of printable text that no name holds by chance when it is decoded.
_LONG = 24
#: The pairs of letters that make up four fifths of the names in CUDA, NCCL, PyTorch and the engines; by chance it were
#: a fifth.
_USUAL = words(
    "ab ac ad ag ai al am an ap ar as at ay ba be bl ca ce ch ck cl co ct cu da dd de di ds ea ec ed ee "
    "ef el em en ep er es et ev ex fe ff fi fo ge ha he hi ho hr ia ib ic id ie ig ii il im in io ir is "
    "it iv ke la le li ll lo ls lu ma me mi mm mo mp na nc nd ne ng ni no ns nt oc od ol om on oo op or "
    "os ot ou ow pa pe pi pl po pr pt qu ra rd re ri rm ro rr rs rt ry sa sc se sh si so sp ss st su ta "
    "te th ti to tr ts tt ue ul um un up ur us ut ve vi wa"
)
_USUAL_SHARE, _LEAST_PAIRS = 0.45, 8
MASKED = "<encoded>"


def visible(text: str) -> str:
    """The text without characters that are not seen, and with the usual ones for their look-alikes in Unicode."""
    return text if text.isascii() else unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))


def mask_encoded(text: str, telling: Callable[[str], bool]) -> str:
    """The text without words that, decoded, tell something; telling: whether a plain text does."""
    if "%" in text or "\\" in text or "&" in text:
        text = _ESCAPED_TOKEN.sub(lambda match: MASKED if _escaped_tells(match[0], telling) else match[0], text)
    text = _HEX.sub(lambda match: MASKED if _hex_tells(match[1]) else match[0], text)
    text = _HEX_SPACED.sub(_spaced, text)
    return _BASE64.sub(lambda match: MASKED if _base64_tells(match[0], telling) else match[0], text)


def mask_noise(text: str) -> str:
    """The text without digests and without words too mixed to be anybody's names: keys of unknown form."""
    text = _DIGEST.sub(lambda match: "<hash>" if _is_digest(match[0]) else match[0], text)
    return _WORD.sub(_without_noise, text)


def _without_noise(match: re.Match[str]) -> str:
    # Names that a compiler mangled are as mixed.
    if match[0].startswith("_Z"):
        return match[0]
    return _PIECE.sub(lambda piece: "<key>" if is_noise(piece[0]) else piece[0], match[0])


def is_noise(word: str) -> bool:
    """Whether letters of both cases and digits follow each other as chance has it, and not as in names."""
    counts = [sum(map(is_kind, word)) for is_kind in (str.isdigit, str.isupper, str.islower)]
    pairs = [a + b for a, b in pairwise(word.lower()) if a.isalpha() and b.isalpha()]
    usual = sum(pair in _USUAL for pair in pairs)
    return min(counts) > 1 and len(pairs) >= _LEAST_PAIRS and usual < _USUAL_SHARE * len(pairs)


def is_odd(word: str) -> bool:
    """Whether a short word is none: digits, and letters that do not follow each other as in names."""
    pairs = [a + b for a, b in pairwise(word.lower()) if a.isalpha() and b.isalpha()]
    usual = sum(pair in _USUAL for pair in pairs)
    return sum(map(str.isdigit, word)) > 1 and len(pairs) > 1 and usual < _USUAL_SHARE * len(pairs)


def _is_digest(word: str) -> bool:
    """Triton once named its arguments 0d1d2de3: few letters; a digest has many."""
    lowered = set(word.lower())
    return len(lowered & set("abcdef")) >= 4 and len(lowered & set("0123456789")) >= 4


def _escaped_tells(token: str, telling: Callable[[str], bool]) -> bool:
    found = token
    for _ in range(3):
        plain = unescaped(found)
        if plain == found:
            return False
        if telling(plain):
            return True
        found = plain
    return False


def unescaped(text: str) -> str:
    """The text with percent signs, backslashes and entities resolved once."""
    if _PERCENT.search(text):
        text = unquote(text)
    if "\\" in text and _ESCAPE.search(text):
        text = _ESCAPE.sub(_character, text)
    return html.unescape(text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    body = match[0][1:]
    if body[0] in "ux":
        return chr(int(body[1:].strip("{"), 16))
    if body[0].isdigit():
        return chr(int(body, 8))
    return {"n": "\n", "r": "\r", "t": "\t"}.get(body[0], body[0] if match[0][0] == "\\" else match[0])


def _hex_tells(digits: str) -> bool:
    """Whether hexadecimal digits spell a text; a decimal number of usual length does so by chance."""
    if len(digits) < _LONG_NUMBER and digits.isdigit():
        return False
    # In a mangled name a digit may stand before it, that tells a length.
    return any(_is_text(bytes.fromhex(digits[begin : begin + (len(digits) - begin) // 2 * 2])) for begin in (0, 1, 2))


def _spaced(match: re.Match[str]) -> str:
    pairs = re.findall(
        r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{2}(?![0-9A-Fa-f])", match[0].replace("0x", " ").replace("\\x", " ")
    )
    return MASKED if _is_text(bytes(int(pair, 16) for pair in pairs)) else match[0]


def _base64_tells(token: str, telling: Callable[[str], bool]) -> bool:
    """Whether a word, read as base64 from any of its letters on, holds a text that tells, or any that is long."""
    if len(token) < _LEAST:
        short = _decoded(token.rstrip("="))
        return _is_text(short) and telling(short.decode("ascii", "replace"))
    body = token.rstrip("=").replace("-", "+").replace("_", "/")
    if any(_is_text(_decoded(part)) for part in (body, *re.split("[_-]", token.rstrip("="))) if len(part) >= _LEAST):
        return True
    for begin in range(4):
        for run in _RUN.findall(_decoded(body[begin:])):
            if len(run) >= _LONG or telling(run.decode("ascii")):
                return True
    return False


def _decoded(word: str) -> bytes:
    """The bytes of base64; letters at its end that make no byte are left out."""
    word = word[: len(word) - (len(word) % 4 == 1)]
    try:
        return binascii.a2b_base64(word + "=" * (-len(word) % 4))
    except (binascii.Error, ValueError):
        return b""


def _is_text(data: bytes) -> bool:
    """Whether bytes are a text in ASCII or in UTF-16: a name that is decoded by mistake gives none."""
    if len(data) < 8:
        return False
    if _PRINTABLE.fullmatch(data):
        return True
    if 0 not in data:
        return False
    for low, zero in ((data[::2], data[1::2]), (data[1::2], data[::2])):
        if not any(zero) and _PRINTABLE.fullmatch(low):
            return True
    return False
