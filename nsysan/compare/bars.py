"""Where a predicted period lies: what GPUs alone take, and what hosts add (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nsysan.compare.prediction import Ends
from nsysan.compare.replay_told import Replayed

#: Hosts pace a step that would be shorter by this share if no launch were late.
PACED = 0.25
#: What hosts need for one and the same step is up to so many times as much in another capture, or process. Of graphs:
#: vLLM's TP=2 on one machine took 2.51 to 3.77 ms; in one capture a launch took 8.1 us on one rank and 14.2 on the
#: other. Launched one by one and traced: one loop 9.6 to 18.9 ms, SGLang 10.6 to 29.0.
VARIES, EAGER_VARIES = 1.5, 3.0
#: Of what hosts add to a step that they do not pace so much more: half, and of one rank alone, which tracing slows
#: more, three times (one loop's added 111 us at TP=2 and 345 at TP=1, of which 260 were nsys').
ADDS, ALONE_ADDS = 0.5, 3.0
#: A bar whose ends are further apart than this says nothing.
WIDEST = 3.0


@dataclass(frozen=True)
class Bar:
    """alone: by the GPUs alone. told: with hosts as now, and with any that were seen. paced: whether hosts pace it."""

    alone: Ends
    told: Ends
    paced: bool

    @property
    def says_nothing(self) -> bool:
        """Whether its ends are too far apart to be of use."""
        return self.told.high > WIDEST * self.told.low


def bar(found: Replayed, unsure: Sequence[float], waiting: float, launches: float, ranks: int, *, eager: bool) -> Bar:
    """Of a replay at so many ranks, in its own ns.

    unsure: shares that may be wrong whoever paces. waiting: what ranks may wait longer. launches: ns that hosts need
    more, of calls that there were none of.
    """
    middle, low, high = (float(one.median) for one in found.periods)
    free, free_low, free_high = (float(one.median) for one in found.free)
    fewer, more = max(free - free_low, middle - low), max(free_high - free, high - middle)
    needed = found.hosts + launches
    middle = max(middle, needed) if launches else middle
    added = max(0.0, middle - free)
    share = math.hypot(*unsure)
    # Much of what ranks wait for in a step that hosts pace is for hosts.
    own = waiting * free / middle if middle else 0.0
    alone = Ends(free, free - math.hypot(fewer, share * free), free + math.hypot(more, own, share * free))
    paced = added >= PACED * middle or needed > free
    # Hosts that pace may be any that keep ahead.
    least = alone.low if paced else middle - math.hypot(fewer, added, share * middle)
    adds = (ALONE_ADDS if ranks == 1 and not paced else ADDS) * added
    most = middle + math.hypot(more, waiting, adds, share * middle)
    most = max(most, varies(eager=eager) * needed, float(found.asked.median), alone.high)
    return Bar(alone, Ends(middle, max(0.0, min(least, middle)), most), paced)


def varies(*, eager: bool) -> float:
    """How many times as much hosts may need in another capture."""
    return EAGER_VARIES if eager else VARIES
