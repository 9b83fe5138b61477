"""What more GPUs bought and what they cost, in sentences."""

from __future__ import annotations

from nsysan.compare.widths import Widening
from nsysan.metrics.lines import ROW, Line
from nsysan.text import duration, pct, us

#: Parts below this share of the period, or of what is lost, go without saying.
_LISTED = 0.002
_LISTED_LOST = 0.005


def widening_sentence(step: Widening) -> str:
    """What the additional GPUs bought, and what they cost."""
    narrow, wide = step.narrow, step.wide
    speed_up = narrow.period / wide.period
    went = (
        f"{duration(narrow.period)} to {duration(wide.period)} a token, {speed_up:.2f}x as fast, "
        f"efficiency {pct(speed_up * narrow.ranks / wide.ranks)}"
    )
    more = _more(narrow.ranks, wide.ranks)
    if not step.changed:
        gained = narrow.period - wide.period
        what = f"bought {duration(gained)}" if gained > 0 else f"cost {duration(-gained)}"
        return f"{more} {what}: {went}; where it went cannot be told, as a ledger line is not measured"
    gains = {line: -ns for line, ns in step.changed.items() if ns < 0}
    costs = {line: ns for line, ns in step.changed.items() if ns > 0}
    least = _LISTED * narrow.period
    return f"{more} bought {_listed(gains, '-', least)} and cost {_listed(costs, '+', least)}: {went}"


def lost_sentence(step: Widening) -> str:
    """Where the distance from perfect scaling lies, largest part first."""
    above = step.wide.period - step.ideal
    ratio = step.wide.ranks / step.narrow.ranks
    head = f"all of it divided by {ratio:g} would be {duration(step.ideal)}"
    if above <= 0:
        return f"{head}: scaling is better than perfect"
    if not step.lost:
        return f"{head}; {duration(above)} are lost"
    parts = [
        f"{ROW[line].lost} {duration(ns)} ({pct(ns / above)})"
        for line, ns in sorted(step.lost.items(), key=lambda item: -item[1])
        if ns >= _LISTED_LOST * above
    ]
    return f"{head}; the {duration(above)} above that are {', '.join(parts)}"


def replicas_sentence(step: Widening) -> str:
    """Whether replicas of the narrower run would serve more on as many GPUs."""
    narrow, wide = step.narrow, step.wide
    on_all = narrow.tokens_per_second_per_gpu * wide.ranks
    count = wide.ranks / narrow.ranks
    more = step.replicas
    verdict = f"{more:.2f}x as many" if more >= 1 else f"only {more:.2f}x as many"
    latency = wide.period - narrow.period
    price = f"each token takes {duration(abs(latency))} {'longer' if latency < 0 else 'less'}"
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


def _listed(amounts: dict[Line, float], sign: str, least: float) -> str:
    """Their sum, and those of at least so much, largest first."""
    shown = sorted(((line, ns) for line, ns in amounts.items() if ns >= least), key=lambda item: -item[1])
    if not shown:
        return "next to nothing"
    return f"{duration(sum(amounts.values()))} ({', '.join(f'{line} {sign}{us(ns)}' for line, ns in shown)})"
