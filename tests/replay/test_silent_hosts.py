"""Hosts that learn from memory that the GPU is done, so that no call of theirs is seen to wait: simulated runs whose
calls that wait or ask are taken out of the export.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.copies import changed
from tests.simulator.scenarios import balanced, random_scenario
from tests.simulator.score import Answer, by_report, judge

RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"
BAR = 0.03


def in_silence(path: Path) -> Answer:
    """What a report says without the calls that wait."""
    waits = "SELECT id FROM StringIds WHERE value LIKE '%Synchronize%' OR value LIKE '%Query%'"
    return by_report(changed(path, f"DELETE FROM {RUNTIME} WHERE nameId IN ({waits})"))


@pytest.mark.parametrize("seed", [62002, 62009, 62010, 62016, 62033, 62039])
def test_who_is_late_and_what_it_costs_comes_true(tmp_path: Path, seed: int) -> None:
    """Taken for work, what hosts wait let late ranks cost nothing: 20 to 57 % of the step."""
    outcome = judge(random_scenario(seed), tmp_path / "t.sqlite", in_silence)
    assert (outcome.score.missed, outcome.score.wrong) == ((), ())
    for scenario in ("no_skew", "rank", "costs", "saves"):
        assert all(abs(error) <= BAR for error in outcome.score.errors.get(scenario, ()))


def test_nobody_is_named_where_nothing_is_wrong(tmp_path: Path) -> None:
    for seed in range(62000, 62003):
        assert judge(balanced(seed), tmp_path / "t.sqlite", in_silence).answer.late == {}
        (tmp_path / "t.sqlite").unlink()


@pytest.mark.parametrize("seed", [72011, 81042])
def test_hosts_that_have_nothing_to_wait_for_read_no_results(tmp_path: Path, seed: int) -> None:
    """The driver holds their launches, or nobody does."""
    outcome = judge(random_scenario(seed), tmp_path / "t.sqlite", by_report)
    assert (outcome.score.missed, outcome.score.wrong) == ((), ())
    assert all(abs(error) <= BAR for key in ("no_skew", "costs", "saves") for error in outcome.score.errors[key])
