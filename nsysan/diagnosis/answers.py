"""What a diagnosis says in sentences, the same in every output: who is late, and what could be saved."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.diagnosis.latecomers import by_host, why_late
from nsysan.metrics.causes import GapCause
from nsysan.metrics.scenarios import NO_BUBBLE, SCENARIOS, Scenario, losses
from nsysan.metrics.skew import Straggler
from nsysan.metrics.whatif import WhatIf
from nsysan.text import ms

#: Less than this share of the period goes without saying.
NOTABLE = 0.01


def late_sentence(diagnosis: Diagnosis, quality: Sequence[Quality], period: int | None, steady: Sequence[int]) -> str:
    """Who is late, by how much, and why; or why nobody is named. period: of the headline, ns; steady: steps."""
    late = diagnosis.straggler
    if late is None:
        found = next(q for q in quality if q.id == Aspect.STRAGGLER)
        if found.status != Status.OK:
            return f"cannot be told: {found.reason}"
        return f"nobody: {found.reason}{_nearest(diagnosis.caused, period, steady)}"
    parts = sorted(late.parts.items(), key=lambda part: -abs(part[1]))
    shown = ", ".join(f"{name} {ns / 1e3:+,.0f} us" for name, ns in parts if abs(ns) >= 1_000) or "no part stands out"
    hotspot = diagnosis.hotspot
    where = f", {hotspot.where()}" if hotspot else ""
    which = f"; kernel {hotspot.which()}" if hotspot and hotspot.kernel else ""
    return (
        f"rank {late.rank} arrives last and costs the others {ms(late.caused)} a step ({late.share:.0%}){where}; "
        f"cause {late.cause or 'cannot be told'} ({why_late(late)}{_idles(late)}; against the median rank: "
        f"{shown}{which})"
    )


def _idles(late: Straggler) -> str:
    """Which idle time grew on a rank whose host is late."""
    match next(iter(late.idle), None) if by_host(late) else None:
        case GapCause.BETWEEN_STEPS:
            return ", between the steps"
        case GapCause.SYNC:
            return ", after waiting for the GPU"
        case _:
            return ""


def _nearest(caused: pl.DataFrame, period: int | None, steady: Sequence[int]) -> str:
    """Of a run without a late rank: the rank that comes nearest to being one, if any stands out; else ""."""
    caused = caused.filter(pl.col("step").is_in(list(steady)))
    if not period or caused.is_empty():
        return ""
    costs = caused.group_by("rank").agg(pl.median("ns")).sort(["ns", "rank"], descending=[True, False])
    rank, ns = costs.row(0)
    second = float(costs["ns"][1]) if len(costs) > 1 else 0.0
    if ns < NOTABLE * period or ns < 2 * second:
        return ""
    return f"; rank {rank} comes nearest, with {ms(ns)} a step ({ns / period:.1%})"


def savings_sentence(what: WhatIf | None, quality: Sequence[Quality]) -> str:
    """What a step takes, and would take without each loss."""
    if what is None:
        return "no steady decode step"
    if not what.told:
        return f"{ms(what.period)} a step now; what could be saved cannot be told from this trace"
    told = [
        f"{SCENARIOS[scenario].title} {ms(ns)} ({(ns - what.period) / 1e3:+,.0f} us)"
        for scenario, ns in what.without.items()
        if ns is not None and scenario != Scenario.NO_BUBBLE and what.period - ns >= NOTABLE * what.period
    ]
    host_told = Scenario.NO_HOST_LATE in what.told
    bound = host_told and any(q.id == Aspect.WHAT_IF and q.status != Status.OK for q in quality)
    listed = ", ".join(told) if told else f"less than {NOTABLE:.0%} to gain from {losses(what.told)}"
    if not host_told:
        listed += f"; what {SCENARIOS[Scenario.NO_HOST_LATE].loss} cost cannot be told"
    if what.no_bubble is not None:
        listed += f"; {NO_BUBBLE} {ms(what.no_bubble)} at best, with more batches in flight"
    return f"{ms(what.period)} a step now; {listed}" + (" (upper bounds: the profiler slows the host)" if bound else "")
