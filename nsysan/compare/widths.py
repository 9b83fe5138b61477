"""Runs of one workload over different numbers of ranks, measured or predicted, narrowest first.

A prediction is one more width, and goes by the same arithmetic and the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nsysan.compare.prediction import Prediction
from nsysan.metrics.lines import LINES, Line

#: Twice the GPUs pay where a step gets shorter by this share.
WORTH = 0.1


@dataclass(frozen=True)
class Width:
    """One side's place: speed-up against the narrowest, and its share of the ratio of GPUs.

    label: None where it is predicted. ledger: ns a step, None of a line that is not measured.
    """

    label: str | None
    ranks: int
    period: float
    speed_up: float
    efficiency: float
    tokens_per_second: float
    tokens_per_second_per_gpu: float
    ledger: Mapping[Line, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Widening:
    """From one width to the next. changed: ns a step by ledger line, without those that stay 0.

    lost: by line, what it takes beyond its share of the narrower run's, which sums to the period's excess over
    perfect scaling but for medians not adding up. Both empty where a line is not measured.
    """

    narrow: Width
    wide: Width
    ideal: float
    changed: dict[Line, float]
    lost: dict[Line, float]

    @property
    def replicas(self) -> float:
        """Tokens a second of narrow replicas on as many GPUs, over those of the wide group."""
        return self.narrow.tokens_per_second_per_gpu / self.wide.tokens_per_second_per_gpu


@dataclass(frozen=True)
class Scaling:
    """widths: narrowest first, one a number of ranks. steps: between neighbours."""

    widths: list[Width]
    steps: list[Widening]


def ladder(found: Scaling, predictions: Sequence[Prediction]) -> list[Width]:
    """All widths, narrowest first: as measured, else as predicted."""
    known = {width.ranks for width in found.widths}
    told = [of_prediction(one, found) for one in predictions if one.period is not None and one.ranks not in known]
    return sorted([*found.widths, *told], key=lambda width: width.ranks)


def of_prediction(one: Prediction, found: Scaling) -> Width:
    """The width of a prediction that was told, against the narrowest that was measured."""
    assert one.period is not None
    assert one.tokens_per_second is not None
    base, tokens = found.widths[0], one.tokens_per_second
    speed_up = base.period / one.period
    return Width(
        label=None,
        ranks=one.ranks,
        period=one.period,
        speed_up=speed_up,
        efficiency=speed_up * base.ranks / one.ranks,
        tokens_per_second=tokens,
        tokens_per_second_per_gpu=tokens / one.ranks,
        ledger=dict(one.ledger),
    )


def widening(narrow: Width, wide: Width) -> Widening:
    """From one width to another."""
    share = narrow.ranks / wide.ranks
    changed: dict[Line, float] = {}
    lost: dict[Line, float] = {}
    for line in LINES:
        old, new = narrow.ledger.get(line), wide.ledger.get(line)
        if old is None or new is None:
            changed, lost = {}, {}
            break
        if old or new:
            changed[line] = new - old
            lost[line] = new - old * share
    return Widening(narrow, wide, narrow.period * share, changed, lost)
