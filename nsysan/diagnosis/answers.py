"""What a diagnosis says in sentences, the same in every output: who is late, and what could be saved."""

from __future__ import annotations

from collections.abc import Sequence

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.diagnosis.hotspot import Late
from nsysan.diagnosis.late_words import alone_of, apart, by_host, led, outermost, ranks_words, weight, why_late
from nsysan.diagnosis.pipelines import Bubble
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.metrics.causes import GapCause
from nsysan.metrics.scenarios import LATE_SHARE, NO_BUBBLE, NOTABLE, SCENARIOS, Scenario, losses
from nsysan.metrics.whatif import SCHEDULER, WhatIf
from nsysan.text import duration, pct, pct_limit, rough, us


def late_sentence(diagnosis: Diagnosis, quality: Sequence[Quality], period: int | None) -> str:
    """Who is late, what that saves and costs, and why; or why nobody is named. period: of the headline, ns."""
    if not diagnosis.late or not period:
        found = next(q for q in quality if q.id == Aspect.STRAGGLER)
        if found.status != Status.OK:
            return f"cannot be told: {found.reason}"
        if diagnosis.rotation and period:
            lost = f"{rough(diagnosis.rotation)} a step ({pct(diagnosis.rotation / period)})"
            return f"nobody by itself: another rank is late in each step, and balancing them saves {lost}"
        unlike = _all_unlike(diagnosis.what_if)
        return f"nobody{' by itself' if unlike else ''}: {found.reason}{nearest_to_late(diagnosis.what_if)}{unlike}"
    what = diagnosis.what_if
    return "; and ".join(
        _told(one, diagnosis.late, period, how(one, what, quality)) for one in outermost(diagnosis.late)
    )


def how(one: Late, what: WhatIf | None, quality: Sequence[Quality]) -> str:
    """What is said of the savings of late ranks, as their finding says it: "at most ", "at least ", or nothing."""
    if what is not None and what.scheduled:
        return "at most "
    if what is not None and Scenario.NO_SKEW in what.bounds:
        return "at least "
    if not by_host(one):
        return ""
    if any(row.id == Aspect.HOST_TIME and row.status != Status.OK for row in quality):
        return "at most "
    return "at least " if what is not None and Scenario.NO_HOST_LATE in what.bounds else ""


def late_in_short(diagnosis: Diagnosis, quality: Sequence[Quality], period: int | None) -> str:
    """Who is late, and by what, in a few words; "" where nobody is, or that cannot be told."""
    if not diagnosis.late or not period:
        return ""
    told = []
    for one in outermost(diagnosis.late):
        saves, costs, of, mean = weight(one, period)
        # What alone saves little is late all the same.
        hidden = saves < LATE_SHARE * of <= costs
        together = " together" if len(one.ranks) > 1 else ""
        less = costs if hidden else saves
        most = how(one, diagnosis.what_if, quality)
        saved = (
            f"put right{together}, {most}{rough(less)} a step less ({pct(less / of)}{' of the mean' if mean else ''})"
        )
        saved += ", once the other late ranks are right" if hidden else ""
        saved += _most_alone(diagnosis.late, one, period)
        who = _by_stage(diagnosis.bubble, one.ranks) or led(diagnosis.late, one, "less so")
        told.append(f"{who}: {why_late(one)}; {saved}")
    beside = "no rank is the main cause; minor: " if diagnosis.verdict.kind == VerdictKind.PIPELINE else ""
    return f"{beside}{'; and '.join(told)}"


def late_in_others(diagnosis: Diagnosis, quality: Sequence[Quality]) -> str:
    """Clauses: who is late in other kinds of decode steps; "" where nobody is."""
    told = [
        (one, late_in_short(one.diagnosis, quality, one.period) or turns_in_short(one.diagnosis, one.period))
        for one in diagnosis.others
    ]
    return "".join(
        f"; in steps of {one.id} ({pct(one.share)} of the decode time), {short}" for one, short in told if short
    )


def turns_in_short(diagnosis: Diagnosis, period: int) -> str:
    """What another rank late in each step costs, in a few words; "" where that is not so."""
    lost = diagnosis.rotation
    return f"another rank is late in each: {rough(lost)} ({pct(lost / period)})" if lost and period else ""


def _most_alone(late: Sequence[Late], one: Late, period: int) -> str:
    """Clause: what that of several saves alone that saves most; "" where that is little."""
    alone = max(alone_of(late, one), key=lambda rank: weight(rank, period).saves, default=one)
    saves, _, of, _ = weight(alone, period)
    if len(one.ranks) < 2 or len(alone.ranks) > 1 or saves < LATE_SHARE * of:
        return ""
    return f"; rank {alone.ranks[0]} alone {rough(saves)}"


def _by_stage(bubble: Bubble | None, ranks: Sequence[int]) -> str:
    """The ranks by stage of a pipeline, "" of none: who is late within one is not what keeps another waiting."""
    told = []
    for stage in () if bubble is None else bubble.stages:
        late = [rank for rank in ranks if rank in stage.ranks]
        # All of a stage are late for one another, each at some of the calls.
        turns = " (now one, now the other)" if len(late) == len(stage.ranks) > 1 else ""
        told += [f"{ranks_words(late)} of stage {stage.number}{turns}"] if late else []
    return ", ".join(told)


def _told(one: Late, late: Sequence[Late], period: int, most: str) -> str:
    several = len(one.ranks) > 1
    saves, costs, of, mean = weight(one, period)
    words = f"{ranks_words(one.ranks)} put right {'together save' if several else 'saves'} {most}{rough(saves)} a step"
    words += f" ({pct(saves / of)}){' in the mean' if mean else ''}"
    if costs - saves >= NOTABLE * of:
        cost = f"{'cost' if several else 'costs'} {rough(costs)} ({pct(costs / of)})"
        words += f", and {cost} once the other late ranks are right"
    if several:
        each = apart(late, one, period)
        return f"{words}; cause {one.cause or 'cannot be told'} ({why_late(one)}); {each}"
    where = f", {one.where.where()}" if one.where else ""
    shown = [f"{name} {us(ns)} µs" for name, ns in sorted(one.parts.items(), key=lambda p: -p[1]) if ns >= 1_000]
    parts = f"; {', '.join(shown)}, gaps before it included" if len(shown) > 1 else ""
    which = f"; kernel {one.where.which()}" if one.where and one.where.kernel else ""
    return f"{words}{where}; cause {one.cause or 'cannot be told'} ({why_late(one)}{_idles(one)}{parts}{which})"


def _idles(late: Late) -> str:
    """Which idle time grew on a rank whose host is late."""
    match next(iter(late.idle), None) if by_host(late) else None:
        case GapCause.BETWEEN_STEPS:
            return ", between the steps"
        case GapCause.SYNC:
            return ", after waiting for the GPU"
        case _:
            return ""


def nearest_to_late(what: WhatIf | None) -> str:
    """Of a run without a late rank: the rank that comes nearest to being one, if any stands out; else ""."""
    if what is None or not what.period or not what.ranks:
        return ""
    rank, ns = min(what.ranks.items(), key=lambda item: (item[1], item[0]))
    saves = what.period - ns
    second = max((what.period - other for r, other in what.ranks.items() if r != rank), default=0)
    if saves < NOTABLE * what.period or saves < 2 * second:
        return ""
    return f"; rank {rank} comes nearest, with {rough(saves)} a step ({pct(saves / what.period)})"


def _all_unlike(what: WhatIf | None) -> str:
    """Of a run without a late rank: what all ranks save together, where that is much though none is late; else ""."""
    saves = None if what is None else what.saves(Scenario.NO_SKEW)
    if what is None or saves is None or saves < LATE_SHARE * what.period:
        return ""
    return f"; but ranks differ, and all put right together save {rough(saves)} a step ({pct(saves / what.period)})"


def savings_sentence(what: WhatIf | None, quality: Sequence[Quality]) -> str:
    """What a step takes, and would take without each loss."""
    if what is None:
        return "no steady decode step"
    now = "without nsys" if what.traced is not None else "now"
    if not [scenario for scenario in what.told if scenario != Scenario.NO_BUBBLE]:
        return (
            f"{duration(what.period)} a step {now}; what could be saved cannot be told from this trace{_bubble(what)}"
        )
    notable = {
        scenario: ns
        for scenario, ns in what.without.items()
        if ns is not None and scenario != Scenario.NO_BUBBLE and what.period - ns >= NOTABLE * what.period
    }
    # All together is no news where none of them is.
    told = [
        f"{SCENARIOS[scenario].title} {at_most(what, scenario)}{rough(ns)} (saves {rough(what.period - ns)})"
        for scenario, ns in notable.items()
        if notable.keys() != {Scenario.ALL}
    ]
    host_told = Scenario.NO_HOST_LATE in what.told
    bound = host_told and any(q.id == Aspect.HOST_TIME and q.status != Status.OK for q in quality)
    bounded = _bounded(what)
    sure = " for sure" if bounded else ""
    little = f"less than {pct_limit(NOTABLE)} to gain{sure} from each of {losses(what.told)}"
    listed = ", ".join(told) or little
    if not host_told:
        listed += f"; what {SCENARIOS[Scenario.NO_HOST_LATE].loss} cost cannot be told"
    listed += bounded
    why = "the profiler slows the host" if bound and told else SCHEDULER if what.scheduled else ""
    how = f" ({replay_words(what)}{f'; upper bounds: {why}' if why else ''})"
    how += "" if told else "; what other kernels would save, findings tell"
    return f"{duration(what.period)} a step {now}; {listed}{_bubble(what)}{how}"


def _bounded(what: WhatIf) -> str:
    """Of what may save more than is told: the least and the most of it."""
    told = [
        f"{SCENARIOS[scenario].title} {_from(what, scenario, most)}at most {rough(what.period - least)}"
        for scenario, (least, most) in what.bounds.items()
        if scenario != Scenario.NO_BUBBLE and what.period - least >= NOTABLE * what.period
    ]
    return f"; saved {', '.join(told)}, which the trace cannot tell better (see what_if)" if told else ""


def _from(what: WhatIf, scenario: Scenario, most: int) -> str:
    """The least that is saved; nothing where what hosts need in place of what is told may be more."""
    upper = scenario == Scenario.NO_SKEW and what.scheduled
    return "" if upper else f"at least {rough(what.period - most)}, "


def _bubble(what: WhatIf) -> str:
    bubble = what.no_bubble
    if bubble is None or what.period - bubble < NOTABLE * what.period:
        return ""
    best = "at best, with more batches in flight: throughput, and no token comes sooner"
    return f"; {NO_BUBBLE} {rough(bubble)} {best}"


def at_most(what: WhatIf, scenario: Scenario) -> str:
    """That a period may be less than is told: what is saved is the least."""
    return "at most " if scenario in what.bounds else ""


def replay_words(what: WhatIf) -> str:
    """What the savings are by, and how well that gives the period."""
    missed = "" if what.error is None else f"; with nothing changed that misses the period by {pct(what.error)}"
    return f"by replay of the same kernels with that changed{missed}"
