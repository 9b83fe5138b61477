"""What a step takes with what an engineer asks for: each alone, and all of it together, by replay of one graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from nsysan._errors import ExitCode, NsysanError
from nsysan.ask.edit_of import Chosen, edit_of
from nsysan.ask.expressions import Expression
from nsysan.replay import edits
from nsysan.replay.engine import NotAcyclic
from nsysan.replay.links import Link
from nsysan.replay.pace import MAX_ERROR, MAX_UNSPLIT, Pace, bounds_of, pace_of, timed
from nsysan.replay.prepared import Prepared, prepare
from nsysan.replay.untraced import OutOfRange, Untraced, untraced
from nsysan.run.run import Run

#: What stands for all that was asked for.
TOGETHER = "all of these"
_UNORDERED = " unordered"


@dataclass(frozen=True)
class Asked:
    """One thing that was asked: text as it was, names of what it changes, how many of these a step and rank has.

    period: ns of a step then, None where it cannot be told (see Answer.unknown); bounds: least and most, where the
    trace cannot tell.
    """

    text: str
    period: int | None
    bounds: tuple[int, int] | None = None
    names: tuple[str, ...] = ()
    calls: float | None = None


@dataclass(frozen=True)
class Answer:
    """Of one replica; periods are ns of a step.

    replica, ranks: which; steady, replayed: how many of its steps are that, whole: whether those are all. traced: as
    measured. without: what tells of the step without nsys, where it was given; period: of the step that all the others
    are held against: that one, else as measured. error: replay_error. unknown: why periods are None. asked: in the
    order given. together: all of it, where that is more than one. standard, ranks_right: the what-ifs of a report, and
    one rank put right; bounds of these.
    """

    replica: int
    ranks: tuple[int, ...]
    steady: int
    replayed: int
    whole: bool
    traced: int
    without: Untraced | None
    period: int
    error: float
    unknown: str | None
    asked: list[Asked]
    together: Asked | None
    standard: dict[str, int | None]
    ranks_right: dict[int, int | None] = field(default_factory=dict)
    bounds: dict[str, tuple[int, int]] = field(default_factory=dict)


def answer(run: Run, expressions: Sequence[Expression], replica: int, without_nsys: int | None = None) -> Answer:
    """What was asked of a replica of a run; without_nsys: ns of its step without nsys, of which all is then told.

    BadExpression for what changes nothing, OutOfRange for a step time that cannot be, NsysanError without a step.
    """
    own = run.replicas[replica]
    try:
        ready = prepare(own)
    except NotAcyclic as error:
        raise NsysanError(
            "what was recorded contradicts itself, and cannot be replayed", ExitCode.NOTHING_TO_ANALYSE
        ) from error
    if ready is None:
        raise NsysanError(f"replica {replica} has no steady decode step to replay", ExitCode.NO_STEPS)
    kinds = own.collectives.select("row", pl.col("kind").cast(pl.String))
    chosen = [edit_of(expression, ready.basis, kinds) for expression in expressions]
    measured = pace_of(ready)
    without = None if without_nsys is None else untraced(ready, without_nsys)
    now, pace = (ready, measured) if without is None else (without.ready, pace_of(without.ready))
    unknown = _unknown(measured)
    told = {} if unknown else _periods(now, [one.edit for one in chosen], pace)
    steps = len(ready.found.steps)
    return Answer(
        replica=replica,
        ranks=tuple(ready.basis.graph.ranks),
        steady=len(own.steady_steps),
        replayed=ready.found.steps.filter("counted").select("stretch", "step").n_unique(),
        whole=ready.found.whole,
        traced=measured.period.median,
        without=without,
        period=pace.period.median,
        error=measured.error,
        unknown=unknown,
        asked=[
            _asked(expression.text, told.get(str(number)), one, steps)
            for number, (expression, one) in enumerate(zip(expressions, chosen, strict=True))
        ],
        together=_asked(TOGETHER, told.get(TOGETHER)) if len(chosen) > 1 else None,
        standard={name: None if unknown or one is None else one.median for name, one in _standard(pace).items()},
        ranks_right={rank: None if unknown or not pace.ranks else pace.ranks[rank].median for rank in measured_ranks(ready)},
        bounds={} if unknown else pace.bounds,
    )
