"""Whether a replay can be believed: where not, nothing may print what it says would be saved."""

from __future__ import annotations

from nsysan.replay.results import MAX_ERROR, MAX_UNSPLIT, Pace
from nsysan.run.all_decode import longest
from nsysan.run.run import Run
from nsysan.text import pct, pct_limit

#: No step is shorter than this share of what a GPU computes in it: else the replay lacks an order of streams.
_POSSIBLE = 0.95
LOST_ORDER = (
    "the replay finds no order between streams of a step, of which it would then be shorter than what a GPU computes"
)


def why_untold(run: Run, pace: Pace) -> str:
    """Why nothing that rests on waiting, or on any change, can be told of a replica; "" where it can."""
    if not pace.exact:
        return "the replay of the steps as they were does not give the times that were measured"
    if pace.unsplit > MAX_UNSPLIT or not pace.scenarios:
        return (
            f"{pct(pace.unsplit)} of the step is communication whose waiting cannot be told from its transfer, behind "
            f"which a late rank may hide"
        )
    if pace.error > MAX_ERROR:
        return (
            f"a replay of the steps misses their period by {pct(pace.error)}, so that something paces them which is "
            f"not in the trace; savings are told up to {pct_limit(MAX_ERROR)}"
        )
    return LOST_ORDER if _lacks_an_order(run, pace) else ""


def _lacks_an_order(run: Run, pace: Pace) -> bool:
    free = pace.scenarios.get("host_free")
    return free is not None and free.median < _POSSIBLE * longest(run, "compute_ns")
