"""Whether a replay can be believed: where not, nothing may print what it says would be saved."""

from __future__ import annotations

import polars as pl

from nsysan.metrics.causes import GapCause
from nsysan.model.health import NODE_FLAG
from nsysan.replay.results import MAX_ERROR, MAX_UNSPLIT, Pace
from nsysan.run.all_decode import longest
from nsysan.run.run import Run
from nsysan.text import pct, pct_limit

#: No step is shorter than this share of what a GPU computes in it: else the replay lacks an order of streams.
_POSSIBLE = 0.95
LOST_ORDER = (
    "the replay finds no order between streams of a step, of which it would then be shorter than what a GPU computes"
)

#: Of a run most of whose idle time may be for want of a launch record.
NO_HOST = "what late hosts cost cannot be told, nor all savings together"
NOT_SPLIT = "needs steady steps in which waiting and transfer are told apart"
#: With a larger share of the period idle for an unknown cause, what late hosts cost is not known either.
MAX_UNKNOWN = 0.01
_MAYBE_BY_HOST = [GapCause.UNKNOWN.value, GapCause.BETWEEN_STEPS.value]


def why_no_saving(run: Run, pace: Pace | None) -> str:
    """Why no saving of a replica with steady steps can be told; "" where they can."""
    steady = run.ledger.filter("steady")
    if steady["period_ns"].is_null().any() or steady["graph_ns"].sum() > 0:
        return f"what runs inside of replays that are traced as one block is not visible (capture with {NODE_FLAG})"
    if steady["comm_ns"].sum() > 0 and steady["wait_ns"].is_null().all():
        return NOT_SPLIT
    return "needs steady steps that can be replayed" if pace is None else why_untold(run, pace)


def why_no_host_saving(run: Run, pace: Pace, period: int) -> str:
    """Why nothing is told of what hosts cost; "" where it is. period: ns of a step."""
    if not pace.closed:
        return (
            "what late hosts cost cannot be told, nor all savings together: nothing in the trace says which work "
            "of the last stage the first one's host waits for"
        )
    may_be_host = pl.col("host").is_null() & pl.col("cause").is_in(_MAYBE_BY_HOST)
    unknown = run.gaps.filter(may_be_host & pl.col("step").is_in(run.steady_steps))
    per_step = unknown.group_by("step", "rank").agg(pl.sum("ns")).group_by("step").agg(pl.max("ns"))
    every = pl.DataFrame({"step": run.steady_steps}, schema={"step": pl.Int64}).join(per_step, on="step", how="left")
    lost = every["ns"].fill_null(0).median() or 0
    return "" if lost <= MAX_UNKNOWN * period else NO_HOST  # type: ignore[operator]


def why_untold(run: Run, pace: Pace) -> str:
    """Why nothing that rests on waiting, or on any change, can be told of a replica; "" where it can."""
    if not pace.exact:
        return "the replay of the steps as they were does not give the times that were measured"
    if pace.unsplit > MAX_UNSPLIT or not pace.scenarios:
        return (
            f"{pct(pace.unsplit)} of the step is communication whose waiting cannot be told from its transfer, behind "
            f"which a late rank may hide"
        )
    if pace.error > MAX_ERROR and pace.unlike:
        return (
            f"the steps that are replayed take {pct(pace.error)} more or less than those that they stand for; savings "
            f"are told up to {pct_limit(MAX_ERROR)}"
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
