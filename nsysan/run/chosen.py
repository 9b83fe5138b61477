"""Which replica of a run an answer is of."""

from __future__ import annotations

from collections.abc import Sequence

from nsysan._errors import ExitCode, NsysanError
from nsysan.run.run import Run


def chosen_replica(replicas: Sequence[Run], number: int | None) -> int:
    """That number, by default the one with the longest mean period; the first if none has a steady step.

    NsysanError if there is no such replica.
    """
    if number is not None:
        if not 0 <= number < len(replicas):
            there = "only replica 0" if len(replicas) == 1 else f"replicas 0 to {len(replicas) - 1}"
            raise NsysanError(f"--replica {number}: there is no such replica here; there is {there}", ExitCode.NO_STEPS)
        return number
    if len(replicas) == 1:
        return 0
    means = [own.periods()["period_ns"].mean() for own in replicas]
    known = [mean if isinstance(mean, float) else -1.0 for mean in means]
    return known.index(max(known))
