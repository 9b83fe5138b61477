"""Rows of collectives: whose calls they are, by which ranks, and how far the two estimates of waiting differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import nsysan
from nsysan.diagnosis.collectives import size_series
from nsysan.report.build import build_report
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from tests.documents import document_of
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder, decode_loop

COMM = 0x77
US = 1_000


def quality(report: Report) -> dict[str, str]:
    return {row.id: row.reason for row in report.quality}


def partly(path: Path, shown: Sequence[int], *, of: int = 4, payload: bool = True, idle: Sequence[int] = ()) -> Report:
    """Some ranks of a communicator, in steps of one all-reduce, and some without a step.

    Without payload the calls do not name the communicator.
    """
    builder = TraceBuilder()
    for rank in idle:
        process = builder.process(100 + rank, device=rank)
        process.comm_init(comm=COMM, nranks=of, rank=rank, device=rank)
        process.kernel(COMPUTE_KERNEL, 100 * US, 110 * US)
    for rank in shown:
        process = builder.process(100 + rank, device=rank)
        process.comm_init(comm=COMM, nranks=of, rank=rank, device=rank)
        for step in range(5):
            at = 1_000 * US + step * 100 * US
            process.nvtx(f"decode_step_{step}", at - 12 * US, at - US)
            process.kernel(COMPUTE_KERNEL, at, at + 10 * US)
            process.kernel(ALLREDUCE_KERNEL, at + 10 * US, at + 20 * US, launch=at - 5 * US)
            if payload:
                process.nccl("ncclAllReduce", at - 6 * US, at - 2 * US, bytes=8192, comm=COMM)
    return build_report(nsysan.analyze(nsysan.open_trace(builder.write(path))), "0", timelines=False)


@pytest.mark.parametrize("payload", [True, False])
@pytest.mark.parametrize(("shown", "words"), [((0,), "1 of 4 ranks"), ((0, 2), "2 of 4 ranks")])
def test_ranks_of_the_trace_and_of_the_communicator(
    tmp_path: Path, shown: tuple[int, ...], words: str, payload: bool
) -> None:
    report = partly(tmp_path / "t.sqlite", shown, payload=payload)
    (family,) = report.collectives
    assert (family.ranks, family.communicator_size, family.over) == (len(shown), 4, words)
    # A rank that is not there may have arrived later still: a speed would be a guess.
    assert (family.algbw, family.busbw) == (None, None)
    assert f"over {words}:" in to_text(report)
    (row,) = document_of(report)["collectives"]
    assert (row["ranks"], row["communicator_size"]) == (len(shown), 4)


def test_all_ranks_of_the_communicator(tmp_path: Path) -> None:
    report = partly(tmp_path / "t.sqlite", range(4))
    (family,) = report.collectives
    assert (family.ranks, family.communicator_size, family.over) == (4, 4, "4 ranks")
    assert family.busbw == pytest.approx(8192 / (10 * US) * 2 * 3 / 4)
    assert [series.name for series in size_series(report.collectives, report.link)] == [
        "all_reduce over 4 ranks (NCCL)"
    ]


def test_a_rank_that_is_in_the_trace_but_in_no_step_is_missing_too(tmp_path: Path) -> None:
    """All three initialise the communicator, and the calls of one are outside the capture."""
    report = partly(tmp_path / "t.sqlite", (0, 1), of=3, idle=(2,))
    (family,) = report.collectives
    assert (family.matched, family.over) == (0, "2 of 3 ranks")
    assert family.wire is None
    assert (family.algbw, family.busbw) == (None, None)


def test_without_a_communicator_its_size_is_not_known(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, message_bytes=None)
    report = build_report(nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "t.sqlite"))), "0", timelines=False)
    (family,) = report.collectives
    assert (family.ranks, family.communicator_size, family.over) == (4, None, "4 ranks")


def test_one_rank_of_a_real_run(reported: Callable[[str], Report]) -> None:
    (family,) = reported("rank_0").collectives
    assert (family.ranks, family.communicator_size, family.matched) == (1, 4, 0)
    assert family.wait is family.wait_clock_free is family.wait_error is None


def unequal_ends(path: Path) -> Report:
    """Rank 1 arrives 2 us late and leaves 1 us late; in step 4, which has a kernel more, 20 us late."""
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(100 + rank, device=rank)
        process.comm_init(comm=COMM, nranks=2, rank=rank, device=rank)
        for step in range(8):
            at = 1_000 * US + step * 100 * US
            late = 20 * US if step == 4 else US
            process.nvtx(f"decode_step_{step}", at - 12 * US, at - US)
            process.kernel(COMPUTE_KERNEL, at, at + 10 * US + rank * 2 * US)
            begin, end = at + 10 * US + rank * 2 * US, at + 20 * US + rank * late
            process.kernel(ALLREDUCE_KERNEL, begin, end, launch=at - 5 * US)
            process.nccl("ncclAllReduce", at - 6 * US, at - 2 * US, bytes=8192, comm=COMM)
            if step == 4:
                process.kernel("a_kernel_more", at + 50 * US, at + 55 * US, launch=at - 3 * US)
    return build_report(nsysan.analyze(nsysan.open_trace(builder.write(path))), "0", timelines=False)


def test_both_estimates_of_waiting_and_their_difference_in_steady_steps(tmp_path: Path) -> None:
    report = unequal_ends(tmp_path / "t.sqlite")
    assert report.steps.excluded.keys() == {0, 4}
    row, other = document_of(report)["collectives"]
    assert (row["population"], other["population"]) == ("decode", "decode.2")
    # By the clock rank 0 waits 2 us. Rank 1 is inside 9 us and rank 0 10, so by durations it waits 1; in step 4 they
    # are inside 28 and 10 us, and rank 1 seems to wait 18.
    assert row["wait_ns"] == {"p50": 2 * US, "p95": 2 * US, "p99": 2 * US, "max": 2 * US}
    assert row["wait_clock_free_ns"] == {"p50": US, "p95": US, "p99": US, "max": US}
    assert other["wait_clock_free_ns"] == {"p50": 18 * US, "p95": 18 * US, "p99": 18 * US, "max": 18 * US}
    assert row["wait_error_ns"] == {"p50": US, "p95": US, "p99": US, "max": US}
    assert other["wait_error_ns"] is None
    assert "all_reduce of 8 KiB over 2 ranks in decode.2: 1 of 1 call matched" in to_text(report)
    assert quality(report)["wait_wire"].endswith("; the two estimates of wait differ by 1.0 µs at p95")


def test_the_error_of_a_real_run_is_small(reported: Callable[[str], Report]) -> None:
    """Ranks of one session leave an all-reduce together, so both estimates agree within a microsecond."""
    (row,) = document_of(reported("tp4_graph_node"))["collectives"]
    assert 0 < row["wait_error_ns"]["p95"] < 1_500
    assert row["wait_clock_free_ns"]["p95"] == pytest.approx(row["wait_ns"]["p95"], abs=1_000)
