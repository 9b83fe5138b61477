"""Bytes and communicator of each collective from NCCL's ranges, eager, grouped and replayed."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan.run.run import Run
from tests.tracebuilder import ALLREDUCE_KERNEL, Process, TraceBuilder, decode_loop

ALLGATHER_KERNEL = "ncclDevKernel_AllGather_RING_LL"
SENDRECV_KERNEL = "ncclDevKernel_SendRecv"
COMM = 0xABCDEF
AT = 1_000_000


def one_step(tmp_path: Path, builder: TraceBuilder) -> Run:
    return nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "trace.sqlite")), "the step")


def payloads(run: Run) -> list[tuple[int | None, str | None]]:
    """message_bytes and communicator in order of time."""
    return list(run.collectives.sort("begin").select("message_bytes", "communicator").iter_rows())


def process_with_step(builder: TraceBuilder) -> Process:
    process = builder.process(1)
    process.nvtx("the step", AT, AT + 500_000)
    return process


def allreduce(process: Process, launch: int, *, kernel: str = ALLREDUCE_KERNEL, tid: int | None = None) -> None:
    """A kernel of 5 us, 10 us after the begin of its launch."""
    process.kernel(kernel, launch + 10_000, launch + 15_000, launch=launch, tid=tid)


def test_two_calls_in_one_range_keep_their_own_bytes(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = process_with_step(builder)
    for number, size in enumerate((8192, 1024)):
        call = AT + 1_000 + 20_000 * number
        process.nccl("ncclAllReduce", call, call + 4_000, bytes=size, comm=COMM + number)
        allreduce(process, call + 500)
    assert payloads(one_step(tmp_path, builder)) == [(8192, str(COMM)), (1024, str(COMM + 1))]


def test_a_range_of_another_thread_says_nothing(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = process_with_step(builder)
    process.nccl("ncclAllReduce", AT + 1_000, AT + 5_000, bytes=64, comm=COMM, tid=77)
    allreduce(process, AT + 2_000)
    assert payloads(one_step(tmp_path, builder)) == [(None, None)]


def test_a_call_of_another_kind_says_nothing(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = process_with_step(builder)
    process.nccl("ncclAllGather", AT + 1_000, AT + 5_000, bytes=64, comm=COMM)
    allreduce(process, AT + 2_000)
    assert payloads(one_step(tmp_path, builder)) == [(None, None)]


def test_without_a_payload_bytes_are_unknown(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = process_with_step(builder)
    process.nccl("ncclAllReduce", AT + 1_000, AT + 5_000)
    allreduce(process, AT + 2_000)
    allreduce(process, AT + 30_000)
    assert payloads(one_step(tmp_path, builder)) == [(None, None), (None, None)]


@pytest.mark.parametrize("text", ["not json", "[1, 2]", '{"Message size [bytes]": "8192"}', "{}"])
def test_a_payload_that_is_not_nccls_is_ignored(tmp_path: Path, text: str) -> None:
    builder = TraceBuilder()
    process = process_with_step(builder)
    process.nvtx("ncclAllReduce", AT + 1_000, AT + 5_000, domain="NCCL", registered=True, json=text)
    allreduce(process, AT + 2_000)
    assert payloads(one_step(tmp_path, builder)) == [(None, None)]


def test_names_without_the_prefix_of_older_nccls(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = process_with_step(builder)
    process.nccl("AllReduce", AT + 1_000, AT + 5_000, bytes=8192, comm=COMM)
    allreduce(process, AT + 2_000)
    assert payloads(one_step(tmp_path, builder)) == [(8192, str(COMM))]


def test_no_nccl_ranges_at_all(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, message_bytes=None, ranks=2)
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "trace.sqlite")))
    assert set(payloads(run)) == {(None, None)}
    assert run.collectives["verdict"].unique().to_list() == ["matched"]


# ---- CUDA graphs


def test_replayed_calls_have_the_bytes_of_the_call_that_made_their_node(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, graph=True, ranks=2, steps=3, layers=2, message_bytes=4096, comm=COMM)
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "trace.sqlite")))
    assert payloads(run) == [(4096, str(COMM))] * 12


def replayed(builder: TraceBuilder, *, originals: dict[int, list[int]], sizes: dict[int, int]) -> Process:
    """A capture of one all-reduce a node in `sizes`, clones of them, and a replay of the last of each line."""
    process = process_with_step(builder)
    for number, (node, size) in enumerate(sizes.items()):
        call = 1_000 + 10_000 * number
        process.nccl("ncclAllReduce", call, call + 4_000, bytes=size, comm=COMM)
        process.graph_node(node, created=call + 1_000)
    launch = process.graph_launch(AT + 1_000)
    for number, (node, line) in enumerate(originals.items()):
        for index, clone in enumerate(line):
            created = 500_000 + 1_000 * index
            process.graph_node(clone, created=created)
            process.graph_node(clone, original=line[index - 1] if index else node, created=created + 100)
        start = AT + 20_000 + 10_000 * number
        process.kernel(
            ALLREDUCE_KERNEL,
            start,
            start + 5_000,
            launch=None,
            correlation=launch,
            graph_node=line[-1] if line else node,
        )
    return process


def test_each_node_has_the_bytes_of_its_own_call(tmp_path: Path) -> None:
    builder = TraceBuilder()
    first, second = 1 << 32, (1 << 32) + 1
    clones = {first: [2 << 32], second: [(2 << 32) + 1]}
    replayed(builder, originals=clones, sizes={first: 8192, second: 512})
    assert payloads(one_step(tmp_path, builder)) == [(8192, str(COMM)), (512, str(COMM))]


def test_a_clone_of_a_clone_is_followed_to_the_captured_node(tmp_path: Path) -> None:
    builder = TraceBuilder()
    first, second = 1 << 32, (1 << 32) + 1
    clones = {first: [2 << 32, 3 << 32, 4 << 32], second: []}
    replayed(builder, originals=clones, sizes={first: 8192, second: 512})
    assert payloads(one_step(tmp_path, builder)) == [(8192, str(COMM)), (512, str(COMM))]


def test_a_node_whose_creation_was_not_captured_has_no_bytes(tmp_path: Path) -> None:
    builder = TraceBuilder()
    replayed(builder, originals={1 << 32: [2 << 32]}, sizes={(1 << 32) + 5: 8192})
    assert payloads(one_step(tmp_path, builder)) == [(None, None)]


# ---- groups of calls


def group(process: Process, at: int, calls: list[tuple[str, int]], kernels: list[str]) -> None:
    """ncclGroupStart, the calls, and ncclGroupEnd, which launches the kernels 2 us apart."""
    process.nccl("ncclGroupStart", at, at + 500)
    for number, (call, size) in enumerate(calls):
        called = at + 1_000 + 1_000 * number
        process.nccl(call, called, called + 500, bytes=size, comm=COMM)
    end = at + 1_500 + 1_000 * len(calls)
    process.nccl("ncclGroupEnd", end, end + 3_000 * len(kernels) + 1_000)
    for number, kernel in enumerate(kernels):
        launch = end + 500 + 3_000 * number
        process.kernel(kernel, at + 40_000 + 6_000 * number, at + 45_000 + 6_000 * number, launch=launch)


def test_one_kernel_for_each_call_of_a_group(tmp_path: Path) -> None:
    builder = TraceBuilder()
    calls = [("ncclAllReduce", 8192), ("ncclAllReduce", 16)]
    group(process_with_step(builder), AT + 1_000, calls, [ALLREDUCE_KERNEL] * 2)
    assert [size for size, _ in payloads(one_step(tmp_path, builder))] == [8192, 16]


def test_one_kernel_for_all_calls_of_a_group_moves_the_sum(tmp_path: Path) -> None:
    builder = TraceBuilder()
    calls = [("ncclAllReduce", 8192), ("ncclAllReduce", 16), ("ncclAllReduce", 4)]
    group(process_with_step(builder), AT + 1_000, calls, [ALLREDUCE_KERNEL])
    assert payloads(one_step(tmp_path, builder)) == [(8212, str(COMM))]


def test_calls_of_different_kinds_in_one_group(tmp_path: Path) -> None:
    builder = TraceBuilder()
    calls = [("ncclAllGather", 100), ("ncclAllReduce", 7), ("ncclAllGather", 200)]
    group(process_with_step(builder), AT + 1_000, calls, [ALLGATHER_KERNEL, ALLREDUCE_KERNEL, ALLGATHER_KERNEL])
    assert [size for size, _ in payloads(one_step(tmp_path, builder))] == [100, 7, 200]


def test_send_and_receive_of_a_group_are_one_kernel(tmp_path: Path) -> None:
    builder = TraceBuilder()
    group(process_with_step(builder), AT + 1_000, [("ncclSend", 4096), ("ncclRecv", 4096)], [SENDRECV_KERNEL])
    assert payloads(one_step(tmp_path, builder)) == [(8192, str(COMM))]


def test_kernels_that_no_count_of_calls_explains_have_no_bytes(tmp_path: Path) -> None:
    builder = TraceBuilder()
    calls = [("ncclAllReduce", 8192), ("ncclAllReduce", 16), ("ncclAllReduce", 4)]
    group(process_with_step(builder), AT + 1_000, calls, [ALLREDUCE_KERNEL] * 2)
    assert payloads(one_step(tmp_path, builder)) == [(None, None)] * 2


def test_groups_one_after_the_other_do_not_mix(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = process_with_step(builder)
    group(process, AT + 1_000, [("ncclAllReduce", 8192)], [ALLREDUCE_KERNEL])
    # A call between the groups, with its own launch, belongs to neither.
    process.nccl("ncclAllReduce", AT + 60_000, AT + 64_000, bytes=99, comm=COMM)
    allreduce(process, AT + 61_000)
    group(process, AT + 100_000, [("ncclAllReduce", 16), ("ncclAllReduce", 4)], [ALLREDUCE_KERNEL])
    assert [size for size, _ in payloads(one_step(tmp_path, builder))] == [8192, 99, 20]


def test_a_group_that_holds_a_call_without_payload_has_no_sum(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = process_with_step(builder)
    process.nccl("ncclGroupStart", AT + 1_000, AT + 1_500)
    process.nccl("ncclAllReduce", AT + 2_000, AT + 2_500, bytes=64, comm=COMM)
    process.nccl("ncclAllReduce", AT + 3_000, AT + 3_500)
    process.nccl("ncclGroupEnd", AT + 4_000, AT + 8_000)
    allreduce(process, AT + 5_000)
    assert [size for size, _ in payloads(one_step(tmp_path, builder))] == [None]


def test_one_call_makes_no_second_row(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=3, steps=3, layers=2)
    run = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "trace.sqlite")))
    assert len(run.collectives) == 3 * 3 * 2
    assert run.collectives["row"].is_unique().all()
    assert run.collectives.select(pl.col("message_bytes").unique()).rows() == [(8192,)]
