"""What may be asked: a small exact grammar.

    expression  what-if | subject [ "[" selector { "," selector } "]" ] change
    what-if     the name of a standard one, such as no_skew
    subject     wire | kernel | copy | gaps | launch | host | rank
    selector    "~" text (the name contains it) | "=" text (it is the name) | "rank" number | a kind of collective
    change      ".x" factor | "=" time | "=level" | "=floor"
    time        number with ns, us, µs or ms; 0 needs none

A text ends before a comma or bracket, unless it stands in double quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from nsysan.text import plain


class Subject(StrEnum):
    """What is changed."""

    WIRE = "wire"
    KERNEL = "kernel"
    COPY = "copy"
    GAPS = "gaps"
    LAUNCH = "launch"
    HOST = "host"
    RANK = "rank"


class Change(StrEnum):
    """How: by a factor, to a time, to what other ranks take, to the least that is seen."""

    SCALE = "scale"
    TIME = "time"
    LEVEL = "level"
    FLOOR = "floor"


@dataclass(frozen=True)
class Expression:
    """text: as it was given. subject is None of a standard what-if, whose name is then the text.

    contains, names: what a name contains, and what it is; kinds: of collectives; ranks: by number; any of each, and all
    of them together; nothing given is everything. factor, ns: of the change.
    """

    text: str
    subject: Subject | None
    change: Change | None = None
    contains: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    ranks: tuple[int, ...] = field(default=())
    factor: float = 1.0
    ns: int = 0


class BadExpression(ValueError):
    """What is wrong in an expression, where, and what is possible, in one line."""


_SCALED = (Change.SCALE, Change.TIME)
#: How each subject can be changed.
CHANGES = {
    Subject.WIRE: (*_SCALED, Change.FLOOR),
    Subject.KERNEL: (*_SCALED, Change.LEVEL),
    Subject.COPY: (*_SCALED, Change.LEVEL),
    Subject.GAPS: _SCALED,
    Subject.LAUNCH: (*_SCALED, Change.LEVEL),
    Subject.HOST: (Change.SCALE, Change.LEVEL),
    Subject.RANK: (Change.LEVEL,),
}
_WRITTEN = {Change.SCALE: ".x0.5", Change.TIME: "=5us", Change.LEVEL: "=level", Change.FLOOR: "=floor"}
_NAMED = (Subject.WIRE, Subject.KERNEL, Subject.COPY, Subject.LAUNCH)
_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000}
_WORD = re.compile(r"[A-Za-z_]\w*")
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
_FACTOR = re.compile(rf"\.x({_NUMBER})")
_TIME = re.compile(rf"=\s*({_NUMBER})\s*([a-zµμ]*)")
_RANKS = re.compile(r"(?:rank\s*)?(\d{1,6})")
_QUOTED = re.compile(r'"([^"]*)"')
_BARE = re.compile(r'[^],"]+')
#: No longer expression, no larger factor, no longer time is read.
_LONGEST, _MOST, _MOST_NS = 1_000, 1_000.0, 10_000_000_000


def parse(text: str, standard: tuple[str, ...]) -> Expression:
    """The expression in a text, BadExpression if it is none; standard: the what-ifs that need no expression."""
    return _Reader(text, standard).expression()


class _Reader:
    def __init__(self, text: str, standard: tuple[str, ...]) -> None:
        self._text, self._at, self._standard = text.strip(), 0, standard
        if len(text) > _LONGEST:
            raise BadExpression(f"{plain(text, 40)!r} is longer than {_LONGEST} characters")

    def expression(self) -> Expression:
        word = self._match(_WORD)
        name = word[0] if word else ""
        if name in self._standard and self._at == len(self._text):
            return Expression(name, None)
        subjects = [subject.value for subject in Subject]
        if name not in subjects:
            possible = f"{_or(subjects)}, or a what-if: {_or(self._standard)}"
            if name in self._standard:
                self._wrong(f"{name} stands alone", possible)
            self._wrong(f"there is no {name!r}" if name else "it begins with what is changed", possible, at=0)
        subject = Subject(name)
        self._spaces()
        selected = self._selectors(subject) if self._skip("[") else {}
        change, factor, ns = self._change(subject)
        if self._at != len(self._text):
            self._wrong("the expression ends before it", "several are several --set")
        return Expression(self._text, subject, change, factor=factor, ns=ns, **selected)  # type: ignore[arg-type]

    # ---- selectors

    def _selectors(self, subject: Subject) -> dict[str, tuple[str, ...] | tuple[int, ...]]:
        contains: list[str] = []
        names: list[str] = []
        kinds: list[str] = []
        ranks: list[int] = []
        while True:
            self._spaces()
            start = self._at
            if self._skip("~"):
                self._named(subject, start)
                contains.append(self._name("~"))
            elif self._skip("="):
                self._named(subject, start)
                names.append(self._name("="))
            elif (number := self._match(_RANKS)) and (number[0].startswith("rank") or subject is Subject.RANK):
                if subject is Subject.WIRE:
                    self._at = start
                    self._wrong("a wire is of all ranks of a call", "~text, =text or a kind, such as all_reduce")
                ranks.append(int(number[1]))
            elif subject is Subject.WIRE and (kind := self._match(_WORD)):
                kinds.append(kind[0])
            else:
                self._at = start
                self._wrong("this chooses nothing", _possible(subject))
            self._spaces()
            if self._skip("]"):
                break
            if not self._skip(","):
                self._wrong("a selector ends here", "a comma and the next one, or ]")
        return {"contains": tuple(contains), "names": tuple(names), "kinds": tuple(kinds), "ranks": tuple(ranks)}

    def _named(self, subject: Subject, start: int) -> None:
        if subject not in _NAMED:
            self._at = start
            self._wrong(f"{subject} has no names", _possible(subject))

    def _name(self, mark: str) -> str:
        self._spaces()
        found = self._match(_QUOTED)
        if found is None and self._text[self._at : self._at + 1] == '"':
            self._wrong("the quote has no end", 'another "')
        name = found[1] if found else (bare[0].strip() if (bare := self._match(_BARE)) else "")
        if not name:
            self._wrong("no name", f'{mark}rms, or {mark}"a name, with commas"')
        return name

    # ---- changes

    def _change(self, subject: Subject) -> tuple[Change, float, int]:
        self._spaces()
        start = self._at
        possible = _or([_WRITTEN[change] for change in CHANGES[subject]])
        factor, ns = 1.0, 0
        if found := self._match(_FACTOR):
            change, factor = Change.SCALE, float(found[1])
            if factor > _MOST:
                self._wrong(f"the factor is more than {_MOST:g}", ".x0.5 halves", at=start)
        elif found := self._match(re.compile(r"=\s*(level|floor)\b")):
            change = Change(found[1])
        elif found := self._match(_TIME):
            change, ns = Change.TIME, self._ns(found, start)
        else:
            self._wrong("no change", possible)
        if change not in CHANGES[subject]:
            self._wrong(f"{subject} cannot become that", possible, at=start)
        self._spaces()
        return change, factor, ns

    def _ns(self, found: re.Match[str], start: int) -> int:
        value, unit = float(found[1]), found[2]
        if unit not in _NS and (unit or value):
            self._wrong(f"{unit!r} is no unit" if unit else "no unit", "ns, us, µs or ms", at=found.start(2))
        ns = value * _NS.get(unit, 1)
        if ns > _MOST_NS:
            self._wrong("more than 10 s", "what one takes, such as 5us", at=start)
        return round(ns)

    # ---- characters

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _skip(self, character: str) -> bool:
        there = self._text.startswith(character, self._at)
        self._at += there
        return there

    def _spaces(self) -> None:
        self._at += len(self._text) - self._at - len(self._text[self._at :].lstrip())

    def _wrong(self, what: str, possible: str, at: int | None = None) -> None:
        place = self._at if at is None else at
        rest = plain(self._text[place:], 30)
        where = f"at {rest!r}" if rest else "at its end"
        raise BadExpression(f"{plain(self._text, 100)!r}, {where}: {what}; possible: {possible}")


def _possible(subject: Subject) -> str:
    if subject is Subject.RANK:
        return "numbers of ranks"
    names = "~text (the name contains it), =text (it is the name)"
    if subject is Subject.WIRE:
        return f"{names} or a kind, such as all_reduce"
    return f"{names} or rank N" if subject in _NAMED else "rank N"


def _or(words: tuple[str, ...] | list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
