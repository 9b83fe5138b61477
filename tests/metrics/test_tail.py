"""The tail: what lies between mean and median, by cause and rank, on traces whose answer is known on paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import nsysan
from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.metrics.chain import chains, with_before
from nsysan.metrics.skew import arrivals
from nsysan.metrics.tail import Hump, TailRow, humps, tail_rows
from nsysan.metrics.tail_causes import TailCause
from nsysan.report.build import build_report
from nsysan.report.markdown import to_markdown
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from nsysan.run.run import Run
from tests.frames import lockstep_run
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder

#: Ranks, steps, calls a step. The first step is start-up, and nothing follows the last: 40 make mean and tail.
SHAPE = (4, 42, 2)
USUAL = 10_000


def report_of(run: Run) -> Report:
    return build_report(run, "0", timelines=False)


def tail_of(run: Run) -> list[TailRow]:
    return report_of(run).diagnosis.tail


def usual() -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.full(SHAPE, USUAL, dtype=np.int64)


def test_a_balanced_run_has_none(tmp_path: Path) -> None:
    assert tail_of(lockstep_run(tmp_path / "t.sqlite", usual())) == []


def test_a_pause_of_one_host_in_every_tenth_step(tmp_path: Path) -> None:
    idle = np.zeros(SHAPE, dtype=np.int64)
    idle[2, [6, 16, 26, 36], 0] = 100_000
    report = report_of(lockstep_run(tmp_path / "t.sqlite", usual(), idle=idle))
    assert report.diagnosis.tail == [TailRow(TailCause.HOST, 2, 10_000, [6, 16, 26, 36])]
    assert {(o.rank, o.cause, o.growth) for o in report.diagnosis.outliers} == {(2, TailCause.HOST, 100_000)}
    sentence = "rank 2, host 10.0 µs (its host launched later than usual) in steps 6, 16, 26 and 36"
    assert sentence in to_text(report)
    assert sentence in to_markdown(report)


def test_two_ranks_and_two_causes(tmp_path: Path) -> None:
    idle, compute = np.zeros(SHAPE, dtype=np.int64), usual()
    idle[1, [5, 25], 1] = 60_000
    compute[3, [9, 19, 29, 39], 0] += 40_000
    run = lockstep_run(tmp_path / "t.sqlite", compute, idle=idle)
    # 4 x 40 and 2 x 60 us in 40 steps.
    assert tail_of(run) == [
        TailRow(TailCause.COMPUTE, 3, 4_000, [9, 19, 29, 39]),
        TailRow(TailCause.HOST, 1, 3_000, [5, 25]),
    ]


def test_a_slow_transfer_is_of_no_rank(tmp_path: Path) -> None:
    wire = np.full(SHAPE[1:], 8_000)
    wire[[7, 17], 1] += 80_000
    run = lockstep_run(tmp_path / "t.sqlite", usual(), wire=wire)
    assert tail_of(run) == [TailRow(TailCause.WIRE, None, 4_000, [7, 17])]


def test_what_a_rank_loses_while_it_would_have_waited_is_nobodys(tmp_path: Path) -> None:
    compute = usual()
    # Rank 0 paces every step; rank 1 is as slow as it in two, and slower by 30 us in two others.
    compute[0] += 50_000
    compute[1, [5, 15]] += 50_000
    compute[1, [8, 18], 0] += 80_000
    assert tail_of(lockstep_run(tmp_path / "t.sqlite", compute)) == [TailRow(TailCause.COMPUTE, 1, 1_500, [8, 18])]


def test_a_rank_that_is_always_late_is_no_tail(tmp_path: Path) -> None:
    compute = usual()
    compute[2] += 20_000
    assert tail_of(lockstep_run(tmp_path / "t.sqlite", compute)) == []


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_pause_between_the_steps_is_of_the_rank_that_paused(tmp_path: Path, ranks: int) -> None:
    builder = TraceBuilder()
    processes = [builder.process(100 + rank, device=rank) for rank in range(ranks)]
    at = 1_000_000
    for step in range(42):
        # Before steps 6, 16, 26 and 36 the host of rank 1 sleeps for 1 ms: the others wait for it in that step.
        pause = 1_000_000 if step % 10 == 6 else 0
        for rank, process in enumerate(processes):
            begin = at + (pause if rank == 1 else 0)
            process.nvtx(f"decode_step_{step}", begin - 5_500, begin - 4_000)
            process.kernel(COMPUTE_KERNEL, begin, begin + 110_000, launch=(begin - 5_000, begin - 4_900))
            process.kernel(
                ALLREDUCE_KERNEL, begin + 110_000, at + pause + 118_000, launch=(begin - 4_800, begin - 4_700)
            )
        at += pause + 130_000
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "t.sqlite")))
    report = report_of(run)
    # The last step, which is 12 us shorter, is not in it.
    assert report.replicas[0].period is not None
    assert report.replicas[0].period.mean == 130_000 + 100_000
    assert report.diagnosis.tail == [TailRow(TailCause.HOST, 1, 100_000, [6, 16, 26, 36])]
    assert {(o.rank, o.cause) for o in report.diagnosis.outliers} == {(1, TailCause.HOST)}


def test_of_one_rank_alone(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(100)
    at = 1_000_000
    for step in range(42):
        slow, pause = (60_000 if step % 10 == 5 else 0), (30_000 if step % 10 == 8 else 0)
        process.nvtx(f"decode_step_{step}", at - 6_000, at - 4_000)
        process.kernel(COMPUTE_KERNEL, at, at + 100_000 + slow, launch=(at - 5_000, at - 4_900))
        at += 106_000 + slow + pause
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "t.sqlite")))
    assert tail_of(run) == [
        TailRow(TailCause.COMPUTE, 0, 6_000, [5, 15, 25, 35]),
        TailRow(TailCause.HOST, 0, 3_000, [8, 18, 28, 38]),
    ]


def test_rows_sum_to_mean_less_median() -> None:
    periods = pl.Series([100_000] * 30 + [101_000] * 5 + [150_000, 160_000, 190_000, 103_500, 104_500])
    rows = [(36, "host", 1, 50_000), (37, "host", 1, 30_000), (37, "wire", None, 30_000), (38, "copy", 0, 90_000)]
    losses = pl.DataFrame(rows, schema=["step", "cause", "rank", "ns"], orient="row")
    found = tail_rows(losses, periods)
    # (5 + 50 + 60 + 90 + 3.5 + 4.5 us) / 40; the wire's 0.75 us is less than 1 % of the median.
    assert sum(row.ns for row in found) == 213_000 // 40
    assert found[:2] == [TailRow(TailCause.COPY, 0, 2_250, [38]), TailRow(TailCause.HOST, 1, 2_000, [36, 37])]
    assert found[2:] == [TailRow(TailCause.SPREAD, None, 1_075, [])]


def test_a_rest_is_told_however_small() -> None:
    losses = pl.DataFrame({"step": [39], "cause": ["host"], "rank": [0], "ns": [80_000]})
    found = tail_rows(losses, pl.Series([100_000] * 38 + [100_800, 180_000]))
    assert [(row.cause, row.ns) for row in found] == [(TailCause.HOST, 2_000), (TailCause.SPREAD, 20)]


def test_no_tail_where_mean_and_median_are_close() -> None:
    losses = pl.DataFrame({"step": [1], "cause": ["host"], "rank": [0], "ns": [900]})
    assert tail_rows(losses, pl.Series([100_000] * 9 + [100_900])) == []
    assert tail_rows(losses, pl.Series([], dtype=pl.Int64)) == []


def test_links_of_a_chain_sum_to_the_time_between_the_last_calls(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    run = lockstep_run(
        tmp_path / "t.sqlite",
        rng.integers(10_000, 15_000, (3, 9, 4)),
        wire=rng.integers(8_000, 9_000, (9, 4)),
        idle=rng.integers(0, 2, (3, 9, 4)) * 3_000,
    )
    links = chains(with_before(arrivals(run.collectives), run.windows), run.steady_steps)
    found = links.group_by("step").agg(ns=(pl.col("moved") + pl.col("took")).sum()).sort("step")
    ends = run.collectives.group_by("step").agg(pl.max("end")).sort("step")["end"].diff()
    # The step after start-up, which is no steady one, begins with its own first work.
    assert found["ns"].to_list()[1:] == ends.to_list()[2:]
    assert found["ns"][0] < ends[1]
    assert len(links) == 4 * 8


# ---- two humps


@pytest.mark.parametrize(
    ("periods", "found"),
    [
        ([100] * 10 + [150] * 10, (Hump(10, 100), Hump(10, 150))),
        # The median is one of the shorter steps, and of no other kind.
        ([100] * 11 + [150] * 10, (Hump(11, 100), Hump(10, 150))),
        ([100] * 3 + [150] * 9, (Hump(3, 100), Hump(9, 150))),
        ([100] * 2 + [150] * 9, None),
        ([100] * 10 + [109] * 10, None),
        ([100] * 36 + [350] * 4, None),
        ([100, 120, 140, 160, 180, 200, 220, 240, 262], None),
        # No step is near 150.
        ([100, 120, 180, 200], (Hump(2, 110), Hump(2, 190))),
        ([100, 200], None),
        ([], None),
    ],
)
def test_two_humps(periods: list[int], found: tuple[Hump, Hump] | None) -> None:
    assert humps(pl.Series(periods, dtype=pl.Int64)) == found


def test_a_report_of_two_humps_says_so(tmp_path: Path) -> None:
    compute = usual()
    compute[:, 1::2] += 8_000
    report = report_of(lockstep_run(tmp_path / "t.sqlite", compute))
    # Of 40 steady steps that another follows 20 take 38 us and 20 take 54.
    assert report.diagnosis.humps is not None
    low, high = report.diagnosis.humps
    assert (low.count, low.p50, high.count, high.p50) == (20, 38_000, 20, 54_000)
    sentence = "two humps: 20 steps near 38.0 µs, 20 near 54.0 µs; the median stands for neither"
    assert sentence in to_text(report)
    assert sentence in to_markdown(report)
    assert "steady_period" in {row.id for row in report.quality if row.status != "ok"}


@pytest.mark.parametrize("name", ["tp4_graph_node", "tp2_graph", "tp4_symm", "tp4_fused"])
def test_real_runs_without_a_tail(reported: Callable[[str], Report], name: str) -> None:
    found: Diagnosis = reported(name).diagnosis
    assert (found.tail, found.humps) == ([], None)


def test_the_tail_of_a_real_run_is_that_of_its_pacing_host(reported: Callable[[str], Report]) -> None:
    report = reported("tp4_eager")
    period = report.replicas[0].period
    assert period is not None
    # Rank 0 is late in every step, and in two of eleven far more; the shorter ones take some of that back.
    first = report.diagnosis.tail[0]
    assert (first.cause, first.rank, first.steps) == (TailCause.HOST, 0, [2, 7])
    assert first.ns == pytest.approx(period.mean - period.p50, rel=0.2)
