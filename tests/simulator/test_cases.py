"""The simulator gives what is known on paper, to the ns."""

from __future__ import annotations

import pytest

from tests.simulator import cases
from tests.simulator.faults import Cause
from tests.simulator.truth import Scenario, Truth, truths


def us(scenario: Scenario, *keys: str) -> list[float]:
    (truth,) = truths(scenario)
    return [round(truth.periods[key].median / 1000, 3) for key in keys]


def late(truth: Truth) -> dict[int, tuple[float, float, tuple[Cause, ...]]]:
    """rank: (costs, saves, causes) of those that cost 3 %."""
    found = {rank: truth.late[rank] for rank in truth.late_by(0.03)}
    return {rank: (one.costs.median / 1000, one.saves.median / 1000, one.causes) for rank, one in found.items()}


def test_balanced() -> None:
    assert us(cases.balanced(), "period", "no_skew", "floor_wire", "host_free") == [412.9, 412.9, 412.9, 382.3]
    assert us(cases.balanced_eager(), "period", "no_skew", "host_free", "graphs") == [405.1, 405.1, 377.5, 412.9]


def test_every_host_slow() -> None:
    (truth,) = truths(cases.every_host_slow())
    assert us(cases.every_host_slow(), "period", "no_skew", "rank_2", "rank_0") == [1167.6, 1063.6, 1063.6, 1167.6]
    assert late(truth) == {2: (104.0, 104.0, (Cause.HOST,))}


def test_pause() -> None:
    (truth,) = truths(cases.gc_pause())
    assert truth.periods["period"].median == truth.periods["no_skew"].mean == 412_900
    assert late(truth) == {}
    begins = cases.gc_pause().times().step_begins()[:, 0]
    assert {(begins[35, rank] - begins[5, rank]) / 30 for rank in range(4)} == {512_900}


def test_two_sizes() -> None:
    assert us(cases.two_sizes(), "period", "floor_wire", "no_skew") == [500.9, 500.9, 500.9]


def test_calls_beside_compute() -> None:
    (truth,) = truths(cases.async_slow_rank())
    assert us(cases.async_slow_rank(), "period", "no_skew", "without_0", "rank_2") == [371.7, 298.5, 298.5, 298.5]
    assert late(truth) == {2: (73.2, 73.2, (Cause.COMPUTE,))}


def test_two_slow_ranks() -> None:
    (truth,) = truths(cases.two_slow_ranks())
    keys = ("period", "no_skew", "no_faults", "without_0", "without_1", "rank_1", "rank_2")
    assert us(cases.two_slow_ranks(), *keys) == [496.9, 412.9, 412.9, 468.9, 496.9, 468.9, 496.9]
    assert late(truth) == {1: (84.0, 28.0, (Cause.COMPUTE,)), 2: (56.0, 0.0, (Cause.COMPUTE,))}


def test_late_host_and_slow_gpu() -> None:
    (truth,) = truths(cases.late_host_and_slow_gpu())
    assert us(cases.late_host_and_slow_gpu(), "period", "host_free", "no_skew", "all") == [842.9, 632.3, 412.9, 382.3]
    assert late(truth) == {2: (180.0, 180.0, (Cause.HOST,)), 1: (250.0, 250.0, (Cause.COMPUTE,))}


def test_two_replicas() -> None:
    found = truths(cases.two_replicas())
    assert [truth.periods["period"].median for truth in found] == [412_900, 468_900]
    assert [truth.periods["no_skew"].median for truth in found] == [412_900, 468_900]
    assert [late(truth) for truth in found] == [{}, {}]


def test_sync_in_the_step() -> None:
    (truth,) = truths(cases.sync_in_the_step())
    assert us(cases.sync_in_the_step(), "period", "host_free", "no_skew") == [472.1, 377.5, 472.1]
    assert "graphs" not in truth.periods


def test_experts() -> None:
    (truth,) = truths(cases.experts())
    assert us(cases.experts(), "period", "no_skew") == [547.1, 469.1]
    assert late(truth) == {3: (78.0, 78.0, (Cause.COMPUTE,))}


def test_half_of_the_ranks_late() -> None:
    (truth,) = truths(cases.half_late())
    assert us(cases.half_late(), "period", "no_skew") == [516.9, 412.9]
    assert late(truth) == {2: (80.0, 24.0, (Cause.COMPUTE,)), 3: (80.0, 24.0, (Cause.COMPUTE,))}


def test_another_rank_in_each_step() -> None:
    (truth,) = truths(cases.rotating())
    assert us(cases.rotating(), "period", "no_skew") == [492.9, 412.9]
    assert late(truth) == {}


@pytest.mark.parametrize("build", [cases.two_slow_ranks, cases.every_host_slow, cases.async_slow_rank])
def test_the_same_run_again(build: object) -> None:
    assert callable(build)
    assert truths(build()) == truths(build())
