"""Collectives matched across ranks, the gate, and arrivals under programmatic dependent launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan.run.run import Run
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder, decode_loop

ALLGATHER_KERNEL = "ncclDevKernel_AllGather_RING_LL"
SENDRECV_KERNEL = "ncclDevKernel_SendRecv"
STEP_NS = 100_000
Call = tuple[str, int, int]


def run_of(
    tmp_path: Path, ranks: Mapping[int, Mapping[int, Sequence[Call]]], *, stream: int = 20, comms: bool = False
) -> Run:
    """ranks: {rank: {step: kernels}}; a kernel is name, start and end within its step, on one stream.

    Every step of every rank opens with 1 us of compute.
    """
    builder = TraceBuilder()
    for rank, steps in ranks.items():
        process = builder.process(100 + rank, device=rank)
        for step, calls in steps.items():
            at = STEP_NS * step
            process.nvtx(f"decode_step_{step}", at - 60_000, at - 10_000)
            process.kernel(COMPUTE_KERNEL, at, at + 1_000, launch=at - 59_000)
            for number, (name, start, end) in enumerate(calls):
                launch = at - 50_000 + 3_000 * number
                process.kernel(name, at + start, at + end, launch=launch, stream=stream)
                if comms:
                    process.nccl("ncclAllReduce", launch - 100, launch + 2_100, bytes=8, comm=5 + number % 2)
    return nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "trace.sqlite")))


def waits(run: Run, step: int, rank: int, name: str = ALLREDUCE_KERNEL) -> list[tuple[str, int | None, int | None]]:
    calls = run.collectives.filter((pl.col("step") == step) & (pl.col("rank") == rank) & (pl.col("name") == name)).sort(
        "begin"
    )
    return list(calls.select("verdict", "wait", "wire").iter_rows())


def line(run: Run, step: int, rank: int, *names: str) -> tuple[int | None, ...]:
    ledger = run.ledger.filter((pl.col("step") == step) & (pl.col("rank") == rank))
    return ledger.select(f"{name}_ns" for name in names).row(0)


def test_waits_of_a_known_skew(tmp_path: Path) -> None:
    arrivals = {0: 2_000, 1: 9_000, 2: 5_000}
    run = run_of(
        tmp_path,
        {rank: {step: [(ALLREDUCE_KERNEL, at, 12_000 + rank)] for step in range(3)} for rank, at in arrivals.items()},
    )
    for rank, arrival in arrivals.items():
        assert waits(run, 1, rank) == [("matched", 9_000 - arrival, 3_000 + rank)]
        assert line(run, 1, rank, "wait", "wire") == (9_000 - arrival, 3_000 + rank)
    # Free of clocks: rank 1's call is the shortest, 3_001 ns.
    estimate = run.collectives.filter(pl.col("step") == 1).sort("rank")["skew_free_wait"].to_list()
    assert estimate == [10_000 - 3_001, 0, 7_002 - 3_001]


def test_ranks_are_matched_in_order_within_the_step(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        {
            0: {s: [(ALLREDUCE_KERNEL, 2_000, 10_000), (ALLREDUCE_KERNEL, 12_000, 20_000)] for s in range(2)},
            1: {s: [(ALLREDUCE_KERNEL, 7_000, 10_000), (ALLREDUCE_KERNEL, 12_500, 20_000)] for s in range(2)},
        },
    )
    assert waits(run, 1, 0) == [("matched", 5_000, 3_000), ("matched", 500, 7_500)]
    assert waits(run, 1, 1) == [("matched", 0, 3_000), ("matched", 0, 7_500)]


def test_a_missing_call_costs_its_own_group_and_nothing_else(tmp_path: Path) -> None:
    reduces = [(ALLREDUCE_KERNEL, 10_000 * i, 10_000 * i + 5_000) for i in range(1, 4)]
    late = [(name, start + 1_000, end) for name, start, end in reduces]
    gather = [(ALLGATHER_KERNEL, 50_000, 54_000)]
    ranks = {rank: {step: [*(late if rank else reduces), *gather] for step in range(5)} for rank in range(2)}
    whole = run_of(tmp_path, ranks)
    ranks[1][2] = [late[0], late[2], *gather]
    run = run_of(tmp_path, ranks)

    assert waits(run, 2, 0) == [("matched", 1_000, 4_000), ("unmatched", None, None), ("matched", 1_000, 4_000)]
    assert waits(run, 2, 1) == [("matched", 0, 4_000)] * 2
    assert waits(run, 2, 0, ALLGATHER_KERNEL) == [("matched", 0, 4_000)]
    assert line(run, 2, 0, "comm_unsplit", "wait", "wire") == (5_000, 2_000, 12_000)
    assert line(run, 2, 1, "comm_unsplit", "wait", "wire") == (0, 0, 12_000)
    columns = ["step", "rank", "name", "begin", "verdict", "last", "wait", "wire"]
    others = [r.collectives.filter(pl.col("step") != 2).select(columns) for r in (whole, run)]
    assert others[0].equals(others[1])
    assert others[0]["verdict"].unique().to_list() == ["matched"]


def test_a_rank_without_any_call_of_the_family_leaves_the_step_unmatched(tmp_path: Path) -> None:
    call = [(ALLREDUCE_KERNEL, 2_000, 6_000)]
    run = run_of(tmp_path, {0: dict.fromkeys(range(4), call), 1: {0: call, 1: [], 2: call, 3: call}})
    assert waits(run, 1, 0) == [("unmatched", None, None)]
    assert waits(run, 2, 0) == [("matched", 0, 4_000)]
    # Nothing of this step could be split, so its waiting is unknown rather than none.
    assert line(run, 1, 0, "wait", "wire", "comm_unsplit") == (None, None, 4_000)


def test_the_gate_rejects_a_call_that_ended_before_another_rank_began(tmp_path: Path) -> None:
    good = (ALLREDUCE_KERNEL, 20_000, 24_000)
    run = run_of(
        tmp_path,
        {
            0: {step: [(ALLREDUCE_KERNEL, 2_000, 5_000), good] for step in range(2)},
            1: {step: [(ALLREDUCE_KERNEL, 5_001, 9_000), good] for step in range(2)},
        },
    )
    assert waits(run, 1, 0) == [("rejected", None, None), ("matched", 0, 4_000)]
    assert waits(run, 1, 1) == [("rejected", None, None), ("matched", 0, 4_000)]
    assert line(run, 1, 0, "comm_unsplit", "wait", "wire") == (3_000, 0, 4_000)
    assert line(run, 1, 1, "comm_unsplit", "wait", "wire") == (3_999, 0, 4_000)


def test_the_gate_lets_pass_a_call_that_ended_as_the_last_rank_began(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        {
            0: {step: [(ALLREDUCE_KERNEL, 2_000, 5_000)] for step in range(2)},
            1: {step: [(ALLREDUCE_KERNEL, 5_000, 9_000)] for step in range(2)},
        },
    )
    assert waits(run, 1, 0) == [("matched", 3_000, 0)]
    assert waits(run, 1, 1) == [("matched", 0, 4_000)]


def test_communicators_are_matched_apart(tmp_path: Path) -> None:
    first, second = (ALLREDUCE_KERNEL, 2_000, 10_000), (ALLREDUCE_KERNEL, 12_000, 20_000)
    ranks = {rank: {step: [first, second] for step in range(2)} for rank in range(2)}
    run = run_of(tmp_path, ranks, comms=True)
    assert run.collectives["communicator"].unique().sort().to_list() == ["5", "6"]
    assert run.collectives["call"].unique().to_list() == [0]
    assert waits(run, 1, 0) == [("matched", 0, 8_000)] * 2


def test_send_and_receive_between_two_ranks(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        {
            0: {step: [(SENDRECV_KERNEL, 2_000, 10_000)] for step in range(2)},
            1: {step: [(SENDRECV_KERNEL, 6_000, 10_500)] for step in range(2)},
        },
    )
    assert run.collectives["cls"].unique().to_list() == ["p2p"]
    assert waits(run, 1, 0, SENDRECV_KERNEL) == [("matched", 4_000, 4_000)]
    assert waits(run, 1, 1, SENDRECV_KERNEL) == [("matched", 0, 4_500)]


def test_send_and_receive_among_more_ranks_are_not_guessed(tmp_path: Path) -> None:
    call = [(SENDRECV_KERNEL, 2_000, 10_000)]
    run = run_of(tmp_path, {rank: dict.fromkeys(range(2), call) for rank in range(3)})
    assert waits(run, 1, 0, SENDRECV_KERNEL) == [("unmatched", None, None)]
    assert line(run, 1, 0, "comm_unsplit", "wait", "wire") == (8_000, None, None)


def test_one_rank_alone_has_nothing_to_match(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=1, layers=3)
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "trace.sqlite")))
    assert run.collectives["verdict"].unique().to_list() == ["single"]
    assert line(run, 1, 0, "comm_unsplit", "comm", "wait", "wire") == (24_000, 24_000, None, None)


# ---- programmatic dependent launch


def pdl(tmp_path: Path, second: str, *, streams: tuple[int, int]) -> Run:
    """Two ranks: compute 0 to 10 us, then a kernel resident from 9.4 us (rank 0) or 9.9 us (rank 1) to 16 us."""
    builder = TraceBuilder()
    for rank, start in enumerate((9_400, 9_900)):
        process = builder.process(100 + rank, device=rank)
        for step in range(2):
            at = STEP_NS * step
            process.nvtx(f"decode_step_{step}", at - 60_000, at - 10_000)
            process.kernel(COMPUTE_KERNEL, at, at + 10_000, launch=at - 59_000, stream=streams[0])
            process.kernel(second, at + start, at + 16_000, launch=at - 50_000, stream=streams[1])
    return nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "pdl.sqlite")))


PDL_FIGURES = ("period", "compute", "wait", "wire", "overlap", "idle", "pdl_trimmed")


def test_a_kernel_resident_before_its_predecessor_ends_is_no_overlap(tmp_path: Path) -> None:
    run = pdl(tmp_path, ALLREDUCE_KERNEL, streams=(7, 7))
    # Neither rank has arrived before its compute ends at 10.
    assert line(run, 1, 0, *PDL_FIGURES) == (16_000, 10_000, 0, 6_000, 0, 0, 600)
    assert line(run, 1, 1, *PDL_FIGURES) == (16_000, 10_000, 0, 6_000, 0, 0, 100)


def test_the_same_intervals_on_two_streams_do_overlap(tmp_path: Path) -> None:
    run = pdl(tmp_path, ALLREDUCE_KERNEL, streams=(7, 8))
    # Rank 0 arrives at 9.4 and waits until 9.9, under compute.
    assert waits(run, 1, 0) == [("matched", 500, 6_100)]
    assert line(run, 1, 0, *PDL_FIGURES) == (16_000, 10_000, 0, 6_000, 600, 0, 0)
    assert line(run, 1, 1, *PDL_FIGURES) == (16_000, 10_000, 0, 6_000, 100, 0, 0)


def test_early_compute_is_trimmed_too(tmp_path: Path) -> None:
    run = pdl(tmp_path, "gemm", streams=(7, 7))
    assert line(run, 1, 0, "compute", "idle", "pdl_trimmed") == (16_000, 0, 600)
    second = run.work.filter((pl.col("name") == "gemm") & (pl.col("rank") == 0) & (pl.col("step") == 1))
    assert second.select("start", "begin", "end", "trimmed").row(0) == (109_400, 110_000, 116_000, 600)


@pytest.mark.parametrize("streams", [(7, 7), (7, 8)])
def test_a_kernel_that_ends_within_its_predecessor_has_no_negative_length(
    tmp_path: Path, streams: tuple[int, int]
) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(2):
        at = STEP_NS * step
        process.nvtx(f"decode_step_{step}", at - 60_000, at - 10_000)
        process.kernel(COMPUTE_KERNEL, at, at + 10_000, launch=at - 59_000, stream=streams[0])
        process.kernel(COMPUTE_KERNEL, at + 4_000, at + 6_000, launch=at - 50_000, stream=streams[1])
        process.kernel(COMPUTE_KERNEL, at + 9_000, at + 12_000, launch=at - 40_000, stream=streams[0])
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "inside.sqlite")))
    assert (run.work["end"] - run.work["begin"]).min() == (0 if streams == (7, 7) else 2_000)
    trimmed = 3_000 if streams == (7, 7) else 1_000
    assert line(run, 0, 0, "compute", "idle", "pdl_trimmed") == (12_000, 88_000, trimmed)
