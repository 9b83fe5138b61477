"""What more GPUs bought and what they cost: runs of one workload over different numbers of ranks."""

from __future__ import annotations

from nsysan.compare.comparison import ComparedRun, Scaling, Widening, Width
from nsysan.metrics.lines import LINES, Line


def scaling(sides: list[ComparedRun]) -> Scaling | None:
    """None where all sides have the same number of ranks; of several with one number, the first counts."""
    by_ranks: dict[int, ComparedRun] = {}
    for side in sides:
        by_ranks.setdefault(side.ranks, side)
    if len(by_ranks) < 2:
        return None
    ordered = [by_ranks[ranks] for ranks in sorted(by_ranks)]
    base = ordered[0]
    widths = [_width(side, base) for side in ordered]
    pairs = zip(zip(ordered, widths, strict=True), list(zip(ordered, widths, strict=True))[1:], strict=False)
    return Scaling(widths, [_widening(narrow, wide) for narrow, wide in pairs])


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
    )


def _widening(narrow: tuple[ComparedRun, Width], wide: tuple[ComparedRun, Width]) -> Widening:
    share = narrow[1].ranks / wide[1].ranks
    changed: dict[Line, float] = {}
    lost: dict[Line, float] = {}
    before = {line: narrow[0].value(f"ledger.{line}") for line in LINES}
    after = {line: wide[0].value(f"ledger.{line}") for line in LINES}
    for line in LINES:
        old, new = before[line], after[line]
        if old is None or new is None:
            changed, lost = {}, {}
            break
        if old or new:
            changed[line] = new - old
            lost[line] = new - old * share
    return Widening(narrow[1], wide[1], narrow[1].period * share, changed, lost)
