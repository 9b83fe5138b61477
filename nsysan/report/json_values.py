"""JSON that may come from anywhere: a text as values within bounds, and values by key and type, with their place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nsysan.budgets import REPORT_BYTES, REPORT_VALUES

_LARGEST = (1 << 63) - 1
_SHOWN = 40
_LESS = "without its steps it can be read: `jq 'del(.per_step, .counters[].per_step)'`"


class UnusableJson(ValueError):
    """What is wrong with a text, and at which key."""


@dataclass(frozen=True)
class _Odd:
    """Stands for a value that no writer of JSON means, until its place is known."""

    what: str


class _Hooks:
    """What the standard library lets pass: keys that are there twice, and constants that are no JSON."""

    def __init__(self) -> None:
        self.found = False

    def pairs(self, pairs: list[tuple[str, object]]) -> object:
        values = dict(pairs)
        if len(values) == len(pairs):
            return values
        names = [name for name, _ in pairs]
        return self._odd(f"has the key {_shown(max(names, key=names.count))} twice")

    def constant(self, name: str) -> _Odd:
        return self._odd(f"is {name}")

    def _odd(self, what: str) -> _Odd:
        self.found = True
        return _Odd(what)


def parse(data: bytes) -> object:
    """The values of a JSON text; UnusableJson where it is none, says two things, or is larger than a report can be."""
    most = REPORT_BYTES if data.isascii() else REPORT_BYTES // 4  # a wide character takes four bytes
    if len(data) > most or sum(map(data.count, (b",", b"[", b"{"))) > REPORT_VALUES:
        raise UnusableJson(f"holds over {most >> 20} MiB, or {REPORT_VALUES:,} values; {_LESS}")
    hooks = _Hooks()
    try:
        values: object = json.loads(data.decode("utf-8"), object_pairs_hook=hooks.pairs, parse_constant=hooks.constant)
    except UnicodeDecodeError as error:
        raise UnusableJson(f"cannot be read as JSON: byte {error.start:,} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise UnusableJson(f"cannot be read as JSON beyond line {error.lineno}, column {error.colno}") from error
    except ValueError as error:  # a number of thousands of digits
        raise UnusableJson("cannot be read as JSON: it holds a number that is too long") from error
    except RecursionError as error:
        raise UnusableJson("cannot be read as JSON: it is nested too deeply") from error
    if hooks.found:
        raise UnusableJson(_first_odd(values))
    return values


def _first_odd(values: object) -> str:
    """The first odd value and its place."""
    left = [("", values)]
    while left:
        place, value = left.pop()
        if isinstance(value, _Odd):
            return f"{place} {value.what}" if place else value.what
        below = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
        left += [(_at(place, key), item) for key, item in reversed(below)]
    raise AssertionError("no odd value")


@dataclass(frozen=True)
class Fields:
    """An object of JSON, and where it is.

    names: what a document of an older schema calls a key, by its place without numbers, such as `findings[].saves_ns`.
    Each method gives the value of a key; UnusableJson where it is missing or of another type.
    """

    values: Mapping[str, object]
    place: str
    names: Mapping[str, str]

    def text(self, key: str) -> str:
        """A text that can be written as UTF-8."""
        return self._text(key, self._value(key), "a text")

    def text_or_none(self, key: str) -> str | None:
        """Such a text, or null."""
        value = self._value(key)
        return None if value is None else self._text(key, value, "a text or null")

    def whole(self, key: str, least: int = 0) -> int:
        """A whole number of 64 bits."""
        return self._whole(key, self._value(key), least, "a whole number")

    def whole_or_none(self, key: str, least: int = 0) -> int | None:
        """Such a number, or null."""
        value = self._value(key)
        return None if value is None else self._whole(key, value, least, "a whole number or null")

    def number(self, key: str) -> float:
        """A finite number from 0 on."""
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
            raise self._not(key, value, "a number from 0 on")
        return float(value)

    def below(self, key: str) -> Fields:
        """An object."""
        return self._fields(self._value(key), self._at(key), "an object")

    def below_or_none(self, key: str) -> Fields | None:
        """An object, or null."""
        value = self._value(key)
        return None if value is None else self._fields(value, self._at(key), "an object or null")

    def rows(self, key: str, least: int = 0) -> list[Fields]:
        """A list of so many objects at least."""
        value = self._value(key)
        if not isinstance(value, list):
            raise self._not(key, value, "a list")
        if len(value) < least:
            raise UnusableJson(f"{self._at(key)} is empty")
        return [self._fields(item, f"{self._at(key)}[{n}]", "an object") for n, item in enumerate(value)]

    def keys(self, suffix: str) -> list[str]:
        """The keys that end so, in order."""
        return [key for key in self.values if key.endswith(suffix)]

    def _at(self, key: str) -> str:
        return _at(self.place, self._name(key))

    def _name(self, key: str) -> str:
        return self.names.get(_at(re.sub(r"\[\d+\]", "[]", self.place), key), key)

    def _value(self, key: str) -> object:
        name = self._name(key)
        if name not in self.values:
            raise UnusableJson(f"{self._at(key)} is missing")
        return self.values[name]

    def _fields(self, value: object, place: str, wanted: str) -> Fields:
        if not isinstance(value, dict):
            raise UnusableJson(f"{place} is {_shown(value)}, not {wanted}")
        return replace(self, values=value, place=place)

    def _text(self, key: str, value: object, wanted: str) -> str:
        if not isinstance(value, str):
            raise self._not(key, value, wanted)
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise UnusableJson(f"{self._at(key)} holds half of a character")
        return value

    def _whole(self, key: str, value: object, least: int, wanted: str) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._not(key, value, wanted)
        if not least <= value <= _LARGEST:
            raise UnusableJson(f"{self._at(key)} is {_shown(value)}, which cannot be")
        return value

    def _not(self, key: str, value: object, wanted: str) -> UnusableJson:
        return UnusableJson(f"{self._at(key)} is {_shown(value)}, not {wanted}")


def _at(place: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{place}[{key}]"
    key = key if len(key) <= _SHOWN else f"{key[:_SHOWN]}..."
    return f"{place}.{key}" if place else key


def _shown(value: object) -> str:
    """A value in few characters."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "a number beyond 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number beyond all bounds"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
