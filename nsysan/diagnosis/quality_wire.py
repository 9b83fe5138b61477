"""How far the speeds, the link and the sampled counters of the GPUs can be trusted."""

from __future__ import annotations

import polars as pl

from nsysan.diagnosis.collectives import CollectiveFamily
from nsysan.diagnosis.evidence import Aspect, Quality, Status
from nsysan.metrics.counters import Counter
from nsysan.metrics.link import NOTHING_TELLS, Link
from nsysan.run.run import Run
from nsysan.text import counted, numbered


def assess_counters(run: Run, counters: list[Counter]) -> Quality:
    """How far the sampled GPU counters can be trusted, where some were captured."""
    without = sorted({rank.rank for rank in run.ranks} - {counter.rank for counter in counters})
    which = f"{'GPU' if len(without) == 1 else 'GPUs'} of {numbered('rank', without)}"
    missing = f"no sample of a known counter on the {which} within the steps" if without else ""
    if not counters:
        return Quality(Aspect.COUNTERS, Status.NOT_MEASURABLE, missing)
    # The first of each counter's reasons will do: one sampling misses the collectives of every rank.
    by_metric = {counter.metric: counter.reason for counter in reversed(counters) if counter.reason}
    reasons = list(dict.fromkeys(by_metric.values()))
    interval = max(counter.interval for counter in counters)
    lacking = [*reasons, *([missing] if missing else [])]
    shown = "; ".join([*lacking, *_stepless(counters)])
    status = Status.ESTIMATED if lacking else Status.OK
    if all(counter.steps.mean is None for counter in counters):
        status = Status.NOT_MEASURABLE
    return Quality(
        Aspect.COUNTERS,
        status,
        f"one sample each {interval / 1e3:,.1f} µs{f'; {shown}' if shown else ''}; nsys keeps whole numbers, so 1 % "
        f"may be much less",
    )


def _stepless(counters: list[Counter]) -> list[str]:
    """How many steps lack a figure that the steps together have."""
    steps = pl.concat(counter.per_step for counter in counters).filter("steady")
    most = steps.group_by("step", "rank").agg(pl.max("samples", "in_collectives_samples", "outside_samples"))
    wanted = (
        ("", "samples", any(c.steps.mean is not None for c in counters)),
        (" in their collectives", "in_collectives_samples", any(c.in_collectives.mean is not None for c in counters)),
        (" outside them", "outside_samples", any(c.outside.mean is not None for c in counters)),
    )
    lacking = [(where, int((most[name] == 0).sum())) for where, name, told in wanted if told]
    few = [f"{n} without a sample{where}" for where, n in lacking if n]
    return [f"of {counted(len(most), 'step')} of one rank each, {', '.join(few)}"] if few else []


def assess_wire(families: list[CollectiveFamily], link: Link) -> list[Quality]:
    """How far speeds, and what link they show, can be trusted; nothing where no collective is seen."""
    if not families:
        return []
    unknown = sum(f.busbw is None for f in families)
    why = "size or kind is unknown, ranks are missing, nothing matched, or the kernel computes too"
    speeds = Quality(
        Aspect.WIRE_SPEED, Status.OK, "algbw and busbw from the wire's median, by the formulas of nccl-tests"
    )
    if unknown:
        status = Status.NOT_MEASURABLE if unknown == len(families) else Status.ESTIMATED
        which = "any family" if unknown == len(families) else f"{unknown} of {len(families)} families"
        speeds = Quality(Aspect.WIRE_SPEED, status, f"no algbw and busbw for {which}: {why}")
    if link.peak_gbps is None:
        return [speeds, Quality(Aspect.LINK, Status.NOT_MEASURABLE, f"{link.sentence}; give its peak with --link-gbps")]
    if link.looks_like is None and link.across > 1:
        return [speeds, Quality(Aspect.LINK, Status.ESTIMATED, link.sentence)]
    if link.looks_like is None:
        why = "; ".join(link.evidence) or NOTHING_TELLS
        return [speeds, Quality(Aspect.LINK, Status.ESTIMATED, f"the link is told by the GPU's model alone: {why}")]
    sure = link.told and link.against is None
    return [
        speeds,
        Quality(Aspect.LINK, Status.OK if sure or not (link.wrong or link.told) else Status.ESTIMATED, link.sentence),
    ]
