"""What is wrong with a rank costs what the run without it is shorter (tests.smallserver)."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

import nsysan
from nsysan.metrics.scenarios import Scenario
from nsysan.report.build import build_report
from nsysan.report.report import Report
from tests.copies import changed
from tests.smallserver import By, Op, Part, Run, run, write
from tests.tracebuilder import ALLREDUCE_KERNEL, TraceBuilder

EXACT = 0.01
JITTER = 300
RNG = random.Random(1)
NOISE = [[RNG.randint(-JITTER, JITTER) for _ in range(100)] for _ in range(8)]


def takes(ns: int, more: By = lambda *_: 0) -> By:
    return lambda rank, step: ns + more(rank, step) + NOISE[rank][step]


def reduced(key: str, stream: int = 7, after: tuple[str, ...] = (), wire: int = 8_000) -> Op:
    return Op(key, lambda *_: wire, stream, after, ALLREDUCE_KERNEL, "ncclAllReduce")


def told(path: Path, done: Run) -> Report:
    return build_report(nsysan.analyze(write(path / "t.sqlite", done)), "0", timelines=False)


def held(report: Report, now: Run, right: Run, late: set[int]) -> None:
    what = report.diagnosis.what_if
    assert what is not None
    period, saves = now.period(), now.period() - right.period()
    assert what.period == pytest.approx(period, rel=EXACT)
    assert what.period - (what[Scenario.NO_SKEW] or 0) == pytest.approx(saves, abs=EXACT * period)
    assert {rank for one in report.diagnosis.late for rank in one.ranks} == late


@pytest.mark.parametrize("call", ["Broadcast", "Reduce", "AllGather"])
def test_the_others_wait_for_one_host_at_a_call_of_all(tmp_path: Path, call: str) -> None:
    """Rank 0 samples on its CPU for 300 us and hands out the tokens: of a broadcast it waits for nobody itself."""
    kernel = f"ncclDevKernel_{call}_Sum_bf16_RING_LL" if call == "Reduce" else f"ncclDevKernel_{call}_RING_LL"
    root = 0 if call == "Broadcast" else None

    def server(sampling: int) -> Run:
        tokens = Op("tokens", lambda *_: 5_000, kernel=kernel, call=f"nccl{call}", root=root)
        first = Part(takes(10_000), [Op("layers", takes(60_000)), reduced("sum")])
        return run([first, Part(takes(2_000, lambda rank, _: 0 if rank else sampling), [tokens])])

    now = server(300_000)
    report = told(tmp_path, now)
    held(report, now, server(0), {0})
    assert report.diagnosis.late[0].cause == "host"
    assert report.diagnosis.verdict.kind == "skew"


def test_kernels_that_no_catalogue_knows_for_barriers_are_waited_at(tmp_path: Path) -> None:
    """DeepEP's dispatch, whose name does not tell whether it waits."""
    dispatch = replace(reduced("sum"), kernel="void deep_ep::internode_ll::dispatch<true>(int)", call="ncclAlltoAll")

    def server(slower: int) -> Run:
        ops = []
        for layer in range(4):
            ops.append(Op(f"compute{layer}", takes(30_000, lambda rank, _: slower if rank == 1 else 0)))
            ops.append(replace(dispatch, key=f"sum{layer}"))
        return run([Part(takes(10_000), ops)])

    now = server(12_000)
    held(told(tmp_path, now), now, server(0), {1})


@pytest.mark.parametrize("chunks", [(0, 1, 2, 3), (1, 2)])
def test_an_order_that_other_ranks_refute_is_none(tmp_path: Path, chunks: tuple[int, ...]) -> None:
    """A product in four chunks, each reduced on another stream: on the rank whose chunks are slow each one ends after
    what reduces the one before, and what reduces the next seems to wait for it there.
    """

    def server(slower: int) -> Run:
        ops: list[Op] = []
        for layer in range(4):
            for chunk in range(4):
                more = slower if chunk in chunks else 0
                ops += [
                    Op(
                        f"{layer}.{chunk}",
                        takes(12_000, lambda rank, _, more=more: more if rank == 3 else 0),  # type: ignore[misc]
                        after=[f"sum{layer - 1}.3"] if layer and not chunk else [],
                    ),
                    reduced(f"sum{layer}.{chunk}", 20, (f"{layer}.{chunk}",)),
                ]
        ops.append(Op("sample", takes(6_000), after=["sum3.3"], kernel="sample_kernel"))
        return run([Part(takes(10_000), ops, graph=True)])

    now = server(6_000)
    held(told(tmp_path, now), now, server(0), {3})


@pytest.mark.parametrize("seed", range(3))
def test_another_of_many_hosts_is_late_in_each_step(tmp_path: Path, seed: int) -> None:
    """Of eight none costs 3 % by itself, or one does by chance: together they cost a sixth of the step."""
    chance = random.Random(seed)
    late = [chance.randrange(8) for _ in range(60)]

    def server(more: int) -> Run:
        ops = []
        for layer in range(4):
            ops += [Op(f"compute{layer}", takes(60_000)), reduced(f"sum{layer}")]
        return run([Part(takes(20_000, lambda rank, step: more if rank == late[step] else 0), ops)], 8, 60)

    now = server(60_000)
    report = told(tmp_path, now)
    held(report, now, server(0), set())
    (turns,) = (one for one in report.findings if one.id == "rotation")
    assert turns.saving == pytest.approx(60_000, rel=0.03)
    assert report.diagnosis.verdict.kind == "skew"


def test_where_ranks_medians_are_of_no_step_that_is_told(tmp_path: Path) -> None:
    """Hosts of ranks 1 and 3 are late in turn: a step takes 60 us more, and each rank's own now more, now less."""

    def server(more: int) -> Run:
        ops = [Op("compute", takes(200_000)), reduced("sum")]
        return run([Part(takes(20_000, lambda rank, step: more if rank == (1, 3)[step % 2] else 0), ops)])

    report = told(tmp_path, server(60_000))
    row = next(row for row in report.quality if row.id == "steady_period")
    assert row.status == "estimated"
    assert "off the median step's" in row.reason
    assert report.diagnosis.verdict.sure != "high"


@pytest.mark.parametrize("overlaps", [True, False])
def test_another_wire_saves_what_is_not_behind_compute(tmp_path: Path, overlaps: bool) -> None:
    """Two half batches in turn, all-reduces (35 us) beside the other's compute; or one by one."""

    def server(wire: int) -> Run:
        ops: list[Op] = []
        for layer in range(4):
            for half in "ab":
                after = [f"sum{layer - 1}{half}"] if layer and overlaps else []
                ops.append(Op(f"{layer}{half}", takes(30_000), after=after))
                ops.append(reduced(f"sum{layer}{half}", 20 if overlaps else 7, (f"{layer}{half}",), wire))
        ops.append(Op("sample", takes(6_000), after=["sum3a", "sum3b"], kernel="sample_kernel"))
        return run([Part(takes(10_000), ops, graph=True)])

    now = server(35_000)
    finding = next(one for one in told(tmp_path, now).findings if one.id == "wrong_wire")
    right = server(round(finding.figures["expected_wire_ns"]))  # type: ignore[arg-type]
    assert finding.saving == pytest.approx(now.period() - right.period(), abs=2 * EXACT * now.period())


def test_unknown_collectives_are_a_doubt(tmp_path: Path) -> None:
    """What rank 1 is late is counted as compute of the others: nothing may be told for sure."""

    def server(slower: int) -> Run:
        ops: list[Op] = []
        for layer in range(4):
            ops.append(Op(f"compute{layer}", takes(30_000, lambda rank, _: slower if rank == 1 else 0)))
            ops.append(replace(reduced(f"sum{layer}"), kernel="quick_allreduce_twoshot"))
        return run([Part(takes(10_000), ops)])

    report = told(tmp_path, server(12_000))
    assert report.diagnosis.verdict.sure == "low"
    assert "named like collectives and counted as compute" in report.diagnosis.verdict.because[0]


def test_a_thread_that_launches_for_all_makes_none_late(tmp_path: Path) -> None:
    """It works for 30 us, then launches rank by rank: what it does before the first is not rank 0's."""
    builder, launching = TraceBuilder(), 2_500
    process = builder.process(100)
    for rank in range(4):
        process.comm_init(comm=5, nranks=4, rank=rank, device=rank)
    at = 1_000_000
    for step in range(40):
        begin = at + 30_000 + 10 * NOISE[0][step]
        process.nvtx(f"decode_step_{step}", begin - 400, begin + 8 * launching)
        calls = [begin + 2 * launching * rank for rank in range(4)]
        done = [call + 5_000 + 60_000 + NOISE[rank][step] for rank, call in enumerate(calls)]
        last = max(done) + 9_200
        for rank, (call, ended) in enumerate(zip(calls, done, strict=True)):
            process.kernel("gemm", call + 5_000, ended, launch=(call, call + 2_000), device=rank)
            process.nccl("ncclAllReduce", call + launching - 50, call + 2 * launching - 100, bytes=8_192, comm=5)
            launch = (call + launching, call + launching + 2_000)
            process.kernel(ALLREDUCE_KERNEL, ended + 1_200, last, launch=launch, device=rank)
        process.api("cudaStreamSynchronize_v3020", calls[-1] + 6_000, last + 3_000)
        at = last + 3_000
    path = builder.write(tmp_path / "t.sqlite")
    report = build_report(nsysan.analyze(path), "0", timelines=False)
    assert len(report.ranks) == 4
    assert report.diagnosis.late == []
    what = report.diagnosis.what_if
    assert what is not None
    assert what[Scenario.NO_SKEW] == pytest.approx(what.period, rel=0.03)


@pytest.mark.parametrize("late", [(0, 1, 2, 3), (3,)])
def test_a_pause_in_every_ninth_step_makes_no_longer_step(tmp_path: Path, late: tuple[int, ...]) -> None:
    """Without ranges: what repeats is a step, as hosts wait in each, though pauses part nines of them."""
    ops = []
    for layer in range(4):
        ops += [Op(f"compute{layer}", takes(60_000)), reduced(f"sum{layer}")]
    ops.append(Op("sample", takes(6_000), kernel="sample_kernel"))
    more: By = lambda rank, step: 900_000 if rank in late and step % 9 == 4 else 0  # noqa: E731
    done = run([Part(takes(20_000, more), ops)], steps=90)
    for path in (
        [write(tmp_path / "one.sqlite", done, ranges=False)],
        [write(tmp_path / f"{rank}.sqlite", done, [rank], f"m{rank}", ranges=False) for rank in range(4)],
    ):
        own = nsysan.analyze(path)
        assert own.steps.method == "period"
        assert len(own.windows["step"].unique()) >= 88
        report = build_report(own, "0", timelines=False)
        assert report.headline["period_ns"] == pytest.approx(done.period(), rel=EXACT)


def test_clocks_that_wander_are_a_doubt(tmp_path: Path) -> None:
    """Two reports; the clock of one is now 8, now 16 us ahead, of steps of 308 us."""

    def server() -> Run:
        ops = []
        for layer in range(4):
            ops += [Op(f"compute{layer}", takes(60_000)), reduced(f"sum{layer}")]
        return run([Part(takes(20_000), ops)])

    done = server()
    paths = [write(tmp_path / f"{node}.sqlite", done, (2 * node, 2 * node + 1), f"m{node}") for node in range(2)]
    sure = []
    for wanders in (False, True):
        if wanders:
            for table in ("CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_RUNTIME", "NVTX_EVENTS"):
                moved = ", ".join(f'"{one}" = "{one}" + ("{one}" / 900000 % 3) * 8000' for one in ("start", "end"))
                changed(paths[1], f"UPDATE {table} SET {moved}")
        report = build_report(nsysan.analyze(paths), "0", timelines=False)
        sure.append((next(row.status for row in report.quality if row.id == "clock"), report.diagnosis.verdict.sure))
    assert sure[0][0] == "ok"
    assert sure[1][0] == "estimated"
    assert sure[1][1] != "high"


@pytest.mark.parametrize("polls", [12_000, 20_000, 30_000, 50_000])
def test_hosts_that_sleep_between_queries_wait_all_the_same(tmp_path: Path, polls: int) -> None:
    """What they ask for is found done no sooner than they ask again."""

    def server(slower: int) -> Run:
        ops = []
        for layer in range(4):
            ops.append(Op(f"compute{layer}", takes(30_000, lambda rank, _: slower if rank == 1 else 0)))
            ops.append(reduced(f"sum{layer}"))
        return run([Part(takes(10_000), ops, polls=polls)])

    now, right = server(12_000), server(0)
    report = told(tmp_path, now)
    (late,) = report.diagnosis.late
    assert late.ranks == (1,)
    saves = now.period(of_mean=True) - right.period(of_mean=True)
    # It is told to within what a host sleeps.
    assert late.mean_saves == pytest.approx(saves, abs=max(0.03 * now.period(), polls / 2))
