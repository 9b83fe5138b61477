"""Random runs are the same for the same seed, physically possible, and what their exports say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import nsysan
from tests.simulator import cases
from tests.simulator.export import export
from tests.simulator.program import Kind
from tests.simulator.scenarios import balanced, random_scenario
from tests.simulator.score import Answer, Named, score
from tests.simulator.truth import Late, Period, Scenario, Truth, truths

SEEDS = range(60)
HOSTS = ("eager", "graph", "host-bound", "GPU-bound", "async 0", "async 1", "async 2", "overlap")
WAITS = ("stream sync", "event sync", "query", "blocking copy")
FAULTS = ("SlowRank", "LongerKernel", "LateHost", "DearCalls", "SlowHost", "SlowWire", "ExtraCalls")
KINDS = (*HOSTS, *WAITS, *FAULTS)


def test_the_same_seed_is_the_same_run() -> None:
    for seed in range(8):
        first, second = random_scenario(seed), random_scenario(seed)
        assert first.name == second.name
        assert np.array_equal(first.times().op_end, second.times().op_end)
        assert truths(first) == truths(second)


def test_faults_leave_the_noise_alone() -> None:
    for seed in SEEDS:
        scenario = random_scenario(seed)
        changed = scenario.inputs().work != scenario.healthy().inputs().work
        assert set(np.nonzero(changed.any(axis=(0, 1)))[0]) <= {fault.rank for fault in scenario.faults}


@pytest.mark.parametrize("seed", SEEDS)
def test_runs_are_possible(seed: int) -> None:
    scenario = random_scenario(seed)
    times = scenario.times()
    program = scenario.program
    begins, ends = times.call_begin[..., 0, :], times.call_end[..., 0, :]
    host = np.stack([begins, ends], axis=2).reshape(-1, program.ranks)
    assert (np.diff(host, axis=0) >= 0).all()
    for stream in (0, 1):
        own = [n for n, op in enumerate(program.ops) if op.stream == stream and not op.extra]
        spans = np.stack([times.op_start[:, own, 0], times.op_end[:, own, 0]], axis=2).reshape(-1, program.ranks)
        assert (np.diff(spans, axis=0) >= 0).all()
    for number, op in enumerate(program.ops):
        if op.kind is Kind.COLLECTIVE:
            last = times.op_start[:, number, 0].max(axis=1, keepdims=True)
            assert (times.op_end[:, number, 0] - last >= op.wire_ns).all()
        for call in (call for call in program.calls if number in call.ops):
            assert (times.op_start[:, number, 0] > begins[:, program.calls.index(call)]).all()


def test_what_is_put_right_takes_no_longer() -> None:
    for seed in SEEDS:
        (truth,) = truths(random_scenario(seed))
        now = truth.periods["period"].mean
        for key in ("no_skew", "no_faults", "floor_wire", "host_free", "all", "no_skew_by_step"):
            assert truth.periods[key].mean <= 1.005 * now, (seed, key)
        assert truth.periods["all"].mean <= 1.005 * min(truth.periods[k].mean for k in ("no_skew", "host_free"))


def test_nobody_is_late_in_a_balanced_run() -> None:
    for seed in SEEDS:
        (truth,) = truths(balanced(seed))
        assert truth.late_by(0.001) == set()
        assert truth.periods["no_skew"] == truth.periods["period"]


def test_runs_are_of_all_kinds() -> None:
    scenarios = [random_scenario(seed) for seed in range(220)]
    names = [scenario.name for scenario in scenarios]
    for word in KINDS:
        assert sum(word in name for name in names) > 5, word
    assert {scenario.program.ranks for scenario in scenarios} == {2, 3, 4, 6, 8}
    assert {len(scenario.faults) for scenario in scenarios} == {1, 2, 3}
    late = [truth.late_by(0.05) for scenario in scenarios[:100] for truth in truths(scenario)]
    assert min(sum(len(ranks) == n for ranks in late) for n in (0, 1, 2)) > 5


@pytest.mark.parametrize(
    "scenario",
    [cases.two_slow_ranks(), cases.async_slow_rank(), random_scenario(3), random_scenario(12), random_scenario(15)],
    ids=lambda scenario: scenario.name.partition(":")[0],
)
def test_the_export_tells_the_steps(tmp_path: Path, scenario: Scenario) -> None:
    times = scenario.times()
    ledger = nsysan.analyze(export(scenario, tmp_path / "t.sqlite", times)).ledger
    begins = times.step_begins()[:, 0]
    for rank in range(scenario.program.ranks):
        told = ledger.filter(pl.col("rank") == rank).sort("step")["period_ns"].to_list()
        assert told[:-1] == np.diff(begins[:, rank]).tolist()


def test_a_score() -> None:
    costs, none = Period(100.0, 100.0), Period(0.0, 0.0)
    late = {0: Late(none, none, ()), 1: Late(costs, costs, ()), 2: Late(costs, none, ())}
    keys = {"period": 1000.0, "no_skew": 800.0, "host_free": 500.0, "rank_1": 900.0}
    truth = Truth((0, 1, 2), {key: Period(ns, ns) for key, ns in keys.items()}, late)
    answer = Answer(
        {"period": 1000.0, "no_skew": 790.0, "host_free": 700.0},
        {"host_free": (450.0, 700.0)},
        {0: Named(), 1: Named(costs=120.0)},
    )
    found = score(truth, answer)
    assert {key: errors for key, errors in found.errors.items() if errors} == {
        "period": [0.0],
        "no_skew": [-0.01],
        "host_free": [0.0],
        "costs": [0.02],
    }
    assert (found.missed, found.wrong) == ((2,), (0,))
    assert found.unanswered == ("rank_0", "rank_1", "rank_2")
