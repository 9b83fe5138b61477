"""What a run takes with one thing changed: the same run again, with the same noise.

`no_skew`, `rank_<r>` and `others_<r>` use METRICS' levels: nothing takes longer than the lower median of the replica's
ranks that have it, and what fewer than half have is extra. Levels are those of the run without noise; each operation,
call and host segment keeps its own noise, as it would on a machine that is put right. `no_skew_by_step` takes levels
from the noisy run, step by step, and so cuts noise as well: it is what a trace alone could tell, and no run takes it.
`no_faults` and `without_<i>` take the planted faults out, whatever the other ranks do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np

from tests.simulator.faults import Cause, Fault
from tests.simulator.inputs import CLOCKWORK, Inputs, Noise, Ns, draw
from tests.simulator.machine import Times, run
from tests.simulator.program import Api, Kind, Program, as_graph

FLOOR_PERCENTILE = 5
SMALL_PART = 0.25
"""A cause that alone costs less than this of what the rank's largest does is none."""


@dataclass(frozen=True)
class Scenario:
    """A run: what is executed, how long, how noisy, and what is wrong with it."""

    name: str
    program: Program
    steps: int
    faults: tuple[Fault, ...] = ()
    noise: Noise = CLOCKWORK
    seed: int = 0
    lead: int = 3
    """Steps before the pace is reached; the last step has no end and is not measured either."""
    sizes_known: bool = True
    """Whether the export has NCCL payloads; without them a call's floor is that of its place."""
    ranges: bool = True
    sync_tables: bool = False
    """Whether the export says which record of an event a call synchronises with."""

    def inputs(self, faults: Sequence[Fault] | None = None) -> Inputs:
        clean = draw(self.program, self.steps, self.noise, self.seed)
        chosen = self.faults if faults is None else faults
        return reduce(lambda inputs, fault: fault.apply(self.program, inputs), chosen, clean)

    def times(self) -> Times:
        return run(self.program, [self.inputs()])

    def healthy(self) -> Scenario:
        return replace(self, faults=(), name=f"{self.name}, healthy")


@dataclass(frozen=True)
class Period:
    """ns of a step: the median and the mean over the measured steps, each the median over the ranks."""

    median: float
    mean: float


@dataclass(frozen=True)
class Late:
    """A rank's excess over the levels: what it costs with all other ranks right, and what it saves alone."""

    costs: Period
    saves: Period
    causes: tuple[Cause, ...]
    """By what it is late, most first."""


@dataclass(frozen=True)
class Truth:
    """Of one replica. Keys: period, no_skew, no_skew_by_step, no_faults, without_<i> (fault number i of the scenario),
    rank_<r>, others_<r> (all but r right), floor_wire, host_free, all, and graphs in eager runs."""

    ranks: tuple[int, ...]
    periods: dict[str, Period]
    late: dict[int, Late] = field(default_factory=dict)
    """Of every rank; by_share says who counts."""

    def late_by(self, share: float) -> set[int]:
        """The ranks that cost so large a share of the period."""
        now = self.periods["period"].median
        return {rank for rank, late in self.late.items() if late.costs.median >= share * now}

    def saved(self, key: str) -> float:
        return self.periods["period"].median - self.periods[key].median


def truths(scenario: Scenario) -> tuple[Truth, ...]:
    """One for each replica."""
    program, now = scenario.program, scenario.inputs()
    replicas = program.all_replicas
    right = put_right(scenario, now)
    changes: dict[str, Inputs] = {"period": now, "no_skew": right, "no_skew_by_step": levelled(now, replicas)}
    changes["no_faults"] = scenario.inputs([fault for fault in scenario.faults if fault.rank is None])
    for number in range(len(scenario.faults)):
        changes[f"without_{number}"] = scenario.inputs(scenario.faults[:number] + scenario.faults[number + 1 :])
    changes["floor_wire"] = at_floor(scenario, now)
    changes["host_free"] = now
    changes["all"] = at_floor(scenario, right)
    for rank in range(program.ranks):
        mine = np.arange(program.ranks) == rank
        changes[f"rank_{rank}"] = mixed(now, right, mine)
        changes[f"others_{rank}"] = mixed(right, now, mine)
    for rank in {fault.rank for fault in scenario.faults if fault.rank is not None}:
        mine = np.arange(program.ranks) == rank
        changes[f"compute_{rank}"] = mixed(right, now, mine, ("work", "op_there"))
        changes[f"host_{rank}"] = mixed(right, now, mine, ("segment", "cost"))
    times = run(program, list(changes.values()), host_free=[key in ("host_free", "all") for key in changes])
    begins = times.step_begins()
    periods = {
        ranks: {key: _period(begins[:, number], ranks, scenario.lead) for number, key in enumerate(changes)}
        for ranks in replicas
    }
    for ranks, found in periods.items():
        if (graphs := _in_graphs(scenario, now)) is not None:
            found["graphs"] = _period(graphs.step_begins()[:, 0], ranks, scenario.lead)
    return tuple(Truth(ranks, found, _late(scenario, ranks, found)) for ranks, found in periods.items())


def _late(scenario: Scenario, ranks: tuple[int, ...], periods: dict[str, Period]) -> dict[int, Late]:
    return {
        rank: Late(
            costs=_less(periods[f"others_{rank}"], periods["no_skew"]),
            saves=_less(periods["period"], periods[f"rank_{rank}"]),
            causes=_causes(scenario, rank, periods),
        )
        for rank in ranks
    }


def _causes(scenario: Scenario, rank: int, periods: dict[str, Period]) -> tuple[Cause, ...]:
    planted = {cause for fault in scenario.faults if fault.rank == rank for cause in fault.causes}
    if len(planted) < 2:
        return tuple(planted)
    right = periods["no_skew"].mean
    names = {cause: f"{'host' if cause is Cause.HOST else 'compute'}_{rank}" for cause in sorted(planted)}
    cost = {cause: periods[name].mean - right for cause, name in names.items()}
    order = sorted(cost, key=lambda cause: -cost[cause])
    return tuple(cause for cause in order if cost[cause] >= SMALL_PART * cost[order[0]])


def _less(period: Period, other: Period) -> Period:
    return Period(period.median - other.median, period.mean - other.mean)


def _period(begins: Ns, ranks: tuple[int, ...], lead: int) -> Period:
    """begins: by (step, rank)."""
    each = np.diff(begins[lead:, list(ranks)], axis=0)
    return Period(float(np.median(np.median(each, axis=0))), float(np.median(np.mean(each, axis=0))))


def put_right(scenario: Scenario, now: Inputs) -> Inputs:
    """The run in which nothing takes longer than its level, but for noise."""
    shared = [fault for fault in scenario.faults if fault.rank is None]
    clean = scenario.inputs(shared)
    still, healthy = (replace(scenario, noise=CLOCKWORK).inputs(faults) for faults in (None, shared))
    level = levelled(still, scenario.program.all_replicas)
    return Inputs(
        work=_right(now.work, clean.work, still.work, healthy.work, level.work),
        wire=now.wire,
        spread=now.spread,
        segment=_right(now.segment, clean.segment, still.segment, healthy.segment, level.segment),
        cost=_right(now.cost, clean.cost, still.cost, healthy.cost, level.cost),
        op_there=level.op_there,
    )


def _right(now: Ns, clean: Ns, still: Ns, healthy: Ns, level: Ns) -> Ns:
    """still, healthy and level are without noise, clean and healthy without faults of a rank."""
    at_level = np.where(healthy > 0, np.rint(clean * (level / np.maximum(healthy, 1))).astype(np.int64), level)
    return np.where(still > level, at_level, now)


def levelled(inputs: Inputs, replicas: Sequence[Sequence[int]]) -> Inputs:
    """Nothing takes longer than the lower median over the ranks, in the same step."""
    work, segment, cost = inputs.work.copy(), inputs.segment.copy(), inputs.cost.copy()
    there = inputs.op_there.copy()
    for replica in replicas:
        ranks = list(replica)
        for array in (work, segment, cost):
            array[..., ranks] = np.minimum(array[..., ranks], lower_median(array[..., ranks]))
        # Extra operations are never on half of the ranks or more here, so that their level, work and cost, is 0 above.
        few = there[:, ranks].sum(axis=1) * 2 < len(ranks)
        there[np.ix_(few, ranks)] = False
        partly = ~few & ~there[:, ranks].all(axis=1)
        assert not partly.any(), "an operation on half of the ranks needs a level among those that run it"
    return Inputs(work, inputs.wire, inputs.spread, segment, cost, there)


def lower_median(values: Ns) -> Ns:
    """Over the last axis, which is kept: of 2 the shorter, of 4 the second shortest."""
    return np.sort(values, axis=-1)[..., [(values.shape[-1] - 1) // 2]]


def mixed(
    inputs: Inputs,
    other: Inputs,
    ranks: np.ndarray[tuple[int], np.dtype[np.bool_]],
    arrays: Sequence[str] = ("work", "segment", "cost", "op_there"),
) -> Inputs:
    """Inputs, but of some ranks those of another run."""
    return replace(inputs, **{name: np.where(ranks, getattr(other, name), getattr(inputs, name)) for name in arrays})


def at_floor(scenario: Scenario, inputs: Inputs) -> Inputs:
    """No call takes longer than the 5th percentile of the calls of its kernel, group and size, or of its place."""
    wire = inputs.wire.copy()
    kinds: dict[object, list[int]] = {}
    for number, op in enumerate(scenario.program.ops):
        if op.kind is Kind.COLLECTIVE:
            key = (op.name, op.groups, op.bytes) if scenario.sizes_known else number
            kinds.setdefault(key, []).append(number)
    for numbers in kinds.values():
        groups = scenario.program.ops[numbers[0]].groups
        for group in groups:
            chosen = np.ix_(range(scenario.lead, len(wire)), numbers, group[:1])
            calls = np.sort(wire[chosen], axis=None)
            floor = calls[-(-len(calls) * FLOOR_PERCENTILE // 100) - 1]
            chosen = np.ix_(range(len(wire)), numbers, group)
            wire[chosen] = np.minimum(wire[chosen], floor)
    return replace(inputs, wire=wire)


def _in_graphs(scenario: Scenario, inputs: Inputs) -> Times | None:
    """The run with one graph a step; the host work between launches is gone with them."""
    if (converted := as_graph(scenario.program)) is None:
        return None
    program, kept = converted
    cost = inputs.cost[:, kept].copy()
    launch = [call.api for call in program.calls].index(Api.GRAPH)
    cost[:, launch] = program.calls[launch].cost_ns
    return run(program, [replace(inputs, segment=inputs.segment[:, kept], cost=cost)])
