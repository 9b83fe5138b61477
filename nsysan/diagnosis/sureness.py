"""How far a verdict can be relied on, and why (DEFINITIONS.md, section 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.doubts import UNMEASURED, Doubt
from nsysan.diagnosis.evidence import UNDER_THE_VERDICT, Aspect, Quality, Status
from nsysan.diagnosis.late_words import outermost
from nsysan.diagnosis.lookalikes import unknown_share
from nsysan.diagnosis.os_told import os_traced, pacing_host, waits_untold
from nsysan.diagnosis.quality_pace import hidden_share
from nsysan.diagnosis.savings import SURE_ERROR, slowed_by_nsys
from nsysan.diagnosis.scope import cover_words
from nsysan.diagnosis.verdict import DOMINANT, OF_PATH, PIPELINE, SKEW, Sure, Verdict, VerdictKind
from nsysan.metrics.causes import LateCause
from nsysan.metrics.coverage import HALF
from nsysan.metrics.scenarios import Scenario
from nsysan.metrics.whatif import WhatIf
from nsysan.model.matches import Match
from nsysan.replay.results import MAX_UNSPLIT, HostTime
from nsysan.run.run import Run
from nsysan.text import pct, pct_limit

#: With less of the capture in steady steps than this nothing is sure.
_QUARTER = 0.25
#: More of the calls have to be matched.
_MATCHED = 0.98
#: Launches were measured to take three times as long when each is traced; a verdict should bear that.
_INFLATION = 3.0
#: Steps that replay graphs were measured to take up to a third longer under nsys on servers, whose hosts pace them.
_OF_REPLAYS = 1.35
#: A share this near to its threshold may lie on either side of it.
_NEAR = 0.01
_WHO = "whether a rank is late cannot be told"
_INFERRED = "the critical path goes from stream to stream by an order that is inferred from when work starts"
#: Told by figures below, or by what the profiler may weigh.
_TOLD_OTHERWISE = frozenset({Aspect.COVERAGE, Aspect.HOST_TIME})


def weighed(run: Run, diagnosis: Diagnosis, rows: Sequence[Quality]) -> Verdict:
    """The verdict with how sure it is; rows: the evidence, of which some lies under it."""
    verdict = diagnosis.verdict
    if verdict.kind == VerdictKind.INCONCLUSIVE:
        return replace(verdict, sure=Sure.LOW, because=("nothing is concluded; the verdict says what is missing",))
    low: list[str] = []
    medium: list[str] = []
    covered = diagnosis.coverage
    least = min(covered.span, covered.busy) if covered is not None else 0.0
    if least < HALF:
        (low if least < _QUARTER else medium).append(f"{verdict.part}, and may not be typical of the rest")
    matched = _matched(run)
    if matched is not None and matched <= _MATCHED:
        medium.append(f"{pct(matched)} of the collectives matched across the ranks")
    error = 0.0 if diagnosis.what_if is None else diagnosis.what_if.error or 0.0
    if error > SURE_ERROR:
        medium.append(_missed(error))
    if diagnosis.pace is not None and diagnosis.pace.inferred:
        medium.append(_INFERRED)
    if (share := unknown_share(run.tally)) > MAX_UNSPLIT:
        (low if share > SKEW else medium).append(
            f"{pct(share)} of the kernels' time is in kernels that are named like collectives and counted as compute, "
            f"behind which a late rank or the wire may hide"
        )
    profiled = _profiled(run, diagnosis)
    host = pacing_host(diagnosis.pace, diagnosis.path)
    unseen = None
    if verdict.kind == VerdictKind.HOST and not (profiled and run.is_eager and host is None):
        unseen = _unseen(run, diagnosis, host)
    if unseen:
        why, turns, _ = unseen
        (low if turns else medium).append(why)
    if profiled:
        why, turns = profiled
        (low if turns else medium).append(why)
    hidden = hidden_share(diagnosis.what_if)
    if hidden > SKEW and verdict.kind not in (VerdictKind.SKEW, VerdictKind.HOST):
        low.append(f"up to {pct(hidden)} of the step may be for a late rank that does not show")
    if near := _near(verdict, max(error, _NEAR)):
        medium.append(near)
    # What more steps, or another capture, would not help.
    medium += _estimated(run, diagnosis.what_if, rows, late=bool(diagnosis.late))
    if low or medium:
        turns = profiled is not None and profiled[1]
        few = covered is not None and covered.busy < _QUARTER
        doubts = (
            (Doubt.FEW, few),
            (Doubt.COVERAGE, least < _QUARTER),
            (Doubt.PROFILER, turns),
            (unseen[2] if unseen else None, unseen is not None),
            (Doubt.TRACING, profiled is not None and not low),
            (Doubt.EVENTS, bool(run.lost_events) and profiled is None and not low),
        )
        doubted = next((doubt for doubt, holds in doubts if holds), None)
        return replace(verdict, sure=Sure.LOW if low else Sure.MEDIUM, because=(*low, *medium), doubted=doubted)
    good = (
        "" if covered is None else cover_words(covered, summed=bool(diagnosis.summed)),
        "" if matched is None else f"{pct(matched)} of the collectives match",
        _missed(error),
    )
    return replace(verdict, sure=Sure.HIGH, because=(", ".join(filter(None, good)),))


def _missed(error: float) -> str:
    return f"a replay of the steps misses their period by {pct(error)}"


def _estimated(run: Run, what: WhatIf | None, rows: Sequence[Quality], *, late: bool) -> list[str]:
    """What the verdict rests on and is not measured, each root once."""
    weak = [row for row in rows if row.status != Status.OK and row.id in UNDER_THE_VERDICT]
    roots = {row.id for row in weak}
    if slowed_by_nsys(run, what):
        roots.add(Aspect.HOST_TIME)
    own = [row for row in weak if not any(f"see {root}" in row.reason for root in roots)]
    told = [row for row in own if row.id not in _TOLD_OTHERWISE]
    # Calls that end together hardly mislead.
    told.sort(key=lambda row: row.id == Aspect.GROUPS)
    # Where nobody is named, the sentence on late ranks has the reason.
    return [_WHO if row.id == Aspect.STRAGGLER and not late else row.limits or row.reason for row in told]


def _matched(run: Run) -> float | None:
    """Share of the collectives of the steady steps; None where there are none."""
    calls = run.collectives.select("step", "verdict").filter(pl.col("step").is_in(run.steady_steps))
    return None if calls.is_empty() else float((calls["verdict"] == Match.MATCHED).mean() or 0.0)  # type: ignore[arg-type]


def _profiled(run: Run, diagnosis: Diagnosis) -> tuple[str, bool] | None:
    """What the profiler may weigh, and whether that could turn the verdict; None where it is little."""
    what, kind = diagnosis.what_if, diagnosis.verdict.kind
    # Own loops were measured to be slowed by 2 %, engines with threads and processes beside by a third.
    pace = diagnosis.pace
    engine = run.is_eager or (pace is not None and (pace.answered or pace.met))
    late = engine and kind == VerdictKind.SKEW and any(one.cause == LateCause.HOST for one in outermost(diagnosis.late))
    if what is None or not slowed_by_nsys(run, what) or not (kind == VerdictKind.HOST or late):
        return None
    paced = kind == VerdictKind.HOST or run.is_eager
    free = what[Scenario.NO_HOST_LATE if paced else Scenario.NO_SKEW]
    if free is None:
        return UNMEASURED, True
    bears = what.period / free
    if bears < (_INFLATION if run.is_eager else _OF_REPLAYS):
        return f"{UNMEASURED}; without nsys they may not {'set the pace' if paced else 'be late'}", True
    holds = f"the verdict holds unless it slows them {_times(bears)} times or more"
    return f"{UNMEASURED}, so less may be saved; {holds}", False


def _unseen(run: Run, diagnosis: Diagnosis, host: HostTime | None) -> tuple[str, bool, Doubt | None] | None:
    """That a host may be waiting between its calls, whether that could turn the verdict, and which doubt it is; None
    where it works. host: what the one that sets the pace is seen to do.
    """
    what = diagnosis.what_if
    saved = None if what is None else what.saves(Scenario.NO_HOST_LATE)
    if host is not None:
        waits = waits_untold(host)
        return (waits, True, Doubt.WAITS) if waits else None
    unseen = "the trace does not tell if hosts are busy or blocked between their calls"
    doubt = None if os_traced(run, diagnosis.pace) else Doubt.UNSEEN
    if what is None or saved is None or saved >= DOMINANT * what.period:
        return unseen, False, doubt
    shorter = pct(saved / what.period)
    return f"{unseen}; without host time the step would be no more than {shorter} shorter", True, doubt


def _times(ratio: float) -> str:
    """No more than the ratio, nor than ten."""
    return str(min(int(ratio), 10)) if ratio >= _INFLATION else f"{int(10 * ratio) / 10:.1f}"


def _near(verdict: Verdict, margin: float) -> str:
    """That a share is close to the threshold that decided; else ""."""
    shares = verdict.shares
    held = [(VerdictKind.PIPELINE.value, PIPELINE), (VerdictKind.SKEW.value, SKEW)]
    if verdict.kind not in (VerdictKind.PIPELINE, VerdictKind.SKEW):
        first = max(OF_PATH, key=lambda kind: shares.get(kind) or 0.0)
        held.append((first.value, DOMINANT))
    for name, limit in held:
        share = shares.get(name)
        if share is not None and abs(share - limit) < margin:
            return f"{name} is {pct(share)}, close to its threshold of {pct_limit(limit)}"
    return ""
