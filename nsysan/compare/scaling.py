"""What more GPUs bought and what they cost: runs of one workload over different numbers of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from nsysan.compare.comparison import ComparedRun
from nsysan.compare.widths import Scaling, Width, widening
from nsysan.metrics.lines import LINES


def scaling(sides: Sequence[ComparedRun], *, predicting: bool = False) -> Scaling | None:
    """None where all sides have the same number of ranks, unless others are predicted; of several with one number, the
    first counts."""
    by_ranks: dict[int, ComparedRun] = {}
    for side in sides:
        by_ranks.setdefault(side.ranks, side)
    if len(by_ranks) < 2 and not predicting:
        return None
    ordered = [by_ranks[ranks] for ranks in sorted(by_ranks)]
    widths = [_width(side, ordered[0]) for side in ordered]
    return Scaling(widths, [widening(narrow, wide) for narrow, wide in pairwise(widths)])


def _width(side: ComparedRun, base: ComparedRun) -> Width:
    speed_up = base.period / side.period
    return Width(
        label=side.label,
        ranks=side.ranks,
        period=side.period,
        speed_up=speed_up,
        efficiency=speed_up * base.ranks / side.ranks,
        tokens_per_second=side.tokens_per_second,
        tokens_per_second_per_gpu=side.tokens_per_second / side.ranks,
        ledger={line: side.value(f"ledger.{line}") for line in LINES},
    )
