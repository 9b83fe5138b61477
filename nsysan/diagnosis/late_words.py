"""Late ranks in words, and what of them is told as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nsysan.diagnosis.hotspot import Late
from nsysan.metrics.causes import WHY_LATE, WHY_LATE_TOGETHER, GapCause, LateCause
from nsysan.metrics.scenarios import LATE_SHARE, NOTABLE
from nsysan.metrics.skew import Straggler
from nsysan.text import numbered, rough

#: A rank that alone saves more of what its set costs is the first to look at.
_MOST = 0.5
#: Causes of idle time that are the host's own.
_BY_HOST = (GapCause.HOST_LATE, GapCause.SYNC, GapCause.BETWEEN_STEPS)


def outermost(late: Sequence[Late]) -> list[Late]:
    """Those that are late together as one, and each of the others; what costs most first."""
    sets = [one for one in late if len(one.ranks) > 1]
    inside = {rank for one in sets for rank in one.ranks}
    found = [*sets, *(one for one in late if len(one.ranks) == 1 and one.ranks[0] not in inside)]
    return sorted(found, key=lambda one: -max(one.costs, one.mean_costs))


def ranks_of(late: Iterable[Late]) -> list[int]:
    """All the ranks that these are of."""
    return sorted({rank for one in late for rank in one.ranks})


def alone_of(late: Sequence[Late], one: Late) -> list[Late]:
    """The ranks of a set, each by itself; of one rank itself."""
    return [own for own in late if len(own.ranks) == 1 and own.ranks[0] in one.ranks]


class Weight(NamedTuple):
    """What a late rank saves and costs, ns a step, and of what step, ns: the median one, or the mean one if `mean`."""

    saves: int
    costs: int
    of: int
    mean: bool


def weight(one: Late, period: int) -> Weight:
    """Of the median step, which takes period; or of the mean one, where it is the tail that it makes."""
    if one.costs < LATE_SHARE * period <= one.mean_costs:
        return Weight(one.mean_saves, one.mean_costs, max(one.mean_period, period), True)
    return Weight(max(one.saves, one.most or 0), one.costs, period, False)


def ranks_words(ranks: Sequence[int]) -> str:
    """As in "rank 2", "ranks 2 and 3"."""
    return numbered("rank", ranks, most=len(ranks))


def led(late: Sequence[Late], one: Late, less: str = "less for") -> str:
    """The ranks of a set in words, first the one that has most of what the set saves, if one has; less: what is said
    before the others.
    """
    first = max(alone_of(late, one), key=lambda own: own.saves, default=None)
    if len(one.ranks) < 2 or first is None or first.saves <= _MOST * one.costs:
        return ranks_words(one.ranks)
    others = [rank for rank in one.ranks if rank not in first.ranks]
    return f"rank {first.ranks[0]}, and {less} {ranks_words(others)}"


def apart(late: Sequence[Late], one: Late, period: int) -> str:
    """Clause: what each rank of a set saves by itself, and what it costs once all the others are right."""
    own = sorted(alone_of(late, one), key=lambda rank: (-weight(rank, period).saves, -weight(rank, period).costs))
    told = [(rank, weight(rank, period)) for rank in own]
    alone = [f"rank {rank.ranks[0]} saves {rough(w.saves)}" for rank, w in told if w.saves >= NOTABLE * w.of]
    none = sorted(rank.ranks[0] for rank, w in told if w.saves < NOTABLE * w.of)
    if none:
        more = "next to nothing, as the others are waited for then"
        alone.append(f"{ranks_words(none)} {'' if alone else 'save ' if len(none) > 1 else 'saves '}{more}")
    costs = ", ".join(f"rank {rank.ranks[0]} {rough(w.costs)}" for rank, w in told)
    return f"put right alone, {', and '.join(alone)}; what each costs once all the others are right: {costs}"


def by_host(late: Late | Straggler) -> bool:
    """Whether it is late for its host: it idles, and not for its own work on the GPU."""
    return late.cause == LateCause.HOST and next(iter(late.idle), GapCause.HOST_LATE) in _BY_HOST


def why_late(late: Late | Straggler) -> str:
    """What holds it up, as a clause."""
    several = isinstance(late, Late) and len(late.ranks) > 1
    idles = "they idle" if several else "it idles"
    if late.cause is None:
        return f"{idles} longer, and nothing tells whether {'their hosts are' if several else 'its host is'} late"
    if isinstance(late, Late) and late.cause == LateCause.COMPUTE and late.between:
        return f"{'their GPUs take' if several else 'its GPU takes'} longer from one kernel to the next"
    if late.cause == LateCause.HOST and not by_host(late):
        return f"{idles} longer ({next(iter(late.idle)).words})"
    return (WHY_LATE_TOGETHER if several else WHY_LATE)[late.cause]
