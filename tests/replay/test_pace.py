"""What paces a step, on simulated runs whose figures are known on paper (tests.simulator.cases), in us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import nsysan
from nsysan.replay.pace import replay
from nsysan.replay.results import Pace
from tests.simulator import cases
from tests.simulator.export import export
from tests.simulator.scenarios import balanced, random_scenario
from tests.simulator.score import Answer, Named, judge
from tests.simulator.truth import Scenario


def paces(scenario: Scenario, folder: Path) -> list[Pace]:
    run = nsysan.analyze(export(scenario, folder / "t.sqlite"))
    found = [replay(replica) for replica in run.replicas]
    assert all(pace is not None and pace.exact for pace in found)
    return [pace for pace in found if pace is not None]


def us(ns: float) -> float:
    return ns / 1000


#: Period, and what each what-if saves.
SAVED: dict[Callable[[], Scenario], tuple[float, dict[str, float]]] = {
    cases.balanced: (412.9, {"no_skew": 0, "floor_wire": 0, "host_free": 30.6}),
    cases.balanced_eager: (405.1, {"no_skew": 0, "host_free": 27.6}),
    cases.every_host_slow: (1167.6, {"no_skew": 104, "host_free": 1167.6 - 377.5}),
    cases.two_sizes: (500.9, {"no_skew": 0, "floor_wire": 0}),
    cases.async_slow_rank: (371.7, {"no_skew": 73.2, "floor_wire": 0}),
    cases.two_slow_ranks: (496.9, {"no_skew": 84}),
    cases.late_host_and_slow_gpu: (842.9, {"no_skew": 430, "host_free": 842.9 - 632.3}),
    cases.sync_in_the_step: (472.1, {"no_skew": 0, "host_free": 472.1 - 377.5}),
    cases.half_late: (516.9, {"no_skew": 104}),
    cases.experts: (547.1, {"no_skew": 78}),
    cases.rotating: (492.9, {"no_skew": 80}),
}
#: Late ranks: who, by what, costs, saves alone.
LATE: dict[Callable[[], Scenario], list[tuple[tuple[int, ...], str, float, float]]] = {
    cases.balanced: [],
    cases.balanced_eager: [],
    cases.every_host_slow: [((2,), "host", 104, 104)],
    cases.async_slow_rank: [((2,), "compute", 73.2, 73.2)],
    cases.two_slow_ranks: [((1, 2), "compute", 84, 84), ((1,), "compute", 84, 28), ((2,), "compute", 56, 0)],
    cases.late_host_and_slow_gpu: [((1,), "compute", 250, 250), ((2,), "host", 180, 180)],
    cases.half_late: [((2, 3), "compute", 104, 104), ((2,), "compute", 80, 24), ((3,), "compute", 80, 24)],
    cases.rotating: [],
    cases.experts: [((3,), "compute", 78, 78)],
}


@pytest.mark.parametrize("case", SAVED, ids=lambda case: case.__name__)
def test_savings(case: Callable[[], Scenario], tmp_path: Path) -> None:
    (pace,) = paces(case(), tmp_path)
    period, saved = SAVED[case]
    assert us(pace.period.median) == period
    told = {name: us(pace.period.median - pace.scenarios[name].median) for name in saved}
    assert told == pytest.approx(saved, abs=0.001)
    assert pace.error == pytest.approx(0, abs=1e-6)
    assert sum(pace.path.values()) == pace.period.median


@pytest.mark.parametrize("case", LATE, ids=lambda case: case.__name__)
def test_late_ranks(case: Callable[[], Scenario], tmp_path: Path) -> None:
    (pace,) = paces(case(), tmp_path)
    assert [(one.ranks, one.cause, us(one.costs), us(one.saves)) for one in pace.late] == LATE[case]


def test_a_pause_now_and_then_is_in_the_mean_alone(tmp_path: Path) -> None:
    (pace,) = paces(cases.gc_pause(), tmp_path)
    (late,) = pace.late
    assert (late.ranks, late.cause, late.costs, late.saves) == ((2,), "host", 0, 0)
    # 4 pauses of 1000 in the steps that are counted.
    steps = pace.per_step.select("stretch", "step").n_unique()
    assert us(late.mean_saves) == pytest.approx(4 * 1000 / steps, abs=0.1)
    # Nor has the path of a usual step more of them than, in two of 19, the 8 of a launch before the step itself.
    hosts = sum(ns for (name, _), ns in pace.path.items() if name == "host")
    assert us(hosts) == pytest.approx(20.6, abs=1)


def test_another_rank_late_in_each_step_is_rotation(tmp_path: Path) -> None:
    (pace,) = paces(cases.rotating(), tmp_path)
    assert us(pace.rotation) == 80


def test_what_cannot_be_split_leaves_out_what_rests_on_it(tmp_path: Path) -> None:
    (pace,) = paces(replace(cases.experts(), sizes_known=False), tmp_path)
    assert pace.unsplit > 0.03
    assert pace.late == []
    assert pace.scenarios == {}


def test_each_replica_has_its_own_pace(tmp_path: Path) -> None:
    found = paces(cases.two_replicas(), tmp_path)
    assert [us(pace.period.median) for pace in found] == [412.9, 468.9]
    assert [pace.late for pace in found] == [[], []]


def test_the_path_is_by_class_and_rank(tmp_path: Path) -> None:
    (pace,) = paces(cases.two_slow_ranks(), tmp_path)
    told = {key: us(ns) for key, ns in pace.path.items()}
    assert told == {
        ("host", 1): 20.6,
        ("launch", 1): 8 + 24 * 1.2 + 1.0,
        ("compute", 1): 286 + 84,
        ("wire", 1): 64,
        ("copy", 1): 1.5,
        ("sync", 1): 3,
    }


def answer(path: Path) -> Answer:
    """What the replay says, as the simulator scores it."""
    pace = replay(nsysan.analyze(path))
    assert pace is not None
    assert pace.exact
    periods = {"period": float(pace.period.median)}
    periods |= {name: float(timed.median) for name, timed in pace.scenarios.items()}
    periods |= {f"rank_{rank}": float(timed.median) for rank, timed in pace.ranks.items()}
    late = {one.ranks[0]: Named(one.costs, one.saves, one.cause) for one in pace.late if len(one.ranks) == 1}
    return Answer(periods, pace.bounds, late)


@pytest.mark.parametrize("seed", [3, 8, 10, 23, 28, 42, 189, 7077, 9005, 60033])
def test_random_runs(seed: int, tmp_path: Path) -> None:
    found = judge(random_scenario(seed), tmp_path / "t.sqlite", answer).score
    assert (found.missed, found.wrong) == ((), ())
    assert max(abs(error) for errors in found.errors.values() for error in errors) < 0.025


@pytest.mark.parametrize("seed", range(3))
def test_nobody_is_late_in_balanced_runs(seed: int, tmp_path: Path) -> None:
    (pace,) = paces(balanced(seed), tmp_path)
    assert pace.late == []
