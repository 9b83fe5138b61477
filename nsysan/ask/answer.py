"""What a step takes with what an engineer asks for: each alone, and all of it together, by replay of one graph."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.ask.answered import TOGETHER, Answer, Asked
from nsysan.ask.edit_of import Chosen, edit_of
from nsysan.ask.expressions import Expression
from nsysan.replay import edits
from nsysan.replay.edits import STANDARD
from nsysan.replay.engine import NotAcyclic
from nsysan.replay.pace import bounds_of, pace_of
from nsysan.replay.prepared import Prepared, prepare
from nsysan.replay.results import Pace, Timed
from nsysan.replay.trust import why_untold
from nsysan.replay.untraced import SEVERAL, OutOfRange, untraced
from nsysan.run.all_decode import of_all_decode
from nsysan.run.run import Run


def answer(run: Run, expressions: Sequence[Expression], replica: int, without_nsys: int | None = None) -> Answer:
    """What was asked of a replica of a run; without_nsys: ns of its step without nsys, of which all is then told.

    BadExpression for what changes nothing, OutOfRange for a step time that cannot be, NsysanError without a step.
    """
    own = of_all_decode(run.replicas[replica])
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
    measured = pace_of(ready)
    without = None if without_nsys is None else untraced(ready, without_nsys)
    now, pace = (ready, measured) if without is None else (without.ready, pace_of(without.ready))
    unknown = why_untold(own, measured) or None
    told, bounds = ({}, {}) if unknown else _periods(now, chosen, pace)
    steps = len(ready.found.steps)
    asked = [
        Asked(one.text, told.get(key), bounds.get(key), what.names, what.count and what.count / steps)
        for key, one, what in zip(map(str, range(len(chosen))), expressions, chosen, strict=True)
    ]
    known = {} if unknown else pace.scenarios
    return Answer(
        replica=replica,
        ranks=tuple(ready.basis.graph.ranks),
        steady=len(own.steady_steps),
        replayed=ready.found.steps.filter("counted").select("stretch", "step").n_unique(),
        whole=ready.found.whole,
        kinds=len(own.summed) or 1,
        traced=measured.period.median,
        hosts=None if without is None else without.hosts,
        gaps=None if without is None else without.gaps,
        period=pace.period.median,
        error=measured.error,
        unknown=unknown,
        asked=asked,
        together=Asked(TOGETHER, told.get(TOGETHER), bounds.get(TOGETHER)) if len(chosen) > 1 else None,
        standard={
            name: _no_longer(known.get(name), pace) if name != "graphs" or own.is_eager else None
            # A bubble is a pipeline's.
            for name in (*STANDARD, *({"no_bubble"} & known.keys()))
        },
        ranks_right={
            rank: None if unknown else _no_longer(pace.ranks.get(rank), pace) for rank in ready.basis.graph.ranks
        },
        bounds={} if unknown else dict(pace.bounds),
    )


def _no_longer(one: Timed | None, pace: Pace) -> int | None:
    """The period of a what-if that only takes away: the middles of two replays may differ by less than nothing."""
    return None if one is None else min(one.median, pace.period.median)


def _periods(
    ready: Prepared, chosen: Sequence[Chosen], pace: Pace
) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
    """Periods and bounds by number of what was asked, and of all together."""
    asked = {str(number): one.edit for number, one in enumerate(chosen)}
    if len(chosen) > 1:
        asked[TOGETHER] = edits.together(*asked.values())
    if not asked:
        return {}, {}
    names = list(asked)
    if edits.may_be_unordered(ready.basis.graph):
        asked |= {f"{name} unordered": edits.together(asked[name], edits.unordered) for name in names}
    told = {"measured": pace.period} | dict(zip(asked, ready.timed(list(asked.values())), strict=True))
    bounds = bounds_of(told, names)
    return {name: told[name].median for name in names}, bounds
