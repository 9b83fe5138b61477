"""One prediction: a step at another number of ranks, from how its compute splits and what its calls take there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nsysan.compare.bars import PACED, bar, varies
from nsysan.compare.calls_to_come import CallsToCome
from nsysan.compare.paced_words import no_one_figure
from nsysan.compare.prediction import Prediction
from nsysan.compare.replay_told import Replayed
from nsysan.compare.replayed_at import Change, replayed
from nsysan.compare.sample import Key, Sample, key_of
from nsysan.compare.split import BETWEEN_CAPTURES, Split
from nsysan.compare.wire_at import FloorAt, floor_at, floors_of, measured
from nsysan.metrics.lines import Line
from nsysan.text import duration, pct, plain, size, us

#: How long ranks wait for each other one rank does not show: 2 % of the period at TP=2, 1.3 at TP=4.
ALONE_WAITS = 0.03
#: GPUs that one board's NVLink joins.
ONE_BOARD = 8
#: Without a replay nothing tells what paces the step.
NO_REPLAY = 0.1


def predicted_at(
    base: Sample, split: Split, sides: Sequence[Sample], ranks: int, calls: CallsToCome | None = None
) -> Prediction:
    """A step of the base at so many ranks. sides: those whose calls are known, the base among them.

    calls: those of a step of one rank, which has none.
    """
    floors = {key: _floor(base, key, sides, ranks) for key in floors_of(base)}
    error = split.error(ranks) / max(split.total(ranks), 1.0)
    factors = split.factors(ranks)
    longer = [_longer(base, floors, pick) for pick in ("ns", "low", "high")]
    behind = (None, None, None) if calls is None else (calls.middle, calls.low, calls.high)
    shares = (1.0, max(0.0, 1 - error), 1 + error)
    changes = [Change(factors * share, more, own) for share, more, own in zip(shares, longer, behind, strict=True)]
    basis = [_compute_words(split, ranks), *(_wire_words(base, key, floor, ranks) for key, floor in floors.items())]
    if calls is not None:
        basis.append(calls.basis)
    if base.work.ready is None:
        return _without_replay(base, split, changes, basis, ranks)
    found = replayed(base.work, base.work.ready, base.ranks, changes, alone=ranks == 1)
    # The steps that were replayed may be some of the steady ones.
    scale = base.period / found.now.median
    eager = base.work.eager
    launches = calls.count * found.a_launch if calls is not None and eager else 0.0
    where = bar(
        found, (BETWEEN_CAPTURES, base.error), _waiting(base, found, calls, ranks), launches, ranks, eager=eager
    )
    if calls is not None:
        basis.append("how long ranks wait for each other, and what more processes cost hosts, one rank does not show")
    if launches:
        basis.append(
            f"launching them takes hosts {duration(scale * launches)} more, as long each as what they launch now"
        )
    basis.append(f"gaps, copies and hosts as in {base.label} (TP={base.ranks}), by replay of its steps")
    alone, as_now = where.alone.scaled(scale), scale * where.told.ns
    told = Prediction(
        ranks,
        base.batch,
        base=base.label,
        hosts=where.paced,
        alone=alone,
        as_now=as_now,
        fixed=split.fixed_total,
        basis=tuple(basis),
    )
    if where.says_nothing:
        return replace(told, reason=no_one_figure(alone, as_now, varies(eager=eager), eager=eager))
    period = round(scale * where.told.ns)
    ledger = dict(found.ledger) if calls is None else _with_calls(found.ledger, calls)
    if ledger:
        ledger[Line.IDLE] = ledger.get(Line.IDLE, 0.0) + where.told.ns - found.periods[0].median
    return replace(
        told,
        period=period,
        low=math.floor(scale * where.told.low),
        high=math.ceil(scale * where.told.high),
        mean=base.mean + scale * (found.periods[0].mean - found.now.mean),
        ledger=_summing_to(ledger, period),
    )


def _waiting(base: Sample, found: Replayed, calls: CallsToCome | None, ranks: int) -> float:
    """ns that ranks may wait longer for each other."""
    doublings = max(0.0, math.log2(ranks / base.ranks))
    return doublings * (found.ledger.get(Line.WAIT, 0.0) if calls is None else ALONE_WAITS * found.periods[0].median)


def _with_calls(ledger: Mapping[Line, float], calls: CallsToCome) -> dict[Line, float]:
    """The ledger with what comes behind kernels as wire, and as idle time between them: a replay has it as compute."""
    moved = float(calls.middle.sum())
    if ledger.get(Line.COMPUTE, 0.0) < moved:
        return dict(ledger)
    more = {Line.COMPUTE: -moved, Line.WIRE: moved - calls.apart, Line.IDLE: calls.apart}
    return {line: ns + more.get(line, 0.0) for line, ns in ledger.items()}


def _summing_to(lines: Mapping[Line, float], period: int) -> dict[Line, int]:
    """The lines in proportion, in whole ns that sum to the period; what rounding leaves goes to the largest."""
    whole = sum(lines.values())
    if whole <= 0:
        return {}
    found = {line: round(ns * period / whole) for line, ns in lines.items()}
    largest = max(found, key=lambda line: found[line])
    found[largest] += period - sum(found.values())
    return found


def _floor(base: Sample, key: Key, sides: Sequence[Sample], ranks: int) -> FloorAt:
    names = base.calls.filter(kind=key[0])["name"].cast(str).unique().to_list()
    nccl = all(name.lower().startswith("nccl") for name in names)
    total, floors = measured(sides, key)
    floors[base.ranks] = floors_of(base)[key]
    return floor_at((key[0], total), floors, ranks, base.ranks, base.link, nccl=nccl)


def _longer(base: Sample, floors: Mapping[Key, FloorAt], pick: str) -> dict[Key, float]:
    """ns that each call takes longer than at the base; of one rank alone: all that it takes less."""
    here = floors_of(base)
    return {key: -math.inf if floor.high == 0 else getattr(floor, pick) - here[key] for key, floor in floors.items()}


def _without_replay(base: Sample, split: Split, changes: Sequence[Change], basis: list[str], ranks: int) -> Prediction:
    """The ledger's lines one by one; hosts that pace the step may let none of it get shorter."""
    ledger = dict(base.ledger)
    rest = base.period - sum(ledger.values())
    ledger[Line.IDLE] += rest
    if ranks == 1:
        ledger[Line.WAIT] = ledger[Line.FUSED] = 0.0
    totals = []
    for change in changes:
        then = float((change.factors * split.at(base.ranks)).sum())
        compute = ledger[Line.COMPUTE] * then / max(split.total(base.ranks), 1.0)
        calls = _calls_by_key(base)
        more = sum(max(change.longer.get(key, 0.0), -ns / n) * n for key, (n, ns) in calls.items() if n)
        more += 0.0 if change.behind is None else float(change.behind.sum())
        totals.append((compute, more))
    (compute, more), *ends = totals
    lines = {**ledger, Line.COMPUTE: compute, Line.WIRE: max(0.0, ledger[Line.WIRE] + more)}
    middle = sum(lines.values())
    low, high = (middle + c - compute + m - more for c, m in ends)
    if base.late >= PACED * base.period:
        high = max(high, base.period)
    kept = f"gaps, copies and hosts as in {base.label} (TP={base.ranks})"
    basis.append(f"{kept}, line by line: {plain(base.work.why, 200)}")
    unsure = NO_REPLAY * middle
    return Prediction(
        ranks,
        base.batch,
        period=round(middle),
        low=math.floor(middle - math.hypot(middle - low, unsure)),
        high=math.ceil(middle + math.hypot(high - middle, unsure)),
        mean=base.mean + middle - base.period,
        ledger=_summing_to(lines, round(middle)),
        base=base.label,
        hosts=base.late >= PACED * base.period,
        fixed=split.fixed_total,
        basis=tuple(basis),
    )


def _calls_by_key(base: Sample) -> dict[Key, tuple[float, float]]:
    """Of each call how often it comes a step, and ns that all of it takes after the last arrival."""
    found: dict[Key, tuple[float, float]] = {}
    for part in base.calls.drop_nulls("kind").partition_by("kind", "message_bytes"):
        key = key_of(str(part["kind"][0]), part["message_bytes"][0], base.ranks)
        steps = part.select("step", "rank").n_unique()
        found[key] = len(part) / steps, float(part["wire"].sum()) / steps
    return found


def _compute_words(split: Split, ranks: int) -> str:
    now, then = split.total(split.degree), split.total(ranks)
    return (
        f"compute {duration(now)} at TP={split.degree}, of which {duration(split.fixed_total)} "
        f"({pct(split.fixed_total / max(now, 1.0))}) does not shrink with more ranks: {duration(then)}, give or "
        f"take {duration(split.error(ranks))} ({split.basis})"
    )


def _wire_words(base: Sample, key: Key, floor: FloorAt, ranks: int) -> str:
    kind, total = key
    own = base.calls.filter(kind=kind)
    calls = len(own) / max(1, own.select("step", "rank").n_unique())
    of = "" if total is None else f" of {size(total)}"
    here = floors_of(base)[key]
    where = ", where one switch joins so many GPUs" if ranks > ONE_BOARD else ""
    return (
        f"{plain(kind, 40)}{of}, {calls:g} a step: {us(here)} to {duration(floor.ns)} a call at its floor "
        f"({us(floor.low)} to {us(floor.high)}): {floor.source}{where}"
    )
