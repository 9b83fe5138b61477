"""The answer of a comparison in one sentence, and what it rests on: what stands first in every output."""

from __future__ import annotations

from itertools import pairwise

from nsysan.compare.comparison import ComparedRun, Comparison
from nsysan.compare.widths import WORTH, Width, ladder, widening
from nsysan.diagnosis.late_words import outermost, ranks_of, ranks_words
from nsysan.metrics.change_rule import SHARE_OF_FIGURE, ChangeVerdict
from nsysan.metrics.lines import ROW, Line
from nsysan.styled import label
from nsysan.text import counted, duration, listed, pct, pct_limit, plain

#: Ledger lines that a sentence names; sides that it tells of.
_LINES, _SIDES = 2, 4


def headline(comparison: Comparison) -> str:
    """Where to stay, of several numbers of GPUs; else how each side differs from the first, and by what."""
    told = [n for n, side in enumerate(comparison.sides) if n and side.label not in comparison.refused]
    if comparison.scaling is not None and len(ladder(comparison.scaling, comparison.predictions)) > 1:
        return _where_to_stay(comparison)
    if not told:
        first = comparison.sides[0].label
        alone = len(comparison.sides) == 1
        return f"nothing is predicted from {first}" if alone else f"nothing can be held against {first}"
    more = f"; {len(told) - _SIDES} more below" if len(told) > _SIDES else ""
    return "; ".join(_differs(comparison, number) for number in told[:_SIDES]) + more


def grounds(comparison: Comparison) -> str:
    """How many steps of each side it rests on, by which chance they differ so, and how sure each side's verdict is."""
    sides = comparison.sides
    steps = listed(f"{len(side.report.steps.steady):,}" for side in sides)
    chances = [change.p for change in comparison.figure("ledger.period").changes if change.p is not None]
    worst = max(chances, default=None)
    # Of several sides the one that is least certain.
    chance = "" if worst is None else f", periods differ so by chance with p {'<' if worst < 0.001 else '='} "
    chance += "" if worst is None else "0.001" if worst < 0.001 else f"{worst:.3f}"
    sure = listed(f"{side.label} {side.report.diagnosis.verdict.sure}" for side in sides)
    told = [f"by {steps} steady steps{chance}", "one capture a side", f"how sure each side's verdict is: {sure}"]
    told += [
        f"TP={one.ranks} is predicted, between {duration(one.low)} and {duration(one.high)}"
        for one in comparison.predictions
        if one.low is not None and one.high is not None and one.measured is None
    ]
    return "; ".join(told)


def may_differ(first: ComparedRun, side: ComparedRun) -> bool:
    """Whether the means are further apart than those of two captures of one workload, whatever chance gives."""
    return abs(side.mean - first.mean) >= SHARE_OF_FIGURE * first.mean


def short_name(side: ComparedRun) -> str:
    """The side as a column is headed: its letter, and the beginning of its name."""
    name = plain(side.name, 80).removesuffix(".sqlite")
    return f"{side.label} {name if len(name) <= _NAME else f'{name[: _NAME - 3]}...'}"


_NAME = 16


def _where_to_stay(comparison: Comparison) -> str:
    assert comparison.scaling is not None
    widths = ladder(comparison.scaling, comparison.predictions)
    for narrow, wide in pairwise(widths):
        if wide.period > (1 - WORTH) * narrow.period:
            return f"stay at TP={narrow.ranks}: {_gains(narrow, wide)}{_most_lost(narrow, wide)}{_serves(narrow, wide)}"
    first, last = comparison.scaling.widths[0], widths[-1]
    before = widths[-2]
    return (
        f"TP={last.ranks} pays: a token takes {duration(last.period)}, {first.period / last.period:.2f}x as fast as at "
        f"TP={first.ranks}, efficiency {pct(last.efficiency)}{_most_lost(before, last)}{_serves(before, last)}"
    )


def _gains(narrow: Width, wide: Width) -> str:
    gained = 1 - wide.period / narrow.period
    how = "would make" if wide.label is None else "make"
    if gained <= 0:
        return f"{wide.ranks} GPUs {how} no token faster ({duration(narrow.period)} to {duration(wide.period)})"
    return (
        f"{wide.ranks} GPUs {how} a token only {pct(gained)} faster ({duration(narrow.period)} to "
        f"{duration(wide.period)}; {pct_limit(WORTH)} would be worth it)"
    )


def _most_lost(narrow: Width, wide: Width) -> str:
    """What keeps the wider one from being faster, by its ledger."""
    lost = widening(narrow, wide).lost
    if not lost:
        return ""
    line, ns = max(lost.items(), key=lambda item: item[1])
    what = ROW[line].lost.removesuffix(" by that")
    return f"; most is lost to {what} ({duration(ns)})" if ns > 0 else ""


def _serves(narrow: Width, wide: Width) -> str:
    """What replicas on as many GPUs would serve, where that is much more."""
    more = widening(narrow, wide).replicas
    if more < 1 + WORTH:
        return ""
    count = wide.ranks / narrow.ranks
    return f"; for tokens/s, {count:g} replicas of TP={narrow.ranks} serve {more:.2f}x as many"


def _differs(comparison: Comparison, number: int) -> str:
    first, side = comparison.sides[0], comparison.sides[number]
    change = comparison.figure("ledger.period").changes[number - 1]
    mean = comparison.figure("throughput.mean").changes[number - 1]
    went = f"{duration(first.period)} and {duration(side.period)}"
    if change.verdict == ChangeVerdict.FEW_STEPS:
        return f"{side.label} against {first.label} cannot be told from noise ({went}): {change.reason}"
    of_mean = change.verdict != ChangeVerdict.CHANGED
    if of_mean and mean.verdict != ChangeVerdict.CHANGED:
        if not may_differ(first, side):
            return f"{side.label} takes the same as {first.label} within noise ({went})"
        less = "less" if side.mean < first.mean else "more"
        return (
            f"{side.label} takes {pct(abs(side.mean / first.mean - 1))} {less} than {first.label} in the mean "
            f"({duration(first.mean)} and {duration(side.mean)}), which steps that vary so much do not prove: capture "
            f"more of them"
        )
    own, other = (side.mean, first.mean) if of_mean else (side.period, first.period)
    word = "faster" if own < other else "slower"
    by = f"{side.label} is {word} by {duration(abs(own - other))} {side.made}{' in the mean' if of_mean else ''}"
    return f"{by} ({100 * (own / other - 1):+.1f} %){_moved(comparison, number, 1 if own > other else -1)}"


def _moved(comparison: Comparison, number: int, sign: int) -> str:
    """Ledger lines that went the way that the period went, and changed beyond noise."""
    found = [
        (line, change.difference)
        for line in Line
        for figure in comparison.group("ledger")
        if figure.id == f"ledger.{line}"
        for change in (figure.changes[number - 1],)
        if change.verdict == ChangeVerdict.CHANGED and change.difference and change.difference * sign > 0
    ]
    found.sort(key=lambda item: -abs(item[1]))
    grew = "grew" if sign > 0 else "shrank"
    words = [
        f"{_line_words(line, comparison.sides[number if sign > 0 else 0])}{f' {grew}' if not place else ''} by "
        f"{duration(abs(ns))}"
        for place, (line, ns) in enumerate(found[:_LINES])
    ]
    return f": {listed(words)}" if words else ""


def _line_words(line: Line, side: ComparedRun) -> str:
    if line != Line.WAIT:
        return {Line.IDLE: "idle time", Line.WIRE: "the wire"}.get(line, str(line))
    late = outermost(side.report.diagnosis.late)
    ranks = ranks_of(late)
    return f"waiting for {ranks_words(ranks)}" if ranks else "waiting"


def last_words(comparison: Comparison) -> str:
    """The same for the end of what a terminal shows."""
    return f"{label('verdict')}{headline(comparison)}\n{label('how sure')}{grounds(comparison)}"


def sides_that_count(comparison: Comparison) -> str:
    """Which sides there are, for a subtitle."""
    if len(comparison.sides) == 1:
        return "one run, and what others would take"
    return f"{counted(len(comparison.sides), 'run')}, each against {short_name(comparison.sides[0])}"
