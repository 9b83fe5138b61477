"""Of plotly.js, as plotly.py brings it, the part that this package's charts use: a third of it.

plotly.js is one script of modules, each a function that runs when it is first required; its last one registers a module
for each kind of chart. Here all but the kinds in KINDS are taken from that list, and the functions that nothing can
require any more are emptied; no other character changes. A script that is not built like this is left whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: The kinds of charts that pages draw, by plotly's names; scatter is in its core.
KINDS = ("bar", "box", "heatmap")

#: What holds braces that are not the program's: strings, templates, comments, regular expressions.
_HOLDS = (
    r""""[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"|'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'|`[^`\\]*+(?:\\.[^`\\]*+)*+`|//[^\n]*+|/\*.*?\*/|"""
    r"/(?:(?<=[(,=:\[!&|?{};\n+\-*%~^<>]/)|(?<=return/))(?![*/])[^/\\\[\n]*+"
    r"(?:(?:\\.|\[[^\]\\\n]*+(?:\\.[^\]\\\n]*+)*+\])[^/\\\[\n]*+)*+/"
)
#: The next brace of the program, or the end: one match goes over all that stands before it, which is far faster than
#: one for each.
_BRACE = re.compile(rf"""(?:[^"'`/{{}}]++|{_HOLDS}|["'`/])*+(?:(\{{)|(\}})|\Z)""", re.DOTALL)
#: esbuild's two makers of modules: a function that gives a function that runs the module once.
_MAKER = re.compile(r"(?<![\w$])([\w$]+)=\(\w(?:,\w){1,2}\)=>\(\)=>")
_MAKERS_WITHIN = 20_000
_NAME = re.compile(r"(?<![\w$.])[\w$]+$")
_LONGEST = 40
_REGISTERED = re.compile(r"\.register\(\[((?:[\w$]+\(\),?){20,})\]\)")
_PASSED_ON = re.compile(r"exports=([\w$]+)\(\)")
_KIND = re.compile(r'moduleType:"trace",name:"(\w+)"')
#: A kind is told by the module that is registered or by one that it passes on.
_DEPTH = 3


@dataclass(frozen=True)
class _Script:
    """text, and where in it the bodies of its modules are, by name, in order."""

    text: str
    bodies: dict[str, tuple[int, int]]

    def body(self, name: str) -> str:
        begin, end = self.bodies[name]
        return self.text[begin:end]

    def kind(self, name: str) -> str | None:
        """The kind of chart that a registered module is."""
        for _ in range(_DEPTH):
            body = self.body(name)
            if told := _KIND.search(body):
                return told[1]
            passed = _PASSED_ON.search(body)
            if passed is None or passed[1] not in self.bodies:
                return None
            name = passed[1]
        return None

    def required(self, text: str) -> set[str]:
        """The modules that this piece of the script can require."""
        calls = (_NAME.search(before[-_LONGEST:]) for before in text.split("()")[:-1])
        return {call[0] for call in calls if call is not None and call[0] in self.bodies}

    def between(self) -> Iterator[str]:
        """What is outside of all modules."""
        at = 0
        for begin, end in self.bodies.values():
            yield self.text[at:begin]
            at = end
        yield self.text[at:]


def used_parts(plotlyjs: str, kinds: tuple[str, ...] = KINDS) -> str:
    """plotly.js without what only other kinds of charts use; all of it where that cannot be told."""
    script = _read(plotlyjs)
    listed = _REGISTERED.search(plotlyjs)
    if script is None or listed is None:
        return plotlyjs
    registered = listed[1].rstrip(",").split(",")
    named = {entry: script.kind(name) for entry in registered if (name := entry.removesuffix("()")) in script.bodies}
    kept = [entry for entry, kind in named.items() if kind in kinds]
    if len(kept) != len(kinds):
        return plotlyjs
    # As long as before, so that every place stays where it is.
    short = plotlyjs[: listed.start(1)] + ",".join(kept).ljust(len(listed[1])) + plotlyjs[listed.end(1) :]
    return _without(_Script(short, script.bodies))


def _read(text: str) -> _Script | None:
    """The modules of a script; None where its braces do not match or no maker of modules is found."""
    makers = _MAKER.findall(text, 0, _MAKERS_WITHIN)
    closed = _closed(text)
    if closed is None or not makers:
        return None
    names = "|".join(map(re.escape, makers))
    head = re.compile(rf"=(?:{names})\((?:\((?:[\w$]+(?:,[\w$]+)*)?\)|[\w$]+)=>\{{")
    bodies: dict[str, tuple[int, int]] = {}
    reached = 0
    for found in head.finditer(text):
        begin = found.end()
        end = closed.get(begin - 1)
        named = _NAME.search(text, max(reached, found.start() - _LONGEST), found.start())
        # Within a string or another module.
        if end is None or begin < reached or named is None:
            continue
        if named[0] in bodies:
            return None
        bodies[named[0]] = begin, end
        reached = end
    return _Script(text, bodies)


def _closed(text: str) -> dict[int, int] | None:
    """Where each brace of the program is closed; None where they do not match."""
    opened: list[int] = []
    closed: dict[int, int] = {}
    for brace in _BRACE.finditer(text):
        at = brace.end() - 1
        if brace.lastindex == 1:
            opened.append(at)
        elif brace.lastindex == 2:
            if not opened:
                return None
            closed[opened.pop()] = at
    return None if opened else closed


def _without(script: _Script) -> str:
    """The script with the bodies of modules that nothing requires emptied."""
    waiting = script.required("".join(script.between()))
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= script.required(script.body(name)) - reached
    parts = []
    for outside, name in zip(script.between(), [*script.bodies, ""], strict=True):
        parts += [outside, script.body(name) if name in reached else ""]
    return "".join(parts)
