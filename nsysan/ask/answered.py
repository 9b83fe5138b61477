"""What is told of what was asked."""

from __future__ import annotations

from dataclasses import dataclass

#: What stands for all that was asked for.
TOGETHER = "all together"


@dataclass(frozen=True)
class Asked:
    """One thing that was asked: text as it was, names of what it changes, how many of these a rank has in a step.

    period: ns of a step then, None where it cannot be told (see Answer.unknown); bounds: least and most, where the
    trace cannot tell.
    """

    text: str
    period: int | None
    bounds: tuple[int, int] | None = None
    names: tuple[str, ...] = ()
    per_step: float | None = None


@dataclass(frozen=True)
class Answer:
    """Of one replica; periods are ns of a step.

    replica, ranks: which; steady, replayed: how many of its steps are that, whole: whether all are; kinds: of
    how many populations, over which periods are means. traced: as
    measured. hosts, gaps: what is left of them in the step without nsys, as shares, where its time was given. period:
    what all the others are held against: of that step, else as measured. error: replay_error. unknown: why periods are
    None; unknown_hosts: why only those are that rest on when hosts launched. asked: in the order given; together: all
    of it, where that is more than one. standard, ranks_right: the what-ifs of a report, and with one rank put right;
    bounds: of the standard ones.
    """

    replica: int
    ranks: tuple[int, ...]
    steady: int
    replayed: int
    whole: bool
    kinds: int
    traced: int
    hosts: float | None
    gaps: float | None
    period: int
    error: float
    unknown: str | None
    unknown_hosts: str | None
    asked: list[Asked]
    together: Asked | None
    standard: dict[str, int | None]
    ranks_right: dict[int, int | None]
    bounds: dict[str, tuple[int, int]]
