"""Ranks that differ: those that come late, by themselves, together or in turn, and those with more to compute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

import polars as pl

from nsysan.diagnosis.findings.case import Case, Finder
from nsysan.diagnosis.findings.finding import Figures, Finding, by_share, severity_limits
from nsysan.diagnosis.findings.fixes import Fix
from nsysan.diagnosis.findings.kinds import FindingId, SavingIs, SharedFinding
from nsysan.diagnosis.hotspot import Late
from nsysan.diagnosis.late_words import alone_of, apart, by_host, outermost, ranks_words, weight, why_late
from nsysan.diagnosis.os_told import said_of_host
from nsysan.metrics.causes import LateCause
from nsysan.metrics.scenarios import LATE_SHARE, Scenario
from nsysan.run.batches import batch_by_rank
from nsysan.text import counted, duration, pct, pct_limit, plain, rough, shortened

#: GPUs of one model differ in speed (two H200 by 3.5 %, in the same kernels); an uneven split of heads gives more.
UNEVEN_RATIO = 1.05
#: The split is the same in every step; clocks and neighbours are not.
UNEVEN_SPREAD = 0.02


class LateRankFinding(FindingId):
    """How ranks may differ."""

    STRAGGLER = "straggler"
    ROTATION = "rotation"
    UNEVEN_SPLIT = "uneven_split"


_CLOCK_FIX = "compare the GPU of {} with the others: clocks and throttling (nvidia-smi -q -d CLOCK,PERFORMANCE,POWER)"
_NOT_CLOCK = "other processes on that GPU, or more to compute there (heads, experts, sequences)"
_OWN_WORK_FIX = "take out of the step, or spread over all ranks, what only {} run{}{}"
_NOT_OWN_WORK = "give it less of what all run; sampling, logits, experts or a LoRA are what one rank may have alone"
_SPLIT_FIX = "choose a TP size that divides attention heads, KV heads and MLP columns, or pad them"
_NOT_SPLIT = "if all kernels of the rank are slower alike, it is that GPU's clock"
_KERNEL_FIX = (
    "check whether {0} {1} more work than the others{2}: experts, heads or sequences that are not spread evenly; if "
    "not, compare the clocks of {0} with theirs (nvidia-smi -q -d CLOCK,PERFORMANCE)"
)
_LOAD_FIX = "route requests so that all data-parallel ranks decode as many: {} a step here, {} on the others"
_EVENED = "as the others then compute longer; {} if these decoded as few as the others"
_NOT_LOAD = "if it stays late with as many sequences as the others, it is that GPU"
_NOT_KERNEL = "look at what else uses the memory of that GPU meanwhile"
_TURNS_FIX = "balance what goes from rank to rank step by step: experts first (EPLB, redundant experts)"
_NOT_TURNS = "sequences of a batch, sampling or logging that the ranks take in turn"
_LINK_FIX = "look at the links of {} (nvidia-smi nvlink -s and -e, nvidia-smi topo -m) and at what else uses them"
_UNKNOWN_FIX = "capture the launch calls of {} (--trace=cuda,nvtx), with a newer nsys and driver: is its host late?"
#: What to do of a late rank that does not compute longer.
_FIX = {
    LateCause.HOST: ("look at what {} waits for between kernels: its clocks, other work on its streams, its graph"),
    LateCause.COPY: "take the copies of {} off the step: pinned memory, a stream of their own, once for several steps",
    LateCause.COMMUNICATION: _LINK_FIX,
}


class _Uneven(NamedTuple):
    """Ranks that need longer by the same ratio in every step: the largest ratio, and what the worst needs more, ns."""

    ranks: tuple[int, ...]
    ratio: float
    more: int
    steps: int

    @property
    def evidence(self) -> str:
        return (
            f"all ranks run equally many compute kernels, and the ratio to the fastest rank stays within "
            f"{pct_limit(UNEVEN_SPREAD)} over {counted(self.steps, 'step')}"
        )


class _Load(NamedTuple):
    """Sequences of a step of the late ranks, and of the others, on the average."""

    own: float
    others: float


def late_ranks(case: Case) -> Iterator[Finding]:
    """Each late rank, or those that are late together; and ranks that are late in turn."""
    uneven = _uneven(case)
    for one in outermost(case.diagnosis.late):
        # Whose host is late in an eager run is late for want of graphs: that is the finding.
        if not (by_host(one) and case.wants_graphs):
            yield _late(case, one, uneven)
    if case.diagnosis.rotation:
        yield _turns(case, case.diagnosis.rotation)


def _late(case: Case, one: Late, uneven: _Uneven | None) -> Finding:
    split = uneven if uneven is not None and set(uneven.ranks) <= set(one.ranks) else None
    several, host = len(one.ranks) > 1, by_host(one)
    saves, costs, of, mean = weight(one, case.period)
    share = costs / of
    own = alone_of(case.diagnosis.late, one)
    figures: Figures = {"costs_ns": one.costs, "saves_ns": one.saves, "share": share, "cause": one.cause}
    others = "with all other late ranks put right " if len(outermost(case.diagnosis.late)) > 1 else ""
    told = [
        f"{others}{'they cost' if several else 'it costs'} {duration(costs)} a step of {duration(of)} "
        f"({pct(share)}){' in the mean' if mean else ''}"
    ]
    if saves < costs:
        told.append(f"with these as they are {'they save' if several else 'it saves'} {duration(saves)}")
    if several:
        told.append(apart(case.diagnosis.late, one, case.period))
    else:
        told += _parts(one)
        if one.where is not None:
            figures |= one.where.figures()
            told += one.where.sentences()
        told += said_of_host(case.diagnosis.pace, one.ranks[0]) if host else []
    if split is not None:
        told.append(split.evidence)
        figures |= {"ratio": split.ratio}
    fix = case.host_fix(one) if host else _fix(own, one, split)
    load = _load(case, one)
    moved = not host and one.cause == LateCause.COMPUTE and any(_runs_more(rank) for rank in own)
    shared = moved or fix.first == _SPLIT_FIX or fix.also == _NOT_KERNEL
    saving, saving_is = saves, _is(case, one)
    basis = _spread(saves, one.ranks, case, gone=moved) if shared else ""
    if load is not None:
        fix = Fix(_LOAD_FIX.format(f"{load.own:g}", f"{load.others:.3g}"), _NOT_LOAD)
        figures |= {"sequences": load.own, "sequences_of_others": load.others}
        saving, saving_is, basis = _evened(saves, one.ranks, case), SavingIs.ESTIMATE, _EVENED.format(rough(saves))
    return Finding(
        SharedFinding.LATE_HOST if host else LateRankFinding.STRAGGLER,
        by_share(saves or 1, case.period),
        f"{ranks_words(one.ranks)} {'come' if several else 'comes'} late: {why_late(one)}",
        "; ".join(told),
        fix.first,
        saving,
        list(one.ranks),
        figures=figures,
        thresholds={"straggler_share": LATE_SHARE, **severity_limits()},
        saving_is=saving_is,
        of=of if mean else None,
        also=fix.also,
        basis=basis,
    )


def _load(case: Case, one: Late) -> _Load | None:
    """Of ranks that compute longer: what all of them decode more than all others, where the ranges of each tell."""
    batches = batch_by_rank(case.run) if one.cause == LateCause.COMPUTE else {}
    own = [batch for rank, batch in batches.items() if rank in one.ranks]
    others = [batch for rank, batch in batches.items() if rank not in one.ranks]
    if not own or not others or min(own) <= max(others):
        return None
    return _Load(median(own), sum(others) / len(others))


def _evened(saves: int, ranks: Sequence[int], case: Case) -> int:
    """ns that are saved where what some ranks do more is shared by all."""
    every = len(case.run.ranks)
    return saves * (every - len(ranks)) // every


def _spread(saves: int, ranks: Sequence[int], case: Case, *, gone: bool) -> str:
    """What is saved if the work of some ranks is shared by all, beside what it is without that work (gone), or where
    they take as long as the others.
    """
    them, over = "they take" if len(ranks) > 1 else "it takes", f"over {len(case.run.ranks)} ranks"
    evened = rough(_evened(saves, ranks, case))
    if gone:
        return f"if it is out of the step; spread {over}, about {evened}"
    more = "their work is more" if len(ranks) > 1 else "its work is more"
    return f"if {them} as long as the others then; about {evened} if {more} and is spread {over}"


def _is(case: Case, one: Late) -> SavingIs:
    """What is said of a saving: hosts that pace what is left may need more than shows, or may have been waiting."""
    if case.what is not None and case.what.scheduled:
        return SavingIs.AT_MOST
    if case.what is not None and Scenario.NO_SKEW in case.what.bounds:
        return SavingIs.AT_LEAST
    return case.host_saving_is if by_host(one) else SavingIs.REPLAY


def _parts(one: Late) -> list[str]:
    parts = ", ".join(f"{name} {duration(ns)}" for name, ns in one.parts.items() if ns >= 1_000)
    return [f"of that {parts}, gaps before it included"] if sum(ns >= 1_000 for ns in one.parts.values()) > 1 else []


def _fix(own: list[Late], one: Late, split: _Uneven | None) -> Fix:
    """What fits the evidence: more calls are no matter of clocks."""
    who = ranks_words(one.ranks)
    if one.cause != LateCause.COMPUTE:
        return Fix((_UNKNOWN_FIX if one.cause is None else _FIX[one.cause]).format(who))
    if any(_runs_more(rank) for rank in own):
        mostly = _mostly(own)
        return Fix(_OWN_WORK_FIX.format(who, "" if len(own) > 1 else "s", mostly), _NOT_OWN_WORK)
    if all(rank.where is not None and rank.where.kernel is not None for rank in own):
        return Fix(_KERNEL_FIX.format(who, "have" if len(one.ranks) > 1 else "has", _mostly(own)), _NOT_KERNEL)
    if split is not None:
        return Fix(_SPLIT_FIX, _NOT_SPLIT)
    return Fix(_CLOCK_FIX.format(who), _NOT_CLOCK)


def _runs_more(rank: Late) -> bool:
    """Whether it computes longer by what others do not run."""
    more_calls = rank.where is not None and rank.where.more_calls > 0
    return more_calls or 2 * rank.apart > rank.parts.get(LateCause.COMPUTE, 0)


def _mostly(own: list[Late]) -> str:
    """By name what takes longer."""
    names = dict.fromkeys(plain(shortened(rank.kernels[0][0])) for rank in own if rank.kernels)
    calls = own[0].where.more_calls if len(own) == 1 and own[0].where is not None else 0
    often = f" ({counted(calls, 'call')} a step)" if calls > 0 else ""
    return f", mostly the kernel {', '.join(names)}{often}" if names else ""


def _turns(case: Case, lost: int) -> Finding:
    return Finding(
        LateRankFinding.ROTATION,
        by_share(lost, case.period),
        "another rank is late in each step",
        f"no rank costs {pct_limit(LATE_SHARE)} of the step by itself, and if in every step each took what the "
        f"others take, a step would be {duration(lost)} ({pct(lost / case.period)}) shorter",
        _TURNS_FIX,
        lost,
        figures={"rotation_ns": lost, "share": lost / case.period},
        thresholds={"straggler_share": LATE_SHARE, **severity_limits()},
        also=_NOT_TURNS,
    )


def uneven_split(case: Case) -> Iterator[Finding]:
    """Ranks that run the same kernels and need longer by the same ratio in every step; nothing of late ones."""
    uneven = _uneven(case)
    if uneven is None or any(set(uneven.ranks) <= set(one.ranks) for one in case.diagnosis.late):
        return
    known = [case.period - ns for rank, ns in (case.what.ranks if case.what else {}).items() if rank in uneven.ranks]
    saves = max(known, default=None)
    # What hides behind something else costs nothing.
    if saves == 0:
        return
    several = len(uneven.ranks) > 1
    yield Finding(
        LateRankFinding.UNEVEN_SPLIT,
        by_share(uneven.more if saves is None else saves, case.period),
        f"compute is uneven: {ranks_words(uneven.ranks)} {'need' if several else 'needs'} {pct(uneven.ratio - 1)} more "
        f"for the same kernels in every step",
        uneven.evidence,
        _SPLIT_FIX,
        saves,
        list(uneven.ranks),
        figures={"ratio": uneven.ratio, "more_ns": uneven.more},
        thresholds={"ratio": UNEVEN_RATIO, "spread": UNEVEN_SPREAD, **severity_limits()},
        also=_NOT_SPLIT,
        basis=_spread(saves, uneven.ranks, case, gone=False) if saves is not None else "",
    )


def _uneven(case: Case) -> _Uneven | None:
    steady = case.steady.filter(pl.col("compute_ns") > 0)
    counts = case.run.tally.by_step.filter(pl.col("step").is_in(case.run.steady_steps) & (pl.col("compute") > 0))
    same = counts.group_by("step").agg(pl.n_unique("compute"))["compute"]
    if steady["rank"].n_unique() < 2 or steady["step"].n_unique() < 2 or same.is_empty() or (same != 1).any():
        return None
    ratios = steady.with_columns(ratio=pl.col("compute_ns") / pl.min("compute_ns").over("step"))
    per_rank = ratios.group_by("rank").agg(
        least=pl.min("ratio"), most=pl.max("ratio"), ratio=pl.median("ratio"), ns=pl.median("compute_ns")
    )
    heavy = per_rank.filter(
        (pl.col("least") >= UNEVEN_RATIO) & (pl.col("most") - pl.col("least") <= UNEVEN_SPREAD * pl.col("ratio"))
    ).sort("rank")
    if heavy.is_empty():
        return None
    lost = round(float(heavy["ns"].max()) - float(per_rank["ns"].median()))  # type: ignore[arg-type]
    return _Uneven(tuple(heavy["rank"]), float(heavy["ratio"].max()), lost, steady["step"].n_unique())  # type: ignore[arg-type]


FINDERS = (
    Finder(late_ranks, (LateRankFinding.STRAGGLER, LateRankFinding.ROTATION, SharedFinding.LATE_HOST)),
    Finder(uneven_split, (LateRankFinding.UNEVEN_SPLIT,)),
)
