"""Keys and tokens known by how they begin: the shapes of data/keys.toml."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

MASKED = "<key>"


@dataclass(frozen=True)
class Shape:
    """What the keys of one issuer look like; begins: in lower case."""

    begins: tuple[str, ...]
    pattern: re.Pattern[str]


@cache
def shapes() -> tuple[Shape, ...]:
    """The shapes of data/keys.toml, in file order."""
    table = tomllib.loads(files("nsysan").joinpath("data", "keys.toml").read_text("utf-8"))
    return tuple(_shape(entry) for entry in table["key"])


@cache
def _begins() -> tuple[str, ...]:
    return tuple(dict.fromkeys(begin for shape in shapes() for begin in shape.begins))


def mask_keys(text: str) -> str:
    """The text with each key that begins in a known way replaced."""
    lowered = text.lower()
    # Of a hundred beginnings most texts have none.
    for begin in _begins():
        if begin in lowered:
            break
    else:
        return text
    for shape in shapes():
        if any(begin in lowered for begin in shape.begins):
            text = shape.pattern.sub(MASKED, text)
    return text


def _shape(entry: dict[str, object]) -> Shape:
    begins = [str(begin) for begin in entry["begins"]]  # type: ignore[attr-defined]
    follows, least, most = str(entry["follows"]), str(entry["least"]), str(entry.get("most", ""))
    digit = rf"(?=[{follows.replace('0-9', '')}]{{0,64}}[0-9])" if entry.get("digit") else ""
    begin = "|".join(re.escape(begin) for begin in sorted(begins, key=len, reverse=True))
    # After a letter it is the middle of a word; after a digit it may be a mangled name, which gives lengths.
    pattern = rf"(?<![A-Za-z])(?:{begin}){digit}[{follows}]{{{least},{most}}}"
    # A digest is longer.
    pattern += rf"(?![{follows}])" if most == least else ""
    return Shape(tuple(begin.lower() for begin in begins), re.compile(pattern, re.IGNORECASE))
