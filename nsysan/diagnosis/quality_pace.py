"""How far late ranks and savings can be trusted: both rest on a replay of the steps."""

from __future__ import annotations

from nsysan.diagnosis.diagnosis import MAX_REJECTED, Diagnosis
from nsysan.diagnosis.doubts import SETTLED, Doubt
from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.diagnosis.lookalikes import unknown_share
from nsysan.diagnosis.os_told import or_capture
from nsysan.diagnosis.savings import SURE_ERROR, slowed_by_nsys
from nsysan.metrics.causes import LateCause
from nsysan.metrics.scenarios import LATE_SHARE, SCENARIOS, Scenario
from nsysan.metrics.skew import TELLING_STEPS
from nsysan.metrics.whatif import SCHEDULER, WhatIf
from nsysan.replay.results import MAX_ERROR, MAX_UNSPLIT
from nsysan.run.run import Run
from nsysan.text import counted, duration, pct, pct_limit
from nsysan.trace.graph_mode import GraphMode

_NO_TIME = f"what a step takes without nsys no table holds ({SETTLED[Doubt.TRACING]})"
_INFERRED = "that the first stage begins its next step when the last one has ended is inferred"
_ANSWERED = "that hosts begin a step once another thread, or another host, has results of an earlier one is inferred"
_MET = "that hosts wait for each other once a step, for no call that the trace shows, is inferred"
_SEEN = "that hosts wait shows in their calls into the operating system; that it is for each other is inferred"
_UNSEEN = "hosts, or streams, may wait for each other unseen"
_SCHEDULED = f"savings without skew are upper bounds: hosts pace what is left, and {SCHEDULER}"
_INFLATED = "held up by its host, whose time the profiler inflates (see host_time)"


def assess_late(run: Run, diagnosis: Diagnosis) -> Quality:
    """Whether late ranks could be told."""
    status, why = _late(run, diagnosis)
    return Quality(Aspect.STRAGGLER, status, why)


def _late(run: Run, diagnosis: Diagnosis) -> tuple[Status, str]:
    unknown = _why_untold(run, diagnosis)
    if unknown:
        return Status.NOT_MEASURABLE, unknown
    if diagnosis.late:
        return _who_is_named(run, diagnosis)
    return _nobody(run, diagnosis)


def _may_hide(run: Run) -> str:
    """What a late rank may hide behind; "" where nothing is known."""
    if not all(clock.agrees for clock in run.host_clocks.values()):
        return "a host that is late may not show: its clock disagrees (see cpu_gpu_clock)"
    share = unknown_share(run.tally)
    if share <= MAX_UNSPLIT:
        return ""
    return (
        f"a late rank may not show behind unknown collectives, {pct(share)} of the kernels' time (unknown_collectives)"
    )


def _nobody(run: Run, diagnosis: Diagnosis) -> tuple[Status, str]:
    if why := _may_hide(run):
        return Status.ESTIMATED, why
    if run.collectives.is_empty():
        return Status.OK, "no collective ties the ranks together in these steps"
    if unseen := _unseen(diagnosis):
        return Status.ESTIMATED, f"a rank that is late in others may not show: {unseen}"
    if diagnosis.rotation:
        turns = (
            f"another rank is late in each step, which costs {duration(diagnosis.rotation)} a step; none is by itself"
        )
        return Status.OK, turns
    hidden = hidden_share(diagnosis.what_if)
    if hidden >= LATE_SHARE:
        return (
            Status.ESTIMATED,
            f"a late rank could cost up to {pct(hidden)} of the step and not show: {_UNSEEN}"
            f"{or_capture(run, diagnosis.pace)}",
        )
    return Status.OK, f"no rank costs {pct_limit(LATE_SHARE)} or more of the step, or of the slowest steps"


def _unseen(diagnosis: Diagnosis) -> str:
    """That some kinds of steps are not replayed, where they take what counts; else ""."""
    share = 0.0 if diagnosis.pace is None else diagnosis.pace.unseen
    told = f"kinds of decode steps with {pct(share)} of their time are in none of the stretches that are replayed"
    return told if share >= LATE_SHARE else ""


def hidden_share(what: WhatIf | None) -> float:
    """The share of the period that late ranks may cost where the trace can be taken in more than one way."""
    bounds = what and what.bounds.get(Scenario.NO_SKEW)
    return (what.period - bounds[0]) / what.period if what and bounds else 0.0


def _why_untold(run: Run, diagnosis: Diagnosis) -> str:
    """Why nobody can be told late; "" where that can."""
    what, steps = diagnosis.what_if, len(run.steady_steps)
    if run.collectives.is_empty() and run.graph_mode != GraphMode.GRAPH:
        return ""
    if diagnosis.arrived.is_empty() or diagnosis.rejected > MAX_REJECTED:
        return "no collective could be matched across the ranks"
    if steps < TELLING_STEPS:
        return f"{counted(steps, 'steady step')}: too few to tell who is late"
    return what.why if what is not None else ""


def _who_is_named(run: Run, diagnosis: Diagnosis) -> tuple[Status, str]:
    causes = {one.cause for one in diagnosis.late}
    if None in causes:
        why = "the rank idles before it arrives; whether its host is late cannot be told (see launches, cpu_gpu_clock)"
        return Status.ESTIMATED, why
    if LateCause.HOST in causes and run.is_eager and diagnosis.untraced is None:
        return Status.ESTIMATED, _INFLATED
    if unseen := _unseen(diagnosis):
        return Status.ESTIMATED, unseen
    costs = f"{pct_limit(LATE_SHARE)} of the step or of its tail, or more"
    return Status.OK, f"with all other late ranks put right, it costs {costs}"


def assess_savings(run: Run, diagnosis: Diagnosis) -> Quality:
    """Whether what-ifs could be told, and how well the replay that they are of gives the measured period."""
    what = diagnosis.what_if
    if what is None:
        return Quality(Aspect.WHAT_IF, Status.NOT_MEASURABLE, "needs steady steps")
    if what.why or diagnosis.pace is None or what.error is None:
        return Quality(Aspect.WHAT_IF, Status.NOT_MEASURABLE, what.why)
    steps = diagnosis.pace.per_step.select("stretch", "step").n_unique()
    of = f"by replay of {counted(steps, 'step')}, which misses the measured period by {pct(what.error)}"
    limits = _limits(run, what, what.error, or_capture(run, diagnosis.pace))
    limits += [unseen] if (unseen := _unseen(diagnosis)) else []
    limits += [_INFERRED] if diagnosis.pace.turns_inferred and not what.why_host else []
    limits += [_ANSWERED] if diagnosis.pace.answered else []
    limits += [_SEEN if diagnosis.pace.hosts else _MET] if diagnosis.pace.met else []
    untold = [_NO_TIME] if slowed_by_nsys(run, what) else []
    reason, status = "; ".join([*limits, of, *untold]), Status.ESTIMATED if limits else Status.OK
    return Quality(Aspect.WHAT_IF, status, reason, limits="; ".join(limits))


def _limits(run: Run, what: WhatIf, error: float, cure: str) -> list[str]:
    """What keeps savings from being sure; cure: what to capture, in brackets."""
    found = [what.why_host] if what.why_host else []
    if not what.why_host and slowed_by_nsys(run, what):
        found.append("savings on the host's side are upper bounds (see host_time)")
    if what.scheduled:
        found.append(_SCHEDULED)
    if what.bounds:
        which = ", ".join(SCENARIOS[scenario].title for scenario in what.bounds)
        found.append(f"what is saved {which} is told as the least: {_UNSEEN}{cure}")
    if error > SURE_ERROR:
        found.append(f"over {pct_limit(MAX_ERROR)} nothing would be told")
    return found
