"""JSON of strangers: documents with one thing in them that no writer of theirs put there."""

from __future__ import annotations

import copy
import json
import random

#: In place of a value.
VALUES: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    1,
    10**400,
    -(1 << 63),
    (1 << 63) - 1,
    1 << 63,
    10**17,
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    float("inf"),
    1.5,
    "",
    "x",
    "1",
    "x" * 100_000,
    "9" * 5_000,
    "\x00\x1b[31m\u202e\u2066",
    "\ud800",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    [],
    {},
    [[]],
    [None],
    [{}],
    {"": None},
    {"__proto__": 1},
    [1, "a", None, {}],
    list(range(5_000)),
)
#: As texts: what a document of Python's cannot be.
_DEEP = ("[" * 100_000, '{"a":' * 100_000, "[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900)


def damaged_json(document: object, chance: random.Random) -> tuple[bytes, str]:
    """The document as bytes with something wrong in it, and what."""
    how = chance.choice(("value", "value", "value", "value", "gone", "added", "many", "text", "text", "deep"))
    if how in ("value", "gone", "added", "many"):
        changed = copy.deepcopy(document)
        place = _place(changed, chance)
        if not place:
            return json.dumps(chance.choice(VALUES)).encode("utf-8", "surrogatepass"), "another document"
        did = _changed(changed, place, how, chance)
        return json.dumps(changed).encode(), f"{'.'.join(map(str, place))} {did}"
    text = json.dumps(document)
    if how == "deep":
        at = text.find(":", chance.randrange(len(text))) + 1
        return (text[:at] + chance.choice(_DEEP) + text[at:]).encode(), f"deep at {at}"
    return _other_bytes(text, chance)


def _place(document: object, chance: random.Random) -> list[str | int]:
    """Keys that lead to a value."""
    place: list[str | int] = []
    here = document
    while isinstance(here, dict | list) and here and (not place or chance.random() < 0.75):
        key: str | int = chance.choice(list(here)) if isinstance(here, dict) else chance.randrange(len(here))
        place.append(key)
        here = here[key]  # type: ignore[index]
    return place


def _changed(document: object, place: list[str | int], how: str, chance: random.Random) -> str:
    *way, last = place
    here = document
    for key in way:
        here = here[key]  # type: ignore[index]
    assert isinstance(here, dict | list)
    if how == "gone":
        del here[last]  # type: ignore[arg-type]
        return "gone"
    if how == "added" and isinstance(here, dict):
        name = chance.choice(("", "x" * 1_000, "\u202e", "__class__", str(last) + " "))
        here[name] = here[last]
        return "twice by another name"
    if how == "many":
        times = chance.choice((2, 1_000))
        value = here[last]  # type: ignore[index]
        here[last] = [value] * times if not isinstance(value, list) else value * times  # type: ignore[index]
        return f"{times} times"
    value = chance.choice(VALUES)
    here[last] = value  # type: ignore[index]
    return f"= {str(value)[:20]!r}"


def _other_bytes(text: str, chance: random.Random) -> tuple[bytes, str]:
    data = text.encode()
    place = chance.randrange(1, len(data))
    made = {
        "cut": data[:place],
        "empty": b"",
        "mark": b"\xef\xbb\xbf" + data,
        "utf-16": text.encode("utf-16"),
        "nul": data[:place] + b"\0" + data[place:],
        "not utf-8": data[:place] + b"\xff\xfe" + data[place:],
        "twice": data + data,
        "key twice": data[:1] + data[1 : data.find(b",")] + b"," + data[1:],
        "spaces": b" " * 3_000_000 + data,
        "comment": b"// \n" + data,
        "flipped": data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :],
    }
    how = chance.choice(sorted(made))
    return made[how], how
