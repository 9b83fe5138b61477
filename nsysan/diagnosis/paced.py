"""What a replay tells of a replica: of its steps as traced, or as they run without nsys.

DEFINITIONS.md, section 10.
"""

from __future__ import annotations

from dataclasses import replace

from nsysan.diagnosis.without_nsys import WithoutNsys
from nsysan.replay.engine import NotAcyclic
from nsysan.replay.faster_ledger import ledger_of
from nsysan.replay.pace import pace_of, replay
from nsysan.replay.prepared import prepare
from nsysan.replay.results import Pace
from nsysan.replay.trust import why_untold
from nsysan.replay.untraced import SEVERAL, OutOfRange, untraced
from nsysan.run.all_decode import usual_period
from nsysan.run.run import Run


def paced(run: Run, period: int | None) -> tuple[Pace | None, WithoutNsys | None]:
    """What a replay tells of a replica; period: ns of its step without nsys, of which it is then.

    As traced where the replay is not to be believed. OutOfRange for a time that the step cannot have.
    """
    if period is None:
        return replay(run), None
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
