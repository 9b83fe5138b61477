"""Engines, wrappers and launchers that command lines name, from data/starters.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

#: `-n4`: a short option with its number attached.
_ATTACHED = re.compile(r"(-[A-Za-z])(\d+)")
_NOTHING = re.compile(r"(?!)")
_ELSEWHERE = "starts the ranks outside of this command, so that this trace would not have them; inside it works"


@dataclass(frozen=True)
class Engine:
    """One engine, as data/starters.toml has it.

    fork: the variable that says how its workers start, and the value. profiler: routes that turn its own on and off.
    """

    name: str
    commands: tuple[str, ...]
    modules: tuple[str, ...]
    files: re.Pattern[str]
    servers: re.Pattern[str]
    clients: re.Pattern[str]
    workers: re.Pattern[str]
    variables: re.Pattern[str]
    within: frozenset[str]
    fork: tuple[str, str] | None
    port: int
    key: str
    profiler: tuple[str, str] | None
    named: re.Pattern[str]
    opens: str
    image: str
    entry: tuple[str, ...]


@dataclass(frozen=True)
class Starter:
    """A word that has a command after it: a wrapper (no name) or a launcher, as data/starters.toml has it."""

    name: str
    commands: tuple[str, ...]
    sub: frozenset[str]
    takes: frozenset[str]
    two: frozenset[str]
    skip: int
    python: bool
    dashes: bool
    shell: bool
    joins: bool
    alone: bool
    own: frozenset[str]
    clears: frozenset[str]
    why: str
    tasks: frozenset[str]
    local: frozenset[str]
    nodes: frozenset[str]
    hosts: frozenset[str]
    here: bool
    refused: bool
    inside: str
    advice: str

    def split(self, words: Sequence[str]) -> tuple[list[tuple[str, str]], int] | None:
        """The options of this starter, and where the command after them begins; None if a word is lacking.

        The first word is the starter itself.
        """
        options: list[tuple[str, str]] = []
        place, subs, skipped = 1, set(self.sub), 0
        while place < len(words):
            word = words[place]
            if word == "--":
                return options, place + 1
            if subs and word in subs:
                # `ray job submit`: each of several words once.
                subs.discard(word)
                place += 1
            elif self.skip and skipped == self.skip and not self.dashes:
                # Behind an image, options are those of what it runs.
                break
            elif word.startswith("-") and len(word) > 1:
                place += self._option(words, place, options)
            elif subs == self.sub and subs:
                return None
            elif self.dashes or skipped < self.skip:
                skipped += 1
                place += 1
            else:
                break
        return None if subs == self.sub and subs else (options, place)

    def _option(self, words: Sequence[str], place: int, options: list[tuple[str, str]]) -> int:
        """Add the option here; how many words it is."""
        name, _, value = words[place].partition("=")
        attached = _ATTACHED.fullmatch(words[place])
        if attached and attached[1] in self.takes:
            options.append((attached[1], attached[2]))
            return 1
        plain = name.replace("_", "-")
        if plain in self.two:
            return 3
        if plain in self.takes and not value:
            options.append((plain, words[place + 1] if place + 1 < len(words) else ""))
            return 2
        options.append((plain, value))
        return 1


@dataclass(frozen=True)
class Starters:
    """All that data/starters.toml knows."""

    engines: tuple[Engine, ...]
    wrappers: Mapping[str, Starter]
    launchers: Mapping[str, Starter]


@cache
def load_starters() -> Starters:
    """What data/starters.toml has."""
    document = tomllib.loads(files("nsysan.data").joinpath("starters.toml").read_text("utf-8"))
    return Starters(
        tuple(map(_engine, document["engine"])),
        {word: starter for row in document["wrapper"] for starter in [_starter(row)] for word in starter.commands},
        {word: starter for row in document["launcher"] for starter in [_starter(row)] for word in starter.commands},
    )


def _engine(row: dict[str, Any]) -> Engine:
    patterns = {name: re.compile(row[name]) for name in ("files", "servers", "clients", "workers", "variables")}
    fork, profiler = row.get("fork"), row.get("profiler")
    return Engine(
        name=row["name"],
        commands=tuple(row["commands"]),
        modules=tuple(row["modules"]),
        within=frozenset(row["within"]),
        fork=(fork[0], fork[1]) if fork else None,
        port=row["port"],
        key=row.get("key", ""),
        profiler=(profiler[0], profiler[1]) if profiler else None,
        named=re.compile(row["named"]) if profiler else _NOTHING,
        opens=row["opens"],
        image=row.get("image", ""),
        entry=tuple(row.get("entry", "").split()),
        **patterns,
    )


def _starter(row: dict[str, Any]) -> Starter:
    kinds = ("sub", "takes", "two", "tasks", "local", "nodes", "own", "clears")
    words = {name: frozenset(row.get(name, "").split()) for name in kinds}
    return Starter(
        name=row.get("name", ""),
        commands=tuple(row["commands"]),
        skip=row.get("skip", 0),
        python=row.get("python", False),
        dashes=row.get("dashes", False),
        shell=row.get("shell", False),
        joins=row.get("joins", False),
        alone=row.get("alone", False),
        hosts=frozenset(row.get("hosts", "").split()),
        here=row.get("place", "here") == "here",
        refused=row.get("refused", False),
        inside=row.get("inside", ""),
        advice=row.get("advice", ""),
        why=row.get("why", _ELSEWHERE),
        **words,
    )
