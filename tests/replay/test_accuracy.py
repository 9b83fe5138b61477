"""What the replay predicts of random runs, held against the same runs without the thing: 40 fixed seeds.

scripts/accuracy.py does the same for as many as asked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.replay.test_pace import answer
from tests.simulator.inputs import Inputs
from tests.simulator.scenarios import balanced, random_scenario
from tests.simulator.score import KEYS, MISSED_SHARE, Outcome, judge, spread
from tests.simulator.truth import put_right

SEEDS = range(40)
BALANCED = range(20)
#: Of a what-if, as shares of the period: of 95 % of the runs, and of all.
BAR, FARTHEST = 0.02, 0.06


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    path = tmp_path_factory.mktemp("accuracy") / "t.sqlite"
    found = []
    for seed in SEEDS:
        found.append(judge(random_scenario(seed), path, answer))
        path.unlink()
    return found


@pytest.mark.parametrize("key", KEYS)
def test_what_ifs_come_true(outcomes: list[Outcome], key: str) -> None:
    found = spread(outcomes, key)
    assert found is not None
    assert found.p95 <= BAR
    assert found.max <= FARTHEST


def test_every_what_if_is_told(outcomes: list[Outcome]) -> None:
    assert {outcome.name: outcome.score.unanswered for outcome in outcomes if outcome.score.unanswered} == {}


def test_late_ranks_are_found_and_no_others(outcomes: list[Outcome]) -> None:
    told = {o.name: (o.score.missed, o.score.wrong) for o in outcomes if o.score.missed or o.score.wrong}
    assert told == {}
    assert sum(len(outcome.truth.late_by(MISSED_SHARE)) for outcome in outcomes) > len(outcomes) / 2


def test_nobody_is_named_in_balanced_runs(tmp_path: Path) -> None:
    for seed in BALANCED:
        assert judge(balanced(seed), tmp_path / "t.sqlite", answer).answer.late == {}
        (tmp_path / "t.sqlite").unlink()


def test_no_what_if_is_below_what_the_hosts_left_in_place_need(outcomes: list[Outcome]) -> None:
    """METRICS section 7. What a host needs by itself: its segments and calls, but no waiting."""
    below = []
    for seed, outcome in zip(SEEDS, outcomes, strict=True):
        scenario, told = random_scenario(seed), outcome.answer.periods
        now, right = (needs(inputs) for inputs in (scenario.inputs(), put_right(scenario, scenario.inputs())))
        wanted = {"floor_wire": now.max(), "no_skew": right.max()}
        for rank in range(len(now)):
            others = np.delete(now, rank)
            wanted[f"rank_{rank}"] = max(right[rank], others.max())
        low = {key: min(told[key], *outcome.answer.bounds.get(key, (told[key],))) for key in wanted if key in told}
        below += [(seed, key, ns, wanted[key]) for key, ns in low.items() if ns < (1 - BAR) * wanted[key]]
    assert below == []


def needs(inputs: Inputs) -> npt.NDArray[np.float64]:
    """ns of a step by rank: the median over the steps, but for the first, which has no begin."""
    return np.asarray(np.median((inputs.segment + inputs.cost).sum(axis=1)[1:], axis=0))
