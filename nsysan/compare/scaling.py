"""What more GPUs bought and what they cost: runs of one workload over different numbers of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from nsysan.compare.comparison import UNKNOWN_GPU, ComparedRun
from nsysan.compare.widths import Scaling, Width, widening
from nsysan.metrics.lines import LINES
from nsysan.text import plain


def scaling(sides: Sequence[ComparedRun], *, predicting: bool = False) -> Scaling | None:
    """None where all sides have the same number of ranks, unless others are predicted, and where `why_no_degrees`
    tells why; of several with one number, the first counts."""
    by_ranks: dict[int, ComparedRun] = {}
    for side in sides:
        by_ranks.setdefault(side.ranks, side)
    if (len(by_ranks) < 2 and not predicting) or why_no_degrees(sides):
        return None
    ordered = [by_ranks[ranks] for ranks in sorted(by_ranks)]
    widths = [_width(side, ordered[0]) for side in ordered]
    return Scaling(widths, [widening(narrow, wide) for narrow, wide in pairwise(widths)])


def why_no_degrees(sides: Sequence[ComparedRun]) -> str | None:
    """Why sides do not tell what more GPUs buy: they do not decode, or not on one GPU. None where nothing does."""
    if others := [side for side in sides if not side.decodes]:
        return "; ".join(f"{side.label} {side.workload.words}" for side in others)
    models = {side.label: side.gpus for side in sides if side.gpus != UNKNOWN_GPU}
    listed = ", ".join(f"{label} {plain(gpus, 60)}" for label, gpus in models.items())
    return f"not the same GPU: {listed}" if len(set(models.values())) > 1 else None


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
