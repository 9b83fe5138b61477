"""What a workload would take at other TP degrees, from runs at two degrees or more, or at one by a model.

DEFINITIONS.md, section 11a.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nsysan.compare.calls_to_come import calls_to_come
from nsysan.compare.comparison import ComparedRun
from nsysan.compare.predicted_at import predicted_at
from nsysan.compare.prediction import Prediction
from nsysan.compare.sample import Sample
from nsysan.compare.scaling import why_no_degrees
from nsysan.compare.split import fitted
from nsysan.compare.split_of_model import split_of_model
from nsysan.metrics.causes import GapCause
from nsysan.metrics.lines import LINES, Line
from nsysan.text import counted, plain, size

_By = Mapping[int, Sample]


def predictions(sides: Sequence[ComparedRun], refused: Mapping[str, str], asked: Sequence[int]) -> list[Prediction]:
    """One for each number of ranks that is asked for, in ascending order."""
    by_ranks: dict[int, ComparedRun] = {}
    for side in sides:
        by_ranks.setdefault(side.ranks, side)
    why = why_not(sides, refused) or _why_untold(list(by_ranks.values()))
    batch = sides[0].batch
    if why:
        return [Prediction(n, batch, reason=why) for n in sorted(set(asked))]
    known = {n: sample for n, side in by_ranks.items() if (sample := sample_of(side)) is not None}
    return [_predicted(known, by_ranks, n, batch) for n in sorted(set(asked))]


def sample_of(side: ComparedRun) -> Sample | None:
    """What a prediction knows of a side; None where nothing was kept for one."""
    if side.work_of_step is None:
        return None
    pace = side.report.diagnosis.pace
    return Sample(
        label=side.label,
        ranks=side.ranks,
        batch=side.batch,
        period=side.period,
        mean=side.mean,
        ledger={line: side.value(f"ledger.{line}") or 0.0 for line in LINES},
        late=sum(side.value(f"idle.{cause}") or 0.0 for cause in (GapCause.HOST_LATE, GapCause.BETWEEN_STEPS)),
        calls=side.calls,
        link=side.report.link,
        error=0.0 if pace is None else pace.error,
        work=side.work_of_step,
    )


def why_not(sides: Sequence[ComparedRun], refused: Mapping[str, str]) -> str | None:
    """What keeps sides from being one workload on one machine at several degrees; None where nothing does."""
    if refused:
        return "; ".join(f"{label} is refused: {why}" for label, why in refused.items())
    if why := why_no_degrees(sides):
        return why
    told = {
        "batch": [str(side.batch) for side in sides],
        "kind of step": [side.population.kind for side in sides],
        "work in a step": [counted(side.units, "unit") for side in sides],
    }
    for what, values in told.items():
        if len(set(values)) > 1:
            listed = ", ".join(f"{side.label} {plain(value, 60)}" for side, value in zip(sides, values, strict=True))
            return f"not the same {what}: {listed}"
    if len({side.ranks for side in sides}) < 2 and sides[0].by_model is None:
        return (
            f"all sides are of TP={sides[0].ranks}: how compute divides over ranks shows at two degrees; give a "
            f"capture of the same model and batch at another one, or --model, by which one is enough"
        )
    return _other_sizes(sides) or _other_links(sides)


def _other_links(sides: Sequence[ComparedRun]) -> str | None:
    told = {side.label: kind.words for side in sides if (kind := side.report.link.looks_like) is not None}
    listed = ", ".join(f"{label} over {link}" for label, link in told.items())
    return f"by the speed of the collectives not the same link: {listed}" if len(set(told.values())) > 1 else None


def _other_sizes(sides: Sequence[ComparedRun]) -> str | None:
    """All-reduces of sides that share no size, where all sizes are known."""
    sizes = {
        side.label: set(side.calls.filter(kind="all_reduce")["message_bytes"].to_list())
        for side in sides
        if side.ranks > 1
    }
    known = [own for own in sizes.values() if own and None not in own]
    if len(known) < len(sizes) or not known or set.intersection(*known):
        return None
    told = "; ".join(f"{label} {', '.join(size(n) for n in sorted(own)[:4])}" for label, own in sizes.items())
    return f"all-reduces of no common size, so another batch or another model: {told}"


def _why_untold(sides: Sequence[ComparedRun]) -> str | None:
    for side in sides:
        replica = side.report.replicas[side.report.replica]
        if replica.layout.is_pipeline:
            return f"{side.label} is a pipeline of {len(replica.layout.stages)} stages: how it would be cut is not told"
        if side.value(f"ledger.{Line.COMPUTE}") is None:
            return f"compute is not measured in {side.label}: {side.why_null('ledger.compute')}"
        if side.ranks > 1 and side.calls["wire"].drop_nulls().is_empty():
            return f"no call of communication is measured in {side.label}: {side.why_null('collective.wire')}"
        if side.work_of_step is None or side.work_of_step.total <= 0:
            return f"no compute kernel that takes time shows in {side.label}"
        if side.work_of_step.several:
            return f"{side.label} communicates over groups of several sizes: which of them would grow is not told"
    return None


def _predicted(by_ranks: _By, sides: Mapping[int, ComparedRun], ranks: int, batch: int) -> Prediction:
    others = {n: side for n, side in by_ranks.items() if n != ranks}
    measured = by_ranks[ranks].period if ranks in by_ranks else None
    if not others:
        return Prediction(ranks, batch, measured=measured, reason=f"{sides[ranks].label} is of TP={ranks} itself")
    if len(others) < 2:
        (one,) = others
        if sides[one].by_model is not None:
            return replace(_by_model(others[one], sides[one], ranks), measured=measured)
        reason = (
            f"{sides[ranks].label} is of TP={ranks}, and without it one degree is left; --model tells how it divides"
        )
        return Prediction(ranks, batch, measured=measured, reason=reason)
    found = _from(others, ranks)
    if found.period is None or found.low is None or found.high is None:
        return replace(found, measured=measured)
    missed = _missed(others)
    wide = _tested(missed, others, ranks) * found.period
    return replace(
        found,
        low=max(0, min(found.low, math.floor(found.period - wide))),
        high=max(found.high, math.ceil(found.period + wide)),
        missed=missed,
        measured=measured,
    )


def _by_model(base: Sample, side: ComparedRun, ranks: int) -> Prediction:
    """From one side alone, whose model is stated."""
    own = side.by_model
    if own is None or isinstance(own, str):
        return Prediction(ranks, base.batch, reason=f"{side.label}: {own}")
    calls = calls_to_come(own, base.link, ranks) if base.ranks == 1 else None
    if isinstance(calls, str):
        return Prediction(ranks, base.batch, reason=f"{side.label}: {calls}")
    found = predicted_at(base, split_of_model(base.work, own, ranks), [base], ranks, calls)
    return replace(found, model=own.shape.source)


def _from(by_ranks: _By, ranks: int) -> Prediction:
    """From these sides alone."""
    communicating = [n for n in by_ranks if n > 1]
    degree = min(communicating, key=lambda n: (abs(math.log2(n / ranks)), -n))
    split = fitted([(n, sample.work) for n, sample in by_ranks.items()], degree)
    return predicted_at(by_ranks[degree], split, list(by_ranks.values()), ranks)


def _missed(by_ranks: _By) -> dict[int, float]:
    """Of each side by what share a prediction from the others misses it; only of three degrees or more."""
    found = {}
    for ranks, side in by_ranks.items():
        others = {n: other for n, other in by_ranks.items() if n != ranks}
        if len(others) < 2 or max(others) == 1:
            continue
        period = _from(others, ranks).period
        if period is not None:
            found[ranks] = period / side.period - 1
    return found


def _tested(missed: Mapping[int, float], by_ranks: _By, ranks: int) -> float:
    """By what share a prediction may miss, from how it missed what was left out; it grows with the distance."""
    if not missed:
        return 0.0
    ends = [max(by_ranks)] if ranks > max(by_ranks) else [min(by_ranks)] if ranks < min(by_ranks) else list(by_ranks)
    own = [abs(missed[n]) for n in ends if n in missed] or [abs(one) for one in missed.values()]
    nearest = min(abs(math.log2(ranks / n)) for n in by_ranks)
    return max(own) * max(1.0, nearest)
