"""How far the ranks can be trusted: their numbers, those that are missing, their groups, their clocks."""

from __future__ import annotations

from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.diagnosis.lost_ranks import CURE, lost_workers
from nsysan.model.ranks import BY_ORDER
from nsysan.run.all_decode import usual_period
from nsysan.run.groups import GroupSource
from nsysan.run.run import Run
from nsysan.text import numbered, pct
from nsysan.trace.globals import pid_of

#: Clocks of reports that wander by a larger share of a step make waits, and who is late, of themselves.
MAX_RESIDUAL = 0.02


def assess_ranks(run: Run) -> list[Quality]:
    """Quality rows of who the ranks are and how they came onto one clock."""
    rows = [_numbers(run), _missing(run), _groups(run), _clock(run), _rank_clocks(run)]
    return [row for row in rows if row is not None]


def _numbers(run: Run) -> Quality:
    source = run.ranks[0].source
    left_out = "".join(
        f"; pid {pid_of(process)} on device {device} has no step and is left out" for process, device in run.bystanders
    )
    return Quality(
        Aspect.RANK_NUMBERS,
        Status.ESTIMATED if source == BY_ORDER and len(run.ranks) > 1 else Status.OK,
        f"numbered by {source}{left_out}",
    )


def _missing(run: Run) -> Quality | None:
    if not run.missing_ranks or run.size is None:
        return None
    which = f"{numbered('rank', run.missing_ranks)} {'is' if len(run.missing_ranks) == 1 else 'are'}"
    missing = f"{which} not in the trace, of {run.size}"
    lost = lost_workers(run)
    if lost is not None:
        missing += f" ({lost}: {CURE})"
    if not run.missing_peers:
        return Quality(Aspect.MISSING_RANKS, Status.OK, f"{missing}; no call of those that are here waits for them")
    return Quality(
        Aspect.MISSING_RANKS,
        Status.NOT_MEASURABLE,
        f"{missing}; one of them may be the last to arrive: waiting and transfer cannot be told apart in their calls",
    )


def _groups(run: Run) -> Quality | None:
    """Who communicates with whom; nothing where the trace tells it."""
    called = set(run.collectives["group"].unique())
    inferred = [group.id for group in run.groups if group.id in called and group.source is GroupSource.INFERRED]
    if not inferred or len(run.ranks) == 1:
        return None
    which = " and ".join(inferred[:4]) + (" ..." if len(inferred) > 4 else "")
    whole = len(inferred) == 1 and inferred[0] == ",".join(str(rank.rank) for rank in run.ranks)
    who = "that all ranks communicate with each other" if whole else f"which ranks communicate ({which})"
    return Quality(
        Aspect.GROUPS,
        Status.ESTIMATED,
        f"{who} is inferred from when their calls end, as no communicator of theirs is named",
    )


def _rank_clocks(run: Run) -> Quality | None:
    """Ranks whose calls always end sooner or later than those of the ranks beside them; nothing where none does."""
    own = {rank.rank for rank in run.ranks}
    clocks = run.rank_clocks
    shown = {rank: ns for rank, ns in clocks.taken_out.items() if rank not in clocks.refuted}
    refuted = {rank: clocks.taken_out[rank] for rank in sorted(clocks.refuted)}
    taken_out, impossible, left = (
        ", ".join(f"rank {rank} {ns / 1e3:+,.1f} µs" for rank, ns in found.items() if rank in own)
        for found in (shown, refuted, clocks.left)
    )
    if not taken_out and not impossible and not left:
        return None
    told = []
    if taken_out:
        told.append(f"taken out, as launches show the same: the GPU's clock is off ({taken_out})")
    if impossible:
        told.append(
            f"taken out, as calls would end on one rank before they begin on another: the GPU's clock is off "
            f"({impossible}), by which waiting may be wrong by less than a call's shortest time"
        )
    if left:
        told.append(
            f"left in, as launches do not show it: ends of calls that are always apart ({left}), by which the waiting "
            f"of that rank may be wrong; ranks of a tree leave one after another"
        )
    return Quality(Aspect.RANK_CLOCKS, Status.ESTIMATED, "; ".join(told))


def _clock(run: Run) -> Quality | None:
    clock = run.clock
    if clock is None:
        return None
    offsets = ", ".join(f"{offset / 1e3:+,.1f}" for offset in clock.offsets)
    if not clock.refined:
        return Quality(
            Aspect.CLOCK, Status.ESTIMATED, f"{len(run.metadata)} traces aligned by UTC only: {clock.reason}"
        )
    drifts = [f"{drift * 1e6:+.2f}" for drift in clock.drifts]
    drifting = f", µs a second for drift: {', '.join(drifts)}" if any(clock.drifts) else ""
    told = f"{len(run.metadata)} traces on one clock by UTC and the collectives' ends (µs added: {offsets}{drifting})"
    if clock.residual_p50 is None or clock.residual_p95 is None:
        few = "there are no more collectives than that takes, so nothing tells the error of a wait"
        return Quality(Aspect.CLOCK, Status.ESTIMATED, f"{told}; {few}")
    residual = f"p50 {clock.residual_p50 / 1e3:.2f} µs, p95 {clock.residual_p95 / 1e3:.2f} µs"
    error = f"residual {residual}, which is the error of any wait"
    period = usual_period(run)
    if period and clock.residual_p95 > MAX_RESIDUAL * period:
        limits = f"clocks of reports wander by up to {pct(clock.residual_p95 / period)} of a step, as do waits"
        return Quality(Aspect.CLOCK, Status.ESTIMATED, f"{told}; {error}", limits)
    return Quality(Aspect.CLOCK, Status.OK, f"{told}; {error}")
