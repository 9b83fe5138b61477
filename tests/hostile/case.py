"""One hostile input: the files in its folder, the commands that meet it, and what may come of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Command = list[str]
#: What commands of a case write; anything else that is there afterwards was left behind.
OUTPUTS = frozenset(("out.json", "out.html", "out.md", "out.sqlite", "out.perfetto.json", "out.db", "out_dir"))


@dataclass(frozen=True)
class Surroundings:
    """Of a process of its own: what is set (None: not there), closed, and how much it may have."""

    environment: dict[str, str | None] = field(default_factory=dict)
    closed: tuple[int, ...] = ()
    limits: tuple[tuple[int, int], ...] = ()
    gone: bool = False
    umask: int = 0o022
    #: Where standard output leads, if anywhere but to the one who looks at it.
    out: str | None = None


@dataclass(frozen=True)
class Case:
    """commands: one after the other, in the folder; did: what is hostile; outputs: names that may be there, or change,
    afterwards; surroundings: of each command, in a process of its own."""

    commands: list[Command]
    did: str
    outputs: frozenset[str] = OUTPUTS
    surroundings: Surroundings | None = None


#: Makes one in an empty folder, with the sources (tests/hostile/sources.py) at hand.
Kind = Callable[[Path, Path, random.Random], Case]

REPORT = ["report", "--json", "out.json", "-q"]
PAGE = ["report", "-o", "out.html", "--json", "out.json", "-q"]


def reading(chance: random.Random, *names: str) -> Command:
    """One of the commands that read a trace and make figures of it."""
    return [
        *chance.choice(
            (
                REPORT,
                REPORT,
                PAGE,
                ["report", "-o", "out.html"],
                ["report", "--markdown", "out.md", "--no-nvtx"],
                ["info"],
                ["info", "--json"],
                ["export", "--perfetto", "out.perfetto.json", "-q"],
                ["whatif", "--set", "wire=5us", "--set", "host.x0.5", "--json", "out.json"],
                ["whatif", "--list"],
                ["check", "--fail-on", "period>1ms", "--fail-on", "straggler"],
            )
        ),
        *names,
    ]
