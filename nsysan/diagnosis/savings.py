"""What could be saved: the periods that a replay gives, or why they cannot be told (DEFINITIONS.md, section 10)."""

from __future__ import annotations

from nsysan.diagnosis.without_nsys import WithoutNsys
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.whatif import WhatIf
from nsysan.replay.results import MAX_UNSPLIT, Pace
from nsysan.replay.trust import LOST_ORDER, NO_HOST, NOT_SPLIT, why_no_host_saving, why_no_saving
from nsysan.run.all_decode import usual_period
from nsysan.run.run import Run

#: Where the replay misses the measured period by more, no saving is sure.
SURE_ERROR = 0.02
#: Where hosts cost this share of a step or more, what tracing adds to their calls weighs in it.
_HOSTS_WEIGH = 0.03
#: What the replay calls its scenarios.
REPLAYED = {
    Scenario.NO_SKEW: "no_skew",
    Scenario.FLOOR_WIRE: "floor_wire",
    Scenario.NO_HOST_LATE: "host_free",
    Scenario.GRAPHS: "graphs",
    Scenario.NO_BUBBLE: "no_bubble",
    Scenario.ALL: "all",
}
#: Those that rest on when hosts launched.
_BY_HOST = (Scenario.NO_HOST_LATE, Scenario.GRAPHS, Scenario.ALL)


def savings(run: Run, pace: Pace | None, untraced: WithoutNsys | None = None) -> WhatIf | None:
    """The what-ifs of a replica; None where it has no steady step.

    The replay's savings are taken off the period of all steady steps, of which it may have replayed some; or off that
    of the step without nsys, of which pace is then.
    """
    if not run.ledger["steady"].any():
        return None
    period = usual_period(run)
    traced = None if untraced is None else period
    period = period if untraced is None else untraced.period
    why = _why(run, pace)
    without: dict[Scenario, int | None] = dict.fromkeys(Scenario)
    if untraced is not None:
        without[Scenario.UNTRACED] = period
    if pace is None:
        return WhatIf(period, without, why=why)
    if why:
        return WhatIf(period, without, traced=traced, replayed=pace.replayed, error=pace.error, why=why)
    more = period - pace.period.median
    # The middles of two replays may differ by less than nothing.
    told = {
        scenario: min(period, pace.scenarios[name].median + more)
        for scenario, name in REPLAYED.items()
        if name in pace.scenarios
    }
    why_host = _why_host(run, pace, period)
    left_out = {*(_BY_HOST if why_host else ()), *(() if run.is_eager else (Scenario.GRAPHS,))}
    kept = {scenario: ns for scenario, ns in told.items() if scenario not in left_out}
    return WhatIf(
        period,
        without | kept,
        ranks={rank: min(period, timed.median + more) for rank, timed in pace.ranks.items()},
        bounds={
            scenario: (min(period, low + more), min(period, high + more))
            for scenario, name in REPLAYED.items()
            if scenario in kept and name in pace.bounds
            for low, high in (pace.bounds[name],)
        },
        traced=traced,
        replayed=pace.replayed,
        error=pace.error,
        why_host=why_host,
        scheduled=(pace.answered or pace.met) and not why_host and _by_hosts(told, period),
    )


def _by_hosts(told: dict[Scenario, int], period: int) -> bool:
    """Whether something is saved without skew, and hosts would pace what is left."""
    least = _HOSTS_WEIGH * period
    without, everything = told.get(Scenario.NO_SKEW, period), told.get(Scenario.ALL, period)
    return period - without >= least and without - everything >= least


def slowed_by_nsys(run: Run, what: WhatIf | None) -> bool:
    """Whether tracing makes hosts cost more of a step than they do without, and nothing tells by how much."""
    if what is None or what.traced is not None:
        return what is None and run.is_eager
    return run.is_eager or (what.saves(Scenario.NO_HOST_LATE) or 0) >= _HOSTS_WEIGH * what.period


def path_of(pace: Pace | None, what: WhatIf | None) -> dict[tuple[str, int], int]:
    """The critical path: ns of a step by class and rank, most first, summing to the period of all steady steps."""
    whole = 0 if pace is None else sum(pace.path.values())
    if pace is None or what is None or not whole or what.why == LOST_ORDER:
        return {}
    ordered = sorted(pace.path.items(), key=lambda part: (-part[1], part[0]))
    found, taken, given = {}, 0, 0
    for key, ns in ordered:
        taken += ns
        end = taken * what.period // whole
        found[key], given = end - given, end
    return found


def _why(run: Run, pace: Pace | None) -> str:
    why = why_no_saving(run, pace)
    unsplit = pace is not None and pace.unsplit > MAX_UNSPLIT
    return f"{why} (see wait_wire)" if why == NOT_SPLIT or (why and unsplit) else why


def _why_host(run: Run, pace: Pace, period: int) -> str:
    why = why_no_host_saving(run, pace, period)
    return f"{why} (see launches, cpu_gpu_clock)" if why == NO_HOST else why
