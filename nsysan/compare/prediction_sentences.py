"""What a prediction says, in sentences: those of scaling, of one width more, and where more GPUs stop to pay."""

from __future__ import annotations

from itertools import pairwise

from nsysan.compare.comparison import Comparison
from nsysan.compare.paced_words import both_ends
from nsysan.compare.prediction import Prediction
from nsysan.compare.scaling_sentences import lost_sentence, replicas_sentence, widening_sentence
from nsysan.compare.widths import WORTH, Width, ladder, of_prediction, widening
from nsysan.diagnosis.verdict import VerdictKind
from nsysan.metrics.lines import Line
from nsysan.text import duration, pct, pct_limit, plain, signed_pct


def prediction_lines(comparison: Comparison) -> list[str]:
    """Where to stop, and what was predicted, a line each; of what could not be, why."""
    lines = stop_lines(comparison)
    for one in comparison.predictions:
        lines.append(f"predict   TP={one.ranks}: {untold(one) if one.period is None else told(one, comparison)}")
    return lines


def buying_lines(comparison: Comparison) -> list[str]:
    """What the GPUs of each prediction buy, lose, and what replicas would serve instead."""
    return [line for one in comparison.predictions if one.period for line in _against_narrower(one, comparison)]


def basis_lines(comparison: Comparison) -> list[str]:
    """What each part of a prediction rests on, a line each."""
    return [f"basis     TP={one.ranks}: {plain(each, 400)}" for one in comparison.predictions for each in one.basis]


def untold(one: Prediction) -> str:
    """Why no period is told; and what was measured, where hosts are why."""
    if one.alone is None:
        return f"nothing: {plain(one.reason or '', 400)}"
    measured = "" if one.measured is None else f"; measured {duration(one.measured)}"
    return f"no one figure: {plain(one.reason or '', 400)}{measured}"


def told(one: Prediction, comparison: Comparison) -> str:
    """Period and bar, speed-up, tokens/s, what paces it, and how a prediction of what was measured did."""
    assert comparison.scaling is not None
    assert one.period is not None
    assert one.low is not None
    assert one.high is not None
    width, first = of_prediction(one, comparison.scaling), comparison.scaling.widths[0]
    parts = [
        f"{duration(one.period)} a token ({duration(one.low)} to {duration(one.high)}), {width.speed_up:.2f}x of "
        f"TP={first.ranks}, efficiency {pct(width.efficiency)}, {width.tokens_per_second:,.0f} tokens/s "
        f"({width.tokens_per_second_per_gpu:,.0f} a GPU)"
    ]
    if one.measured is not None:
        parts.append(f"measured {duration(one.measured)}, of which the prediction knew nothing ({_off(one)})")
    if one.hosts and one.alone is not None and one.as_now is not None:
        parts.append(f"its hosts pace it: {both_ends(one.alone, one.as_now)}")
    elif one.hosts:
        parts.append("its hosts may pace it, and then no GPU makes it shorter")
    if one.missed:
        listed = ", ".join(f"TP={ranks} {signed_pct(share)}" for ranks, share in sorted(one.missed.items()))
        parts.append(f"left out in turn, what was measured is missed by: {listed}")
    return "; ".join(parts)


def _off(one: Prediction) -> str:
    assert one.period is not None
    assert one.measured is not None
    within = (one.low or 0.0) <= one.measured <= (one.high or 0.0)
    return f"{signed_pct(one.period / one.measured - 1)}, {'within' if within else 'outside of'} its bar"


def instead(one: Prediction, comparison: Comparison) -> Width | None:
    """What replicas on its GPUs would be of: half as many, else the next fewer that are known; None where none are."""
    assert comparison.scaling is not None
    narrower = [width for width in ladder(comparison.scaling, comparison.predictions) if width.ranks < one.ranks]
    return next((width for width in narrower if 2 * width.ranks == one.ranks), narrower[-1] if narrower else None)


def _against_narrower(one: Prediction, comparison: Comparison) -> list[str]:
    """What its GPUs buy, lose, and what replicas would serve instead."""
    assert comparison.scaling is not None
    narrow = instead(one, comparison)
    if narrow is None:
        return []
    step = widening(narrow, of_prediction(one, comparison.scaling))
    would = "as predicted" if narrow.label is None else "as measured"
    return [
        f"bought    TP={narrow.ranks} ({would}) to {one.ranks}: {widening_sentence(step)}",
        f"lost      {lost_sentence(step)}",
        f"replicas  {replicas_sentence(step)}",
    ]


def stop_lines(comparison: Comparison) -> list[str]:
    """Where more GPUs stop to make a token much faster, and why; or that they do not up to the widest."""
    if comparison.scaling is None or all(one.period is None for one in comparison.predictions):
        return []
    widths = ladder(comparison.scaling, comparison.predictions)
    by_ranks = {one.ranks: one for one in comparison.predictions if one.period is not None}
    for narrow, wide in pairwise(widths):
        if wide.period > (1 - WORTH) * narrow.period:
            one = by_ranks.get(wide.ranks)
            paced = {side.label for side in comparison.sides if side.report.diagnosis.verdict.kind == VerdictKind.HOST}
            hosts = wide.label in paced or (wide.label is None and one is not None and one.hosts)
            fixed = next((found.fixed for found in by_ranks.values()), None)
            low = one.low if one is not None and wide.label is None else None
            return [f"stop      at TP={narrow.ranks}: {_why_stop(narrow, wide, low, fixed, hosts=hosts)}"]
    last = widths[-2:]
    return [
        f"stop      not before TP={last[1].ranks}: from TP={last[0].ranks} on a token still gets faster by "
        f"{pct(1 - last[1].period / last[0].period)} ({pct_limit(WORTH)} are held to be worth it)"
    ]


def _why_stop(narrow: Width, wide: Width, low: float | None, fixed: float | None, *, hosts: bool) -> str:
    """low: the least that the wide one may take, where it is predicted; fixed: compute that no ranks share out."""
    gained = 1 - wide.period / narrow.period
    faster = f"a token only {pct(gained)} faster" if gained > 0 else "no token faster"
    went = f"{wide.ranks} GPUs make {faster}"
    parts = [f"{went} ({duration(narrow.period)} to {duration(wide.period)}; {pct_limit(WORTH)} would be worth it)"]
    own = {line: narrow.ledger.get(line) or 0.0 for line in Line}
    if hosts:
        parts.append("the hosts pace it, whom more GPUs do not make faster")
    elif fixed is not None:
        rest = narrow.period - own[Line.COMPUTE] - own[Line.WIRE]
        stays = fixed + rest
        parts.append(
            f"of the {duration(narrow.period)}, {duration(stays)} ({pct(stays / narrow.period)}) do not shrink: "
            f"compute {duration(fixed)}, gaps, waiting and copies {duration(rest)}"
        )
    more = (wide.ledger.get(Line.WIRE) or 0.0) - own[Line.WIRE]
    less = own[Line.COMPUTE] - (wide.ledger.get(Line.COMPUTE) or 0.0)
    if wide.ledger:
        parts.append(f"compute gets {duration(less)} shorter, and the wire adds {duration(max(more, 0.0))}")
    if low is not None and low <= (1 - WORTH) * narrow.period:
        parts.append(f"by the lower end of the bar, {duration(low)}, it would still pay")
    return "; ".join(parts)
