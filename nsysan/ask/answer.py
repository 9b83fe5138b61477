"""What a step takes with what an engineer asks for: each alone, and all of it together, by replay of one graph."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.ask.answered import TOGETHER, Answer, Asked
from nsysan.ask.edit_of import Chosen, edit_of
from nsysan.ask.expressions import Expression
from nsysan.light.told_by_grids import told_by_grids
from nsysan.replay import edits
from nsysan.replay.edits import BY_HOST, STANDARD
from nsysan.replay.engine import NotAcyclic
from nsysan.replay.of_all import of_all
from nsysan.replay.pace import alternatives, bounds_of, pace_of
from nsysan.replay.prepared import Prepared, prepare
from nsysan.replay.results import Pace
from nsysan.replay.trust import why_no_host_saving, why_no_saving
from nsysan.replay.untraced import SEVERAL, OutOfRange, untraced
from nsysan.run.all_decode import of_all_decode, usual_period
from nsysan.run.run import Run


def answer(run: Run, expressions: Sequence[Expression], replica: int, without_nsys: int | None = None) -> Answer:
    """What was asked of a replica of a run; without_nsys: ns of its step without nsys, of which all is then told.

    BadExpression for what changes nothing, OutOfRange for a step time that cannot be, NsysanError without a step.
    """
    traced = run.replicas[replica]
    # Floors are by size where one is known, as a report knows it.
    own = of_all_decode(traced.stating(None, told_by_grids(traced).sizes))
    if own.summed and without_nsys is not None:
        raise OutOfRange(SEVERAL)
    try:
        ready = prepare(own)
    except NotAcyclic as error:
        raise NsysanError("what was recorded contradicts itself: no replay", ExitCode.NOTHING_TO_ANALYSE) from error
    if ready is None:
        raise NsysanError(f"replica {replica} has no steady decode step to replay", ExitCode.NO_STEPS)
    kinds = own.collectives.select("row", pl.col("kind").cast(pl.String))
    chosen = [edit_of(expression, ready.basis, kinds) for expression in expressions]
    sample = pace_of(ready)
    measured = of_all(own, sample)
    without = None if without_nsys is None else untraced(ready, without_nsys)
    now, pace = (ready, measured) if without is None else (without.ready, pace_of(without.ready))
    unknown = why_no_saving(own, measured) or None
    usual = usual_period(own)
    period = without_nsys or usual
    # Of all steady steps, of which some may be replayed: what is saved there is taken off their period, as in a report.
    sampled = (sample if without is None else pace).period.median
    more, ratio = period - pace.period.median, Fraction(pace.period.median, sampled) if sampled else Fraction(1)
    why_host = None if unknown else why_no_host_saving(own, pace, period) or None
    by_host = BY_HOST if why_host else ()
    scenarios = {} if unknown else {name: one for name, one in pace.scenarios.items() if name not in by_host}
    standard = {name: min(period, one.median + more) for name, one in scenarios.items()}
    of_standard = {
        name: (min(period, low + more), min(period, high + more))
        for name, (low, high) in pace.bounds.items()
        if name in scenarios
    }
    named = [one.text if one.subject is None else "" for one in expressions]
    told, bounds = ({}, {}) if unknown else _periods(now, chosen, named, pace, ratio, more)
    for key, one in enumerate(expressions):
        if one.subject is None:
            # What a report has, too, is what it says of it.
            told[str(key)], bounds[str(key)] = standard.get(one.text), of_standard.get(one.text)
    steps = len(ready.found.steps)
    asked = [
        Asked(one.text, told.get(key), bounds.get(key), what.names, what.count and what.count / steps)
        for key, one, what in zip(map(str, range(len(chosen))), expressions, chosen, strict=True)
    ]
    if not own.is_eager:
        standard.pop("graphs", None)
    return Answer(
        replica=replica,
        ranks=tuple(ready.basis.graph.ranks),
        steady=len(own.steady_steps),
        replayed=ready.found.steps.filter("counted").select("stretch", "step").n_unique(),
        whole=ready.found.whole,
        kinds=len(own.summed) or 1,
        traced=usual,
        hosts=None if without is None else without.hosts,
        gaps=None if without is None else without.gaps,
        period=period,
        error=measured.error,
        unknown=unknown,
        asked=asked,
        together=Asked(TOGETHER, told.get(TOGETHER), bounds.get(TOGETHER)) if len(chosen) > 1 else None,
        unknown_hosts=why_host,
        standard=dict.fromkeys(STANDARD) | standard,
        ranks_right={
            rank: None if unknown or rank not in pace.ranks else min(period, pace.ranks[rank].median + more)
            for rank in ready.basis.graph.ranks
        },
        bounds={name: both for name, both in of_standard.items() if name in standard},
    )


def _periods(
    ready: Prepared, chosen: Sequence[Chosen], named: Sequence[str], pace: Pace, ratio: Fraction, more: int
) -> tuple[dict[str, int | None], dict[str, tuple[int, int] | None]]:
    """Periods and bounds by number of what was asked, and of all together; each times the ratio, and `more`. named: the
    what-ifs of a report among them.
    """
    asked = {str(number): one.edit for number, one in enumerate(chosen)}
    own = list(asked.values())
    if len(chosen) > 1:
        asked[TOGETHER] = edits.together(*own)
    if not asked:
        return {}, {}
    names = list(asked)
    if TOGETHER in asked and any(named):
        # A what-if that the trace allows to take otherwise may be taken so beside what else is asked.
        known = alternatives(ready)
        others = [known.get(name, []) for name in named]
        alone = [{number: edit} for number, found in enumerate(others) for edit in found]
        every = [
            {number: found[which] for number, found in enumerate(others) if which < len(found)}
            for which in range(max(map(len, others)))
        ]
        for number, taken in enumerate(alone + [one for one in every if len(one) > 1]):
            instead = [taken.get(at, edit) for at, edit in enumerate(own)]
            asked[f"{TOGETHER} {number}"] = edits.together(*instead)
    if edits.may_be_unordered(ready.basis.graph):
        asked |= {f"{name} unordered": edits.together(asked[name], edits.unordered) for name in names}
    timed = [one.times(ratio) for one in ready.timed(list(asked.values()))]
    told = {"measured": pace.period} | dict(zip(asked, timed, strict=True))
    bounds = bounds_of(told, names)
    return {name: told[name].median + more for name in names}, {
        name: (low + more, high + more) for name, (low, high) in bounds.items()
    }
