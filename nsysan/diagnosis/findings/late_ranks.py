"""Ranks that differ: one that comes late, and those with more to compute."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from nsysan.diagnosis.findings.case import HOST_FIX, Case, Finder
from nsysan.diagnosis.findings.finding import Figures, Finding, by_share, severity_limits
from nsysan.diagnosis.findings.kinds import FindingId, SharedFinding
from nsysan.diagnosis.latecomers import by_host, why_late
from nsysan.metrics.causes import LateCause
from nsysan.metrics.scenarios import Scenario
from nsysan.text import counted, ms

#: GPUs of one model differ by 1 to 2 % in speed; an uneven split of heads gives more.
UNEVEN_RATIO = 1.03
#: The split is the same in every step; clocks and neighbours are not.
UNEVEN_SPREAD = 0.02


class LateRankFinding(FindingId):
    """How ranks may differ."""

    STRAGGLER = "straggler"
    UNEVEN_SPLIT = "uneven_split"


_COMPUTE_FIX = (
    "compare that GPU with its peers: clocks and throttling (nvidia-smi -q -d CLOCK,PERFORMANCE,POWER), other "
    "processes on it, and kernels that only this rank runs (sampling, logits, experts, a LoRA); spread or move them"
)
_LINK_FIX = "look at that GPU's links (nvidia-smi nvlink -s and -e, nvidia-smi topo -m) and at what else uses them"
_UNKNOWN_FIX = "capture its launch calls (--trace=cuda,nvtx), with a newer nsys and driver: is its host late?"
#: What to do of a late rank whose host is not to blame.
_STRAGGLER_FIX = {
    LateCause.PREVIOUS: _LINK_FIX,
    LateCause.COMPUTE: _COMPUTE_FIX,
    LateCause.HOST: (
        "look at what that rank waits for between its kernels: its clocks, other work on its streams, its graph"
    ),
    LateCause.COPY: "take the copies off the step: pinned memory, a stream of their own, or once for several steps",
    LateCause.COMMUNICATION: _LINK_FIX,
    LateCause.GRAPH: _COMPUTE_FIX,
}


def late_rank(case: Case) -> Iterator[Finding]:
    """The straggler, if there is one."""
    late = case.diagnosis.straggler
    if late is None:
        return
    saving = case.saving(Scenario.NO_SKEW)
    parts = ", ".join(f"{name} {ns / 1e3:+,.0f} us" for name, ns in late.parts.items() if abs(ns) >= 1_000)
    figures: Figures = {"caused_ns": late.caused, "share": late.share, "cause": late.cause}
    where = case.diagnosis.hotspot
    told = ""
    if where is not None:
        figures |= where.figures()
        told = "".join(f"; {sentence}" for sentence in where.sentences())
    host = by_host(late)
    yield Finding(
        SharedFinding.LATE_HOST if host else LateRankFinding.STRAGGLER,
        by_share(saving or late.caused, case.period),
        f"rank {late.rank} arrives last: {why_late(late)}",
        f"it costs the others {ms(late.caused)} a step of {ms(case.period)} ({late.share:.0%}); against the median "
        f"rank {parts or 'no part stands out'}{told}",
        HOST_FIX if host else _UNKNOWN_FIX if late.cause is None else _STRAGGLER_FIX[late.cause],
        saving,
        [late.rank],
        figures=figures,
        thresholds=severity_limits(),
    )


def uneven_split(case: Case) -> Iterator[Finding]:
    """Ranks that run the same kernels and need longer by the same ratio in every step."""
    steady = case.steady.filter(pl.col("compute_ns") > 0)
    counts = case.run.tally.by_step.filter(pl.col("step").is_in(case.run.steady_steps) & (pl.col("compute") > 0))
    same = counts.group_by("step").agg(pl.n_unique("compute"))["compute"]
    if steady["rank"].n_unique() < 2 or steady["step"].n_unique() < 2 or same.is_empty() or (same != 1).any():
        return
    ratios = steady.with_columns(ratio=pl.col("compute_ns") / pl.min("compute_ns").over("step"))
    per_rank = ratios.group_by("rank").agg(
        least=pl.min("ratio"), most=pl.max("ratio"), ratio=pl.median("ratio"), ns=pl.median("compute_ns")
    )
    heavy = per_rank.filter(
        (pl.col("least") >= UNEVEN_RATIO) & (pl.col("most") - pl.col("least") <= UNEVEN_SPREAD * pl.col("ratio"))
    ).sort("rank")
    if heavy.is_empty():
        return
    ratio, ranks = float(heavy["ratio"].max()), heavy["rank"].to_list()  # type: ignore[arg-type]
    lost = round(float(heavy["ns"].max()) - float(per_rank["ns"].median()))  # type: ignore[arg-type]
    yield Finding(
        LateRankFinding.UNEVEN_SPLIT,
        by_share(lost, case.period),
        f"compute is uneven: {'rank' if len(ranks) == 1 else 'ranks'} {', '.join(map(str, ranks))} need "
        f"{ratio - 1:.1%} more for the same kernels in every step",
        f"all ranks run equally many compute kernels, and the ratio to the fastest rank stays within "
        f"{UNEVEN_SPREAD:.0%} over {counted(steady['step'].n_unique(), 'step')}",
        "choose a TP size that divides attention heads, KV heads and MLP columns, or pad them; if all kernels of the "
        "rank are slower alike, it is that GPU's clock",
        case.saving(Scenario.NO_SKEW),
        ranks,
        figures={"ratio": ratio, "more_ns": lost},
        thresholds={"ratio": UNEVEN_RATIO, "spread": UNEVEN_SPREAD, **severity_limits()},
    )


FINDERS = (
    Finder(late_rank, (LateRankFinding.STRAGGLER, SharedFinding.LATE_HOST)),
    Finder(uneven_split, (LateRankFinding.UNEVEN_SPLIT,)),
)
