"""What a rank loses between kernels and calls, or in some steps only, costs what the run without it is shorter."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nsysan.metrics.scenarios import Scenario
from nsysan.report.report import Report
from tests.replay.test_small_servers import EXACT, NOISE, held, reduced, takes, told
from tests.smallserver import By, Machine, Op, Part, Run, run

SAMPLE = Op("sample", takes(6_000), kernel="sample_kernel")


def large(more: By = lambda *_: 0, layers: int = 6) -> list[Op]:
    """A kernel of 40 us a layer."""
    ops = []
    for layer in range(layers):
        ops += [Op(f"compute{layer}", takes(40_000, more)), reduced(f"sum{layer}")]
    return [*ops, SAMPLE]


def small(slower: Callable[[int, int], float]) -> list[Op]:
    """Five kernels of 5 to 8 us a layer, each slower on some rank by that share, with noise of 50 ns."""
    ops: list[Op] = []
    for layer in range(12):
        for kernel in range(5):
            ns = 5_000 + 800 * kernel

            def takes_here(rank: int, step: int, ns: int = ns, at: int = layer * 5 + kernel) -> int:
                return round((ns + NOISE[rank][(step + 7 * at) % 100] // 6) * (1 + slower(rank, step)))

            ops.append(Op(f"{layer}.{kernel}", takes_here, kernel=f"gemm_{kernel}"))
        ops.append(reduced(f"sum{layer}"))
    return [*ops, SAMPLE]


def server(ops: list[Op], machine: Machine | None = None, work: By | None = None, steps: int = 60) -> Run:
    return run([Part(work or takes(10_000), ops, graph=True)], 4, steps, machine)


@pytest.mark.parametrize(
    ("wrong", "right", "late", "cause"),
    [
        # Work begins as a launch call returns, which takes 40 us longer.
        (Machine(to_gpu={2: 48_000}), Machine(to_gpu={2: 8_000, 0: 8_000, 1: 8_000, 3: 8_000}), 2, "host"),
        # A thread that sleeps until the work is done.
        (Machine(sync={1: 50_000}), Machine(), 1, "host"),
        (Machine(gap={3: 2_000}), Machine(), 3, "compute"),
    ],
)
def test_what_one_rank_takes_between_its_work(
    tmp_path: Path, wrong: Machine, right: Machine, late: int, cause: str
) -> None:
    for rank in right.to_gpu:
        wrong = Machine({rank: 8_000, **wrong.to_gpu}, wrong.gap, wrong.sync)
    ops = small(lambda *_: 0) if wrong.gap else large()
    now = server(ops, wrong)
    report = told(tmp_path, now)
    held(report, now, server(ops, right), {late})
    assert report.diagnosis.late[0].cause == cause
    assert ("from one kernel to the next" in report.late_sentence()) == bool(wrong.gap)


def test_launches_that_wait_for_another_process_in_most_steps(tmp_path: Path) -> None:
    """In five of eight steps rank 2's work begins 300 us after its launch: the others stay as they are."""
    held_up = [step % 8 < 5 for step in range(60)]
    ops = large()
    ops[0] = replace(ops[0], lost=lambda rank, step: 300_000 * (rank == 2 and held_up[step]))
    now = server(ops)
    report = told(tmp_path, now)
    held(report, now, server(large()), {2})
    right = server(large())
    lost = now.period(of_mean=True) - right.period(of_mean=True)
    assert report.diagnosis.late[0].mean_saves == pytest.approx(lost, abs=EXACT * now.period(of_mean=True))


def test_a_slow_clock_is_slow_between_kernels_too(tmp_path: Path) -> None:
    now = server(small(lambda rank, _: 0.4 * (rank == 3)), Machine(gap={3: 1_700}))
    held(told(tmp_path, now), now, server(small(lambda *_: 0)), {3})


def test_ranks_that_are_slow_in_turn_in_many_small_kernels(tmp_path: Path) -> None:
    """Each of four by 15 % for five steps: none is by itself."""
    now = server(small(lambda rank, step: 0.15 * (rank == step // 5 % 4)))
    report = told(tmp_path, now)
    held(report, now, server(small(lambda *_: 0)), set())
    assert "rotation" in {one.id for one in report.findings}


@pytest.mark.parametrize("of", [small, large])
def test_two_ranks_each_slow_in_half_of_the_run(tmp_path: Path, of: Callable[..., list[Op]]) -> None:
    size = 0.15 if of is small else 6_000
    now = server(of(lambda rank, step: size * (rank == (1 if step < 30 else 2))))
    held(told(tmp_path, now), now, server(of(lambda *_: 0)), {1, 2})


@pytest.mark.parametrize(("share", "part"), [(0.13, 0.45), (0.4, 0.4), (0.13, 0.6)])
def test_a_clock_that_is_slow_in_some_steps(tmp_path: Path, share: float, part: float) -> None:
    """Rank 2's, for six steps on end: what the mean loses is its, whatever the median shows."""
    chance = random.Random(3)
    slow = [on for on in (chance.random() < part for _ in range(20)) for _ in range(6)]
    now = server(small(lambda rank, step: share * (rank == 2 and slow[step])), steps=100)
    right = server(small(lambda *_: 0), steps=100)
    report = told(tmp_path, now)
    (late,) = report.diagnosis.late
    assert (late.ranks, late.cause) == ((2,), "compute")
    lost = now.period(of_mean=True) - right.period(of_mean=True)
    assert late.mean_saves == pytest.approx(lost, abs=EXACT * now.period(of_mean=True))


def test_another_expert_is_hot_in_each_layer_and_step(tmp_path: Path) -> None:
    """By 6 of 12 us, which is 1 % of a step: no place shows it, all of them do."""
    hot = {(layer, step): random.Random(step * 100 + layer).randrange(4) for layer in range(12) for step in range(60)}

    def of(more: int) -> list[Op]:
        ops: list[Op] = []
        for layer in range(12):

            def moe(rank: int, step: int, at: int = layer) -> int:
                return 12_000 + more * (hot[at, step] == rank) + NOISE[rank][(step + 7 * at) % 100]

            ops += [Op(f"attention{layer}", takes(12_000)), reduced(f"a{layer}"), Op(f"moe{layer}", moe)]
            ops.append(reduced(f"b{layer}"))
        return [*ops, SAMPLE]

    now = server(of(6_000))
    held(told(tmp_path, now), now, server(of(0)), set())


def test_what_varies_on_all_hosts_alike_is_no_noise(tmp_path: Path) -> None:
    """They schedule for 30 to 170 us by the step; rank 2's takes 25 us longer in each."""
    common = [random.Random(step).randrange(30_000, 170_000) for step in range(60)]

    def work(more: int) -> By:
        return lambda rank, step: common[step] + more * (rank == 2) + NOISE[rank][step]

    now = server(large(), work=work(25_000))
    held(told(tmp_path, now), now, server(large(), work=work(0)), {2})


@pytest.mark.parametrize("share", [0.2, 0.25, 0.3])
def test_kernels_that_vary_on_all_ranks_alike(tmp_path: Path, share: float) -> None:
    """Experts' of 15 to 45 us, longer on rank 1: the more the longer."""
    common = {
        (layer, step): random.Random(step * 7 + layer).uniform(0.5, 1.5) for layer in range(6) for step in range(60)
    }

    def of(more: float) -> list[Op]:
        ops: list[Op] = []
        for layer in range(6):

            def moe(rank: int, step: int, at: int = layer) -> int:
                return round(30_000 * common[at, step] * (1 + more * (rank == 1))) + NOISE[rank][(step + 7 * at) % 100]

            ops += [Op(f"attention{layer}", takes(20_000)), reduced(f"a{layer}"), Op(f"moe{layer}", moe)]
            ops.append(reduced(f"b{layer}"))
        return [*ops, SAMPLE]

    now = server(of(share))
    held(told(tmp_path, now), now, server(of(0)), {1})


def test_attention_that_grows_over_the_run(tmp_path: Path) -> None:
    """From 10 to 40 us, on rank 2 by 30 % more."""

    def of(more: float) -> list[Op]:
        grows: By = lambda rank, step: round((10_000 + 500 * step) * (1 + more * (rank == 2)))  # noqa: E731
        ops: list[Op] = []
        for layer in range(6):
            ops += [Op(f"attention{layer}", lambda rank, step: grows(rank, step) + NOISE[rank][step])]
            ops += [Op(f"compute{layer}", takes(20_000)), reduced(f"sum{layer}")]
        return [*ops, SAMPLE]

    now = server(of(0.3))
    held(told(tmp_path, now), now, server(of(0)), {2})


@pytest.mark.parametrize("kernels", [4, 8])
def test_kernels_that_stand_for_one_lose_in_the_gaps_between(tmp_path: Path, kernels: int) -> None:
    """Rank 2 was not compiled: its kernels take as long as the one of the others."""

    def of(parts: int) -> list[Op]:
        ops: list[Op] = []
        for layer in range(8):
            whole = (0, 1, 3) if parts > 1 else None
            ops.append(Op(f"fused{layer}", takes(20_000), kernel="triton_red_fused", ranks=whole))
            for one in range(parts if parts > 1 else 0):
                ops.append(Op(f"{layer}.{one}", lambda *_: 20_000 // parts, kernel=f"unfused_{one}", ranks=(2,)))
            ops.append(reduced(f"sum{layer}"))
        return [*ops, SAMPLE]

    now = server(of(kernels))
    held(told(tmp_path, now), now, server(of(1)), {2})


def test_a_gpu_that_is_another_process_for_a_while(tmp_path: Path) -> None:
    """150 us between two kernels of rank 1, in 30 % of the steps."""
    chance = random.Random(5)
    taken = [chance.randrange(6) if chance.random() < 0.3 else -1 for _ in range(60)]

    def of(lost: int) -> list[Op]:
        ops: list[Op] = []
        for layer in range(6):

            def lost_here(rank: int, step: int, at: int = layer) -> int:
                return lost * (rank == 1 and taken[step] == at)

            # A graph's first node has no gap before it.
            ops += [Op(f"norm{layer}", takes(3_000)), Op(f"compute{layer}", takes(40_000), lost=lost_here)]
            ops.append(reduced(f"sum{layer}"))
        return [*ops, SAMPLE]

    now, right = server(of(150_000)), server(of(0))
    report = told(tmp_path, now)
    (late,) = report.diagnosis.late
    assert late.ranks == (1,)
    lost = now.period(of_mean=True) - right.period(of_mean=True)
    assert late.mean_saves == pytest.approx(lost, abs=EXACT * now.period(of_mean=True))


def test_a_balanced_run_has_nobody_late(tmp_path: Path) -> None:
    report: Report = told(tmp_path, server(small(lambda *_: 0)))
    what = report.diagnosis.what_if
    assert what is not None
    assert report.diagnosis.late == []
    assert what[Scenario.NO_SKEW] == pytest.approx(what.period, rel=0.005)
