"""What could be saved: the periods that a replay gives, or why they cannot be told (DEFINITIONS.md, section 10)."""

from __future__ import annotations

import polars as pl

from nsysan.diagnosis.without_nsys import WithoutNsys
from nsysan.metrics.causes import GapCause
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.whatif import WhatIf
from nsysan.model.health import NODE_FLAG
from nsysan.replay.results import MAX_UNSPLIT, Pace
from nsysan.replay.trust import LOST_ORDER, why_untold
from nsysan.run.all_decode import typical_periods, weighed, weights_of
from nsysan.run.run import Run

#: Where the replay misses the measured period by more, no saving is sure.
SURE_ERROR = 0.02
#: With a larger share of the period idle for an unknown cause, what late hosts cost is not known either.
MAX_UNKNOWN = 0.01
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
_MAYBE_BY_HOST = [GapCause.UNKNOWN.value, GapCause.BETWEEN_STEPS.value]


def savings(run: Run, pace: Pace | None, untraced: WithoutNsys | None = None) -> WhatIf | None:
    """The what-ifs of a replica; None where it has no steady step.

    The replay's savings are taken off the period of all steady steps, of which it may have replayed some; or off that
    of the step without nsys, of which pace is then.
    """
    steady = run.ledger.filter("steady")
    if steady.is_empty():
        return None
    period = _period(run, steady)
    traced = None if untraced is None else period
    period = period if untraced is None else untraced.period
    why = _why_untold(run, steady, pace)
    without: dict[Scenario, int | None] = dict.fromkeys(Scenario)
    if untraced is not None:
        without[Scenario.UNTRACED] = period
    if pace is None:
        return WhatIf(period, without, why=why)
    if why:
        return WhatIf(period, without, traced=traced, replayed=pace.period.median, error=pace.error, why=why)
    more = period - pace.period.median
    # The middles of two replays may differ by less than nothing.
    told = {
        scenario: min(period, pace.scenarios[name].median + more)
        for scenario, name in REPLAYED.items()
        if name in pace.scenarios
    }
    why_host = _why_host_untold(run, pace, period)
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
        replayed=pace.period.median,
        error=pace.error,
        why_host=why_host,
        scheduled=pace.answered and not why_host and _by_hosts(told, period),
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


def _period(run: Run, steady: pl.DataFrame) -> int:
    """The median step; where answers are a sum over populations, the mean of theirs over all steps."""
    if run.summed and (each := typical_periods(run)):
        return round(weighed(each, weights_of(run)))
    return typical_period(steady)


def typical_period(steady: pl.DataFrame) -> int:
    """Median over the ranks of each one's median step, ns; 0 without any. steady: rows of the ledger."""
    return round(steady.group_by("rank").agg(pl.median("period_ns"))["period_ns"].median() or 0)  # type: ignore[arg-type]


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


def _why_untold(run: Run, steady: pl.DataFrame, pace: Pace | None) -> str:
    """Why no saving can be told; "" where they can."""
    if steady["period_ns"].is_null().any() or steady["graph_ns"].sum() > 0:
        return f"what runs inside of replays that are traced as one block is not visible (capture with {NODE_FLAG})"
    if steady["comm_ns"].sum() > 0 and steady["wait_ns"].is_null().all():
        return "needs steady steps in which waiting and transfer are told apart (see wait_wire)"
    if pace is None:
        return "needs steady steps that can be replayed"
    why = why_untold(run, pace)
    return f"{why} (see wait_wire)" if pace.unsplit > MAX_UNSPLIT else why


def _why_host_untold(run: Run, pace: Pace, period: int) -> str:
    """Why nothing is told of what hosts cost; "" where it is."""
    if not pace.closed:
        return (
            "what late hosts cost cannot be told, nor all savings together: nothing in the trace says which work "
            "of the last stage the first one's host waits for"
        )
    may_be_host = pl.col("host").is_null() & pl.col("cause").is_in(_MAYBE_BY_HOST)
    unknown = run.gaps.filter(may_be_host & pl.col("step").is_in(run.steady_steps))
    per_step = unknown.group_by("step", "rank").agg(pl.sum("ns")).group_by("step").agg(pl.max("ns"))
    every = pl.DataFrame({"step": run.steady_steps}, schema={"step": pl.Int64}).join(per_step, on="step", how="left")
    lost = every["ns"].fill_null(0).median() or 0
    if lost <= MAX_UNKNOWN * period:  # type: ignore[operator]
        return ""
    return "what late hosts cost cannot be told, nor all savings together (see launches, cpu_gpu_clock)"
