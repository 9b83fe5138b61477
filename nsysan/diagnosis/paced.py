"""What a replay tells of a replica: of its steps as traced, or as they run without nsys.

DEFINITIONS.md, section 10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from nsysan.diagnosis.without_nsys import WithoutNsys
from nsysan.replay.engine import NotAcyclic
from nsysan.replay.faster_ledger import ledger_of
from nsysan.replay.of_all import of_all
from nsysan.replay.pace import pace_of, replay
from nsysan.replay.prepared import prepare
from nsysan.replay.results import Pace
from nsysan.replay.trust import why_untold
from nsysan.replay.untraced import SEVERAL, OutOfRange, untraced
from nsysan.run.all_decode import of_all_decode, usual_period
from nsysan.run.run import Run

#: With more operations in steps all processors are at work anyway, and what both need of memory would add up.
_MOST_BESIDE = 1_000_000


#: Waits for what `paced` gives, or raises its error.
Told = Callable[[], tuple[Pace | None, WithoutNsys | None]]


class Pacing(NamedTuple):
    """What a replay tells of a replica, which may be under way; run: the replica, with all its decode steps (see
    of_all_decode).
    """

    run: Run
    told: Told


def pacing(run: Run, period: int | None, begin: Callable[[Told], Told] | None = None) -> Pacing:
    """What `paced` tells of a replica. begin: begins it beside what comes next (threads.Beside), where that pays."""
    every = of_all_decode(run)
    told: Told = partial(paced, every, period)
    if begin is not None and run.trace_set.is_local and run.names["n"].sum() <= _MOST_BESIDE:
        told = begin(told)
    return Pacing(every, told)


def paced(run: Run, period: int | None) -> tuple[Pace | None, WithoutNsys | None]:
    """What a replay tells of a replica; period: ns of its step without nsys, of which it is then.

    As traced where the replay is not to be believed. OutOfRange for a time that the step cannot have.
    """
    if period is None:
        pace = replay(run)
        return None if pace is None else of_all(run, pace), None
    if run.summed:
        raise OutOfRange(SEVERAL)
    try:
        ready = prepare(run)
    except NotAcyclic:
        return None, None
    if ready is None:
        return None, None
    measured = pace_of(ready)
    if why_untold(run, measured):
        return measured, None
    found = untraced(ready, period)
    # How well a replay gives what was measured is told of what was.
    pace = replace(pace_of(found.ready), error=measured.error)
    return pace, WithoutNsys(period, usual_period(run), found.hosts, found.gaps, ledger_of(found.ready))
