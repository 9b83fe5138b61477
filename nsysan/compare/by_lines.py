"""A side's step at another number of ranks without a replay: the lines of its ledger, one by one."""

from __future__ import annotations

from collections.abc import Sequence

from nsysan.compare.bars import PACED
from nsysan.compare.replay_told import Change, Key, Replayed
from nsysan.compare.sample import Sample, key_of
from nsysan.compare.split import Split
from nsysan.metrics.lines import Line
from nsysan.replay.results import Timed


def by_lines(base: Sample, split: Split, changes: Sequence[Change], ranks: int) -> Replayed:
    """What a replay tells. Nothing tells what idle time is for: by GPUs alone there is none, and hosts that pace it,
    where there is much, let no step be shorter than it is.
    """
    ledger = dict(base.ledger)
    ledger[Line.IDLE] += base.period - sum(ledger.values())
    if ranks == 1:
        ledger[Line.WAIT] = ledger[Line.FUSED] = 0.0
    lines = [_changed(base, split, change, ledger) for change in changes]
    totals = [sum(own.values()) for own in lines]
    idle = max(base.late, ledger[Line.IDLE])
    alone = [max(0.0, total - idle) for total in totals]
    paced = idle >= PACED * base.period
    if paced:
        totals = [max(base.period, ns) for ns in alone]
        lines[0][Line.IDLE] += totals[0] - sum(lines[0].values())
    return Replayed(
        now=Timed(round(base.period), round(base.mean)),
        periods=[Timed(round(ns), round(base.mean + ns - base.period)) for ns in totals],
        free=[Timed(round(ns), round(ns)) for ns in alone],
        asked=Timed(0, 0),
        hosts=base.period if paced else 0.0,
        a_launch=0.0,
        ledger=lines[0],
    )


def _changed(base: Sample, split: Split, change: Change, ledger: dict[Line, float]) -> dict[Line, float]:
    then = float((change.factors * split.at(base.ranks)).sum())
    compute = ledger[Line.COMPUTE] * then / max(split.total(base.ranks), 1.0)
    calls = _calls_by_key(base).items()
    more = sum(max(change.longer.get(key, 0.0), -ns / n) * n for key, (n, ns) in calls if n)
    more += 0.0 if change.behind is None else float(change.behind.sum())
    return {**ledger, Line.COMPUTE: compute, Line.WIRE: max(0.0, ledger[Line.WIRE] + more)}


def _calls_by_key(base: Sample) -> dict[Key, tuple[float, float]]:
    """Of each call how often it comes a step, and ns that all of it takes after the last arrival."""
    found: dict[Key, tuple[float, float]] = {}
    for part in base.calls.drop_nulls("kind").partition_by("kind", "message_bytes"):
        key = key_of(str(part["kind"][0]), part["message_bytes"][0], base.ranks)
        steps = part.select("step", "rank").n_unique()
        found[key] = len(part) / steps, float(part["wire"].sum()) / steps
    return found
