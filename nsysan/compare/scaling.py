"""What more GPUs bought and what they cost: runs of one workload over different numbers of ranks."""

from __future__ import annotations

from dataclasses import dataclass

from nsysan.compare.compared_run import ComparedRun
from nsysan.metrics.ledger import IDLE, LINES
from nsysan.text import ms

_ALL_LINES = (*LINES, IDLE)
#: Parts below this share of the period, or of what is lost, go without saying.
_LISTED = 0.002
_LISTED_LOST = 0.005


@dataclass(frozen=True)
class Width:
    """One side's place: speed-up against the narrowest, and its share of the ratio of GPUs."""

    label: str
    ranks: int
    period: float
    speed_up: float
    efficiency: float
    tokens_per_second: float
    tokens_per_second_per_gpu: float


@dataclass(frozen=True)
class Widening:
    """From one width to the next. changed: ns a step by ledger line, without those that stay 0.

    lost: by line, what it takes beyond its share of the narrower run's, which sums to the period's excess over
    perfect scaling but for medians not adding up. Both empty where a line is not measured.
    """

    narrow: Width
    wide: Width
    ideal: float
    changed: dict[str, float]
    lost: dict[str, float]

    @property
    def replicas(self) -> float:
        """Tokens a second of narrow replicas on as many GPUs, over those of the wide group."""
        return self.narrow.tokens_per_second_per_gpu / self.wide.tokens_per_second_per_gpu


@dataclass(frozen=True)
class Scaling:
    """widths: narrowest first, one a number of ranks. steps: between neighbours."""

    widths: list[Width]
    steps: list[Widening]


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
    changed: dict[str, float] = {}
    lost: dict[str, float] = {}
    before = {line: narrow[0].value(f"ledger.{line}") for line in _ALL_LINES}
    after = {line: wide[0].value(f"ledger.{line}") for line in _ALL_LINES}
    for line in _ALL_LINES:
        old, new = before[line], after[line]
        if old is None or new is None:
            changed, lost = {}, {}
            break
        if old or new:
            changed[line] = new - old
            lost[line] = new - old * share
    return Widening(narrow[1], wide[1], narrow[1].period * share, changed, lost)


def widening_sentence(step: Widening) -> str:
    """What the additional GPUs bought, and what they cost."""
    narrow, wide = step.narrow, step.wide
    speed_up = narrow.period / wide.period
    went = (
        f"{ms(narrow.period)} to {ms(wide.period)} a token, {speed_up:.2f}x as fast, "
        f"efficiency {speed_up * narrow.ranks / wide.ranks:.0%}"
    )
    more = _more(narrow.ranks, wide.ranks)
    if not step.changed:
        gained = narrow.period - wide.period
        what = f"bought {ms(gained)}" if gained > 0 else f"cost {ms(-gained)}"
        return f"{more} {what}: {went}; where it went cannot be told, as a ledger line is not measured"
    gains = {line: -ns for line, ns in step.changed.items() if ns < 0}
    costs = {line: ns for line, ns in step.changed.items() if ns > 0}
    least = _LISTED * narrow.period
    return f"{more} bought {_listed(gains, '-', least)} and cost {_listed(costs, '+', least)}: {went}"


def lost_sentence(step: Widening) -> str:
    """Where the distance from perfect scaling lies, largest part first."""
    above = step.wide.period - step.ideal
    ratio = step.wide.ranks / step.narrow.ranks
    head = f"all of it divided by {ratio:g} would be {ms(step.ideal)}"
    if above <= 0:
        return f"{head}: scaling is better than perfect"
    if not step.lost:
        return f"{head}; {ms(above)} are lost"
    parts = [
        f"{_LOST.get(line, line)} {ms(ns)} ({ns / above:.0%})"
        for line, ns in sorted(step.lost.items(), key=lambda item: -item[1])
        if ns >= _LISTED_LOST * above
    ]
    return f"{head}; the {ms(above)} above that are {', '.join(parts)}"


_LOST = {
    "compute": "compute that did not shrink by that",
    "wait": "waiting",
    "fused": "fused communication",
    "comm_unsplit": "communication",
    "idle": "idle time",
}


def replicas_sentence(step: Widening) -> str:
    """Whether replicas of the narrower run would serve more on as many GPUs."""
    narrow, wide = step.narrow, step.wide
    on_all = narrow.tokens_per_second_per_gpu * wide.ranks
    count = wide.ranks / narrow.ranks
    more = step.replicas
    verdict = f"{more:.2f}x as many" if more >= 1 else f"only {more:.2f}x as many"
    latency = wide.period - narrow.period
    price = f"each token takes {ms(abs(latency))} {'longer' if latency < 0 else 'less'}"
    return (
        f"on {wide.ranks} GPUs, {count:g} replicas of TP={narrow.ranks} serve {on_all:,.0f} tokens/s "
        f"({narrow.tokens_per_second_per_gpu:,.0f} a GPU) against {wide.tokens_per_second:,.0f} "
        f"({wide.tokens_per_second_per_gpu:,.0f} a GPU) of one TP={wide.ranks} group: {verdict}, and {price} "
        f"(at these batches, if the model fits TP={narrow.ranks})"
    )


def _more(narrow: int, wide: int) -> str:
    if wide == 2 * narrow and narrow in _SECOND:
        return f"the second {_SECOND[narrow]}"
    added = wide - narrow
    return f"{added} more GPU" + ("s" if added > 1 else "")


_SECOND = {1: "GPU", 2: "pair of GPUs", 4: "four GPUs", 8: "eight GPUs"}


def _listed(amounts: dict[str, float], sign: str, least: float) -> str:
    """Their sum, and those of at least so much, largest first."""
    shown = sorted(((line, ns) for line, ns in amounts.items() if ns >= least), key=lambda item: -item[1])
    if not shown:
        return "next to nothing"
    return f"{ms(sum(amounts.values()))} ({', '.join(f'{line} {sign}{ns / 1e6:.3f}' for line, ns in shown)})"
