"""How far off an analysis is: what it predicts of a run, held against the same run without the thing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nsysan
from nsysan import NsysanError
from tests.simulator.export import export
from tests.simulator.truth import Period, Scenario, Truth, truths

KEYS = ("period", "no_skew", "floor_wire", "host_free", "graphs", "all", "rank", "costs", "saves")
"""What-ifs; `rank` is of every rank put right alone, costs and saves are of the ranks that are named."""
MISSED_SHARE = 0.05
"""A rank that costs so much has to be named."""
WRONG_SHARE = 0.02
"""One that costs less, in the median and in the mean, must not be; 3 % is what the definitions ask."""


@dataclass(frozen=True)
class Named:
    """A rank that an analysis calls late."""

    costs: float | None = None
    saves: float | None = None
    cause: str | None = None


@dataclass(frozen=True)
class Answer:
    """What an analysis says of a run. ns; periods and bounds by the keys of Truth; what it cannot tell is missing."""

    periods: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    late: Mapping[int, Named] = field(default_factory=dict)


Analysis = Callable[[Path], Answer]


@dataclass(frozen=True)
class Score:
    """Of one run. Errors are shares of its period, negative where the prediction is too short."""

    errors: dict[str, list[float]]
    unanswered: tuple[str, ...]
    missed: tuple[int, ...]
    wrong: tuple[int, ...]
    cause_wrong: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """One run of one replica: what is so, what was said, and how far that is off."""

    seed: int
    name: str
    truth: Truth
    answer: Answer
    score: Score
    trouble: str | None = None


def judge(scenario: Scenario, path: Path, analysis: Analysis | None = None) -> Outcome:
    """The scenario is written to path and analysed from there; by nsysan's report, where no analysis is given."""
    (truth,) = truths(scenario)
    export(scenario, path)
    try:
        answer, trouble = (analysis or by_report)(path), None
    except NsysanError as error:
        answer, trouble = Answer(), str(error)
    return Outcome(scenario.seed, scenario.name, truth, answer, score(truth, answer), trouble)


@dataclass(frozen=True)
class Spread:
    """Of the errors of many runs, without their sign: shares of the period."""

    count: int
    p50: float
    p95: float
    max: float
    far: int
    """So many are over MISSED_SHARE."""


def spread(outcomes: Iterable[Outcome], key: str) -> Spread | None:
    """None: nothing was told. A percentile is an observed value, the nearest from above."""
    errors = sorted(abs(error) for outcome in outcomes for error in outcome.score.errors[key])
    if not errors:
        return None
    p50, p95 = (errors[-(-len(errors) * percent // 100) - 1] for percent in (50, 95))
    return Spread(len(errors), p50, p95, errors[-1], sum(error > MISSED_SHARE for error in errors))


def score(truth: Truth, answer: Answer) -> Score:
    now = truth.periods["period"].median
    errors: dict[str, list[float]] = {key: [] for key in KEYS}
    unanswered = []
    asked = [key for key in KEYS if key in truth.periods] + [f"rank_{rank}" for rank in truth.ranks]
    for key in asked:
        if key in answer.periods:
            errors[key.partition("_")[0] if key.startswith("rank_") else key].append(_error(key, truth, answer))
        else:
            unanswered.append(key)
    for rank, named in answer.late.items():
        if rank in truth.late:
            for key, told, real in (
                ("costs", named.costs, truth.late[rank].costs),
                ("saves", named.saves, truth.late[rank].saves),
            ):
                if told is not None:
                    errors[key].append((told - real.median) / now)
    missed = tuple(sorted(truth.late_by(MISSED_SHARE) - answer.late.keys()))
    wrong = tuple(rank for rank in answer.late if _innocent(truth, rank, now))
    return Score(errors, tuple(unanswered), missed, wrong, _miscaused(truth, answer))


def _error(key: str, truth: Truth, answer: Answer) -> float:
    """Of a prediction with bounds: how far the truth lies outside of them."""
    now, real, told = truth.periods["period"].median, truth.periods[key].median, answer.periods[key]
    if key == "graphs":  # launching a graph may take longer; nobody is told to do that
        real, told = min(real, now), min(told, now)
    low, high = answer.bounds.get(key, (told, told))
    return (min(max(real, min(low, told)), max(high, told)) - real) / now


def _innocent(truth: Truth, rank: int, now: float) -> bool:
    none = Period(0.0, 0.0)
    costs = truth.late[rank].costs if rank in truth.late else none
    return max(costs.median, costs.mean) < WRONG_SHARE * now


def _miscaused(truth: Truth, answer: Answer) -> tuple[int, ...]:
    named = {rank: one.cause for rank, one in answer.late.items() if one.cause is not None and rank in truth.late}
    return tuple(r for r, cause in named.items() if truth.late[r].causes and cause not in truth.late[r].causes)


def by_report(path: Path) -> Answer:
    """What nsysan's report says."""
    return answer_of(json.loads(nsysan.to_json(nsysan.build_report(nsysan.analyze(path)))))


def answer_of(document: Mapping[str, Any]) -> Answer:
    """What a report's JSON says, of its headline replica."""
    told = document["what_if"] or {}
    names = {f"{key}_ns": key for key in KEYS} | {"no_host_late_ns": "host_free"}
    periods = {name: told[key] for key, name in names.items() if told.get(key) is not None}
    periods |= {f"rank_{rank}": ns for rank, ns in (told.get("ranks") or {}).items() if ns is not None}
    keys = {key.removesuffix("_ns"): (bound["low"], bound["high"]) for key, bound in (told.get("bounds") or {}).items()}
    bounds = {"host_free" if key == "no_host_late" else key: bound for key, bound in keys.items()}
    return Answer(periods, bounds, _late(document))


def _late(document: Mapping[str, Any]) -> dict[int, Named]:
    if "late" not in document:
        straggler = document["straggler"]
        return {} if straggler is None else {straggler["rank"]: Named(straggler["caused_ns"], None, straggler["cause"])}
    named: dict[int, Named] = {}
    for row in document["late"] or []:
        alone = len(row["ranks"]) == 1
        for rank in row["ranks"]:
            if alone:
                named[rank] = Named(row["costs_ns"], row["saves_ns"], row["cause"])
            elif rank not in named:
                named[rank] = Named(cause=row["cause"])
    return named
