"""Groups, replicas, layouts and populations of runs whose answer is known on paper, and of a real trace twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan import ExitCode, NsysanError
from nsysan.report.build import build_report
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from nsysan.run.all_decode import of_all_decode
from nsysan.run.groups import inferred
from nsysan.run.run import Run
from tests.clitools import run_cli
from tests.copies import twice
from tests.documents import document_of
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, Process, TraceBuilder, decode_loop

CUSTOM = "cross_device_reduce_1stage"
SENDRECV = "ncclDevKernel_SendRecv"
ALLGATHER = "ncclDevKernel_AllGather_RING_LL"
REDUCE_SCATTER = "ncclDevKernel_ReduceScatter_Sum_bf16_RING_LL"
STEPS = 12


def custom(ranks: int) -> str:
    return f"void vllm::{CUSTOM}<__nv_bfloat16, (int){ranks}>(vllm::RankData *, vllm::RankSignals)"


def analysed(tmp_path: Path, builder: TraceBuilder) -> Run:
    return nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "trace.sqlite")))


def reported(tmp_path: Path, builder: TraceBuilder) -> Report:
    report = build_report(analysed(tmp_path, builder), "0", timelines=False)
    document_of(report)
    return report


def marked(process: Process, step: int, at: int, name: str = "decode_step") -> None:
    process.nvtx(f"{name}_{step}", at - 20_000, at - 5_000)


def marked_steps(builder: TraceBuilder, ranks: int, period: int = 100_000) -> Iterator[tuple[int, Process, int, int]]:
    """rank, its process, step and when it begins; each step has its range."""
    for rank in range(ranks):
        process = builder.process(100 + rank, device=rank)
        for step in range(STEPS):
            at = 1_000_000 + period * step
            marked(process, step, at)
            yield rank, process, step, at


def lines(report: Report, *names: str) -> dict[int, tuple[int, ...]]:
    """Medians of these lines of every rank of every replica, us."""
    rows = pl.concat(replica.per_rank for replica in report.replicas)
    return {row[0]: tuple(ns // 1_000 for ns in row[1:]) for row in rows.select("rank", *names).iter_rows()}


def custom_pairs(shift: int, *, told: bool, ranks: Sequence[int] = range(4)) -> TraceBuilder:
    """Two balanced TP=2 replicas, one `shift` ns behind: a step is 4 x (20 us of compute, 8 of wire) and 20 of gap.

    ranks: those whose trace it is.
    """
    builder = TraceBuilder()
    for rank in ranks:
        process = builder.process(100 + rank, device=rank)
        for step in range(STEPS):
            at = 1_000_000 + 132_000 * step + shift * (rank // 2)
            marked(process, step, at)
            for layer in range(4):
                begin = at + 28_000 * layer
                launch = at - 19_000 + 1_000 * layer
                process.kernel(COMPUTE_KERNEL, begin, begin + 20_000, launch=launch)
                name = custom(2) if told else CUSTOM
                process.kernel(CUSTOM, begin + 20_000, begin + 28_000, launch=launch + 500, demangled=name)
    return builder


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("shift", [5_000, 66_000])
def test_replicas_without_payloads_do_not_wait_for_each_other(tmp_path: Path, shift: int, told: bool) -> None:
    report = reported(tmp_path, custom_pairs(shift, told=told))
    assert [[rank.rank for rank in replica.ranks] for replica in report.replicas] == [[0, 1], [2, 3]]
    assert lines(report, "wait_ns", "wire_ns", "compute_ns") == dict.fromkeys(range(4), (0, 32, 80))
    assert {(group.id, group.kind, group.source) for group in report.groups} == {
        ("0,1", "tp", "inferred"),
        ("2,3", "tp", "inferred"),
    }
    assert "TP=2, 2 replicas" in to_text(report)


@pytest.mark.parametrize("each", [1, 2])
def test_replicas_whose_ranks_are_in_traces_of_their_own(tmp_path: Path, each: int) -> None:
    paths = [
        custom_pairs(5_000, told=True, ranks=range(first, first + each)).write(tmp_path / f"{first}.sqlite")
        for first in range(0, 4, each)
    ]
    whole = build_report(nsysan.analyze(paths), "0")
    document_of(whole)
    assert [[rank.rank for rank in replica.ranks] for replica in whole.replicas] == [[0, 1], [2, 3]]
    assert lines(whole, "wait_ns", "wire_ns", "compute_ns") == dict.fromkeys(range(4), (0, 32, 80))
    assert {row for timeline in whole.timelines for row in timeline.slices["rank"]} == {0, 1}


def test_replicas_that_never_part_cannot_be_told_apart_by_time_alone(tmp_path: Path) -> None:
    # All ends coincide: the name tells, and without it nothing does; no figure depends on it.
    assert len(reported(tmp_path, custom_pairs(0, told=True)).replicas) == 2
    report = reported(tmp_path, custom_pairs(0, told=False))
    assert [replica.layout.name for replica in report.replicas] == ["TP=4"]
    assert lines(report, "wait_ns", "wire_ns") == dict.fromkeys(range(4), (0, 32))


@pytest.mark.parametrize("slower", [4, 1])
def test_replicas_that_meet_once_a_step_are_one(slower: int, tmp_path: Path) -> None:
    # Pairs, the second so many us slower in each of 3 layers, and an all-reduce over all, which no payload tells.
    builder = TraceBuilder()
    for rank, process, _, at in marked_steps(builder, 4):
        pair = rank // 2
        if at == 1_000_000:
            process.comm_init(comm=7, nranks=4, rank=rank, device=rank, start=1_000, end=1_050)
            process.comm_init(comm=8 + pair, nranks=2, rank=rank % 2, device=rank, start=1_100, end=1_150)
        for layer in range(3):
            begin, took = at + layer * (18_000 + slower * 1_000 * pair), 10_000 + slower * 1_000 * pair
            launch = at - 19_000 + 1_000 * layer
            process.kernel(COMPUTE_KERNEL, begin, begin + took, launch=launch)
            process.kernel(ALLREDUCE_KERNEL, begin + took, begin + took + 8_000, launch=launch + 500)
        process.kernel(
            ALLREDUCE_KERNEL, at + 54_000 + 3_000 * slower * pair, at + 62_000 + 3_000 * slower, launch=at - 10_000
        )
    report = reported(tmp_path, builder)
    assert [[rank.rank for rank in replica.ranks] for replica in report.replicas] == [[0, 1, 2, 3]]
    assert {(group.id, group.calls_per_step) for group in report.groups} == {("0,1", 3), ("2,3", 3), ("0,1,2,3", 1)}
    told = lines(report, "wait_ns", "wire_ns")
    assert told == {0: (3 * slower, 32), 1: (3 * slower, 32), 2: (0, 32), 3: (0, 32)}


def test_each_replica_has_its_own_period_and_the_slower_heads_the_report(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank in range(4):
        process = builder.process(100 + rank, device=rank)
        slow = 12_000 * (rank // 2)
        process.comm_init(comm=7 + rank // 2, nranks=2, rank=rank % 2, device=rank)
        for step in range(STEPS):
            at = 1_000_000 + (60_000 + slow) * step
            marked(process, step, at)
            process.kernel(COMPUTE_KERNEL, at, at + 40_000 + slow, launch=at - 19_000)
            process.kernel(ALLREDUCE_KERNEL, at + 40_000 + slow, at + 50_000 + slow, launch=at - 18_000)
    report = reported(tmp_path, builder)
    assert report.replica == 1
    assert [replica.period.p50 for replica in report.replicas if replica.period] == [60_000, 72_000]
    assert report.headline["period_ns"] == 72_000
    assert lines(report, "wait_ns") == dict.fromkeys(range(4), (0,))
    assert {group.source for group in report.groups} == {"comm_init"}
    first = build_report(analysed(tmp_path, builder), "0", timelines=False, replica=0)
    assert first.headline["period_ns"] == 60_000
    with pytest.raises(NsysanError, match="replicas 0 to 1") as error:
        build_report(analysed(tmp_path, builder), "0", timelines=False, replica=2)
    assert error.value.exit_code == ExitCode.NO_STEPS
    document = document_of(report)
    assert [row["replica"] for row in document["ranks"]] == [0, 0, 1, 1]
    assert {row["replica"] for row in document["per_step"]} == {0, 1}


@pytest.mark.parametrize(("pause", "head"), [(0, 1), (200_000, 0), (20_000_000, 1)])
def test_a_pause_without_requests_makes_no_replica_head(tmp_path: Path, pause: int, head: int) -> None:
    """Steps of 60 us and of 72: a pause in the one replica, of less than 10 steps a fault or of more an idle server."""
    builder = TraceBuilder()
    for rank in range(4):
        process, slow = builder.process(100 + rank, device=rank), 12_000 * (rank // 2)
        process.comm_init(comm=7 + rank // 2, nranks=2, rank=rank % 2, device=rank)
        for step in range(STEPS):
            at = 1_000_000 + (60_000 + slow) * step + (pause if rank < 2 and step > STEPS // 2 else 0)
            marked(process, step, at)
            process.kernel(COMPUTE_KERNEL, at, at + 40_000 + slow, launch=at - 19_000)
            process.kernel(ALLREDUCE_KERNEL, at + 40_000 + slow, at + 50_000 + slow, launch=at - 18_000)
    assert reported(tmp_path, builder).replica == head


def test_experts_over_other_ranks_than_attention(tmp_path: Path) -> None:
    """TP=2, DP=2, experts over 4: ranks 2 and 3 compute 5 us longer in each of 4 layers, and 0 and 1 wait for them."""
    builder = TraceBuilder()
    for rank, process, _, at in marked_steps(builder, 4, 260_000):
        late = 5_000 * (rank // 2)
        for layer in range(4):
            begin, launch = at + 60_000 * layer, at - 19_000 + 2_000 * layer
            process.kernel(COMPUTE_KERNEL, begin, begin + 20_000 + late, launch=launch)
            reduced = begin + 28_000 + late
            process.kernel(CUSTOM, reduced - 8_000, reduced, launch=launch + 300, demangled=custom(2))
            process.nccl("ncclAllGather", launch + 590, launch + 900, bytes=64, comm=9)
            process.kernel(ALLGATHER, reduced, begin + 39_000, launch=(launch + 600, launch + 800))
            process.kernel(COMPUTE_KERNEL, begin + 39_000, begin + 54_000, launch=launch + 1_000)
            process.nccl("ncclReduceScatter", launch + 1_290, launch + 1_600, bytes=64, comm=9)
            process.kernel(REDUCE_SCATTER, begin + 54_000, begin + 60_000, launch=(launch + 1_300, launch + 1_500))
    report = reported(tmp_path, builder)
    assert [replica.layout.name for replica in report.replicas] == ["TP=2 x EP=4"]
    assert {group.id: group.kind for group in report.groups} == {"0,1": "tp", "2,3": "tp", "0,1,2,3": "ep"}
    assert lines(report, "wait_ns", "wire_ns") == {0: (20, 80), 1: (20, 80), 2: (0, 80), 3: (0, 80)}


@pytest.mark.parametrize(("told", "sequences"), [((8, 8), 16), ((16, 4), 20), ((16, None), None), ((None, None), 1)])
def test_tokens_are_of_the_batches_of_all_tensor_groups(
    tmp_path: Path, told: tuple[int | None, int | None], sequences: int | None
) -> None:
    """TP=2, DP=2, experts over 4: a step of 100 us decodes a batch of each two ranks, as their ranges tell."""
    builder = TraceBuilder()
    for rank in range(4):
        process, batch = builder.process(100 + rank, device=rank), told[rank // 2]
        for step in range(STEPS):
            at, launch = 1_000_000 + 100_000 * step, 1_000_000 + 100_000 * step - 19_000
            name = f"execute_context_0(0)_generation_{batch}({batch})" if batch else "execute_model"
            process.nvtx(name, at - 20_000, at - 5_000)
            process.kernel(COMPUTE_KERNEL, at, at + 40_000, launch=launch)
            process.nccl("ncclAllReduce", launch + 990, launch + 1_300, bytes=64, comm=5 + rank // 2)
            process.kernel(ALLREDUCE_KERNEL, at + 40_000, at + 50_000, launch=(launch + 1_000, launch + 1_200))
            process.nccl("ncclAlltoAll", launch + 1_990, launch + 2_300, bytes=64, comm=9)
            process.kernel(SENDRECV, at + 50_000, at + 60_000, launch=(launch + 2_000, launch + 2_200))
    (replica,) = reported(tmp_path, builder).replicas
    assert replica.layout.name == "TP=2 x EP=4"
    assert replica.populations[0].tokens_per_s == (None if sequences is None else sequences * 10_000)


def pipeline(*, payloads: bool) -> TraceBuilder:
    """PP=2 x TP=2, one batch in flight: a stage computes 50 us, reduces 10 and sends for 4; then the other does."""
    builder = TraceBuilder()
    for rank, process, _, at in marked_steps(builder, 4, 140_000):
        stage = rank // 2
        begin = at + 64_000 * stage
        launch = at - 19_000
        process.kernel(COMPUTE_KERNEL, begin, begin + 50_000, launch=launch + 1_000)
        process.kernel(CUSTOM, begin + 50_000, begin + 60_000, launch=launch + 2_000, demangled=custom(2))
        for send in range(2):
            # Stage 0 sends to 1 after its work, and 1 to 0; who receives waits since its own work ended.
            sends = stage == send
            end = at + 64_000 * (send + 1)
            issued = launch + 3_000 + 1_000 * send
            waiting = at if send == 0 else at + 64_000
            if payloads:
                call = "ncclSend" if sends else "ncclRecv"
                process.nccl(call, issued - 50, issued + 500, bytes=64, comm=20 + rank % 2)
            process.kernel(SENDRECV, end - 4_000 if sends else waiting, end, launch=(issued, issued + 400))
    return builder


def test_a_pipeline_is_one_replica_and_its_messages_match(tmp_path: Path) -> None:
    report = reported(tmp_path, pipeline(payloads=True))
    assert [replica.layout.name for replica in report.replicas] == ["TP=2 x PP=2"]
    assert report.replicas[0].layout.stages == ((0, 1), (2, 3))
    kinds = {group.id: group.kind for group in report.groups}
    assert kinds == {"0,1": "tp", "2,3": "tp", "0,2": "pp", "1,3": "pp"}
    assert {family.unmatched + family.rejected for family in report.collectives} == {0}
    assert report.diagnosis.straggler is None


def test_a_send_that_has_ended_waited_for_nobody(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank, process, _, at in marked_steps(builder, 2):
        process.kernel(COMPUTE_KERNEL, at, at + 10_000 + 20_000 * rank, launch=at - 19_000)
        process.nccl("ncclSend" if rank == 0 else "ncclRecv", at - 18_100, at - 17_000, bytes=64, comm=3)
        begin = at + 10_000 + 20_000 * rank
        process.kernel(SENDRECV, begin, begin + 5_000, launch=(at - 18_000, at - 17_500))
    run = analysed(tmp_path, builder)
    assert run.collectives.select("verdict", "wait", "wire").unique().rows() == [("matched", 0, 5_000)]


def test_a_receive_waits_until_its_send_has_ended(tmp_path: Path) -> None:
    run = analysed(tmp_path, pipeline(payloads=True))
    messages = run.collectives.filter((pl.col("cls") == "p2p") & (pl.col("step") == 5)).sort("begin", "rank")
    # Stage 1 waits for the first message from the step's begin on, stage 0 for the second from 64 us on.
    assert messages.select("rank", "half", "wait", "wire").rows() == [
        (2, "receive", 64_000, 0),
        (3, "receive", 64_000, 0),
        (0, "send", 0, 4_000),
        (1, "send", 0, 4_000),
        (0, "receive", 64_000, 0),
        (1, "receive", 64_000, 0),
        (2, "send", 0, 4_000),
        (3, "send", 0, 4_000),
    ]
    report = build_report(run, "0", timelines=False)
    wires = {family.group: family.wire for family in report.collectives if family.op_class == "p2p"}
    assert {wire["p50"] for wire in wires.values() if wire} == {4_000}


def test_a_receive_of_what_was_sent_before_it_begins_does_not_wait(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank, process, _, at in marked_steps(builder, 2):
        begin = at + 10_000 + 2_000 * rank
        process.kernel(COMPUTE_KERNEL, at, begin, launch=at - 19_000)
        process.nccl("ncclSend" if rank == 0 else "ncclRecv", at - 18_100, at - 17_000, bytes=64, comm=3)
        # Sent from 10 to 15 us, received from 12 to 19: 3 us of waiting, 4 of receiving.
        process.kernel(SENDRECV, begin, at + 15_000 + 4_000 * rank, launch=(at - 18_000, at - 17_500))
    run = analysed(tmp_path, builder)
    rows = run.collectives.select("rank", "verdict", "wait", "wire").unique().sort("rank").rows()
    assert rows == [(0, "matched", 2_000, 3_000), (1, "matched", 3_000, 4_000)]


@pytest.mark.parametrize("told", [True, False])
def test_groups_that_are_inferred_are_estimated(tmp_path: Path, told: bool) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=4, message_bytes=8192 if told else None)
    report = reported(tmp_path, builder)
    rows = [row for row in report.quality if row.id == "groups"]
    # What waits for what follows from who communicates with whom.
    assert any("all ranks communicate with each other" in why for why in report.diagnosis.verdict.because) is not told
    assert [row.status for row in rows] == ([] if told else ["estimated"])
    assert all("no communicator of theirs is named" in row.reason for row in rows)


def all_to_alls(tmp_path: Path, *, payloads: bool) -> Run:
    """An all-to-all over 3 ranks in NCCL's send and receive kernels; rank 2 comes 7 us late."""
    builder = TraceBuilder()
    for rank, process, _, at in marked_steps(builder, 3):
        begin = at + 20_000 + (7_000 if rank == 2 else 0)
        process.kernel(COMPUTE_KERNEL, at, begin, launch=at - 19_000)
        if payloads:
            process.nccl("ncclAlltoAll", at - 18_100, at - 17_000, bytes=64, comm=3)
        process.kernel(SENDRECV, begin, at + 40_000, launch=(at - 18_000, at - 17_500))
    return analysed(tmp_path, builder)


def test_an_all_to_all_made_of_sends_is_a_call_over_its_group(tmp_path: Path) -> None:
    run = all_to_alls(tmp_path, payloads=True)
    assert run.collectives["kind"].unique().to_list() == ["all_to_all"]
    waits = run.collectives.select("rank", "verdict", "wait", "wire").unique().sort("rank").rows()
    assert waits == [(0, "matched", 7_000, 13_000), (1, "matched", 7_000, 13_000), (2, "matched", 0, 13_000)]


def test_without_its_payload_nothing_tells_with_whom_a_send_is(tmp_path: Path) -> None:
    run = all_to_alls(tmp_path, payloads=False)
    assert run.collectives["group"].null_count() == len(run.collectives)
    assert set(run.collectives["verdict"]) == {"unmatched"}
    # Nothing parts the ranks either.
    assert [list(ranks) for ranks in run.steps_of] == [[0, 1, 2]]


def test_halves_of_an_exchange_among_experts(tmp_path: Path) -> None:
    """Dispatch and combine, each a send and a receive of one name; rank 1 is 3 us late with what combine sends."""
    builder = TraceBuilder()
    for rank, process, _, at in marked_steps(builder, 2):
        late = 3_000 * rank
        for number, (name, begin, end) in enumerate(
            [
                ("dispatch", at, at + 2_000),
                ("dispatch", at + 8_000, at + 10_000),
                ("combine", at + 20_000 + 3 * late, at + 22_000 + 3 * late),
                # What rank 1 sends has arrived at 31 us.
                ("combine", at + 25_000 + 2 * late, at + 33_000),
            ]
        ):
            full = f"void deep_ep::internode_ll::{name}<(bool)0, (int)7168>(void *)"
            process.kernel(name, begin, end, launch=at - 19_000 + 100 * number, demangled=full)
            if number % 2 == 0:
                process.kernel(COMPUTE_KERNEL, end, end + 1_000, launch=at - 18_950 + 100 * number)
    run = analysed(tmp_path, builder)
    waits = run.collectives.filter(pl.col("step") == 3).sort("rank", "begin").select("rank", "wait").rows()
    assert waits == [(0, 0), (0, 0), (0, 0), (0, 6_000), (1, 0), (1, 0), (1, 0), (1, 0)]


def test_eager_calls_of_two_streams_are_not_paired_crosswise(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank, process, step, at in marked_steps(builder, 2):
        process.kernel(COMPUTE_KERNEL, at, at + 1_000, launch=at - 19_000)
        # In the first step alone both ranks begin with stream 20; later rank 1 is first on stream 30.
        order = (20, 30) if step == 0 or rank == 0 else (30, 20)
        for number, stream in enumerate(order):
            begin, end = at + 2_000 + 500 * number, at + (30_000 if stream == 20 else 50_000)
            process.kernel(ALLREDUCE_KERNEL, begin, end, launch=at - 18_000 + 1_000 * number, stream=stream)
    run = analysed(tmp_path, builder)
    assert set(run.collectives["verdict"]) == {"matched"}
    apart = run.collectives.group_by("family", "step", "call").agg(pl.n_unique("stream"), pl.n_unique("end"))
    assert set(apart["stream"]) == set(apart["end"]) == {1}


def test_the_largest_group_that_agrees() -> None:
    import numpy as np

    near, far = 0.1, 9.0
    pairs = np.full((4, 4), far)
    for one, other in ((0, 2), (1, 3)):
        pairs[one, other] = pairs[other, one] = near
    np.fill_diagonal(pairs, 0.0)
    assert inferred(pairs, None) == [[0, 2], [1, 3]]
    assert inferred(np.full((4, 4), near), None) == [[0, 1, 2, 3]]
    # A size that is told is taken, ties going to consecutive ranks.
    assert inferred(np.full((4, 4), near), 2) == [[0, 1], [2, 3]]
    assert inferred(np.full((3, 3), far), None) == []


# ---- populations


def test_batches_that_ranges_tell_are_populations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = TraceBuilder()
    at = 1_000_000
    process = builder.process(1)
    for batch in [8] * 10 + [4] * 12:
        takes = 148_000 if batch == 8 else 100_000
        process.nvtx(f"execute_context_0(0)_generation_{batch}({batch})", at - 20_000, at - 5_000)
        process.kernel(COMPUTE_KERNEL, at, at + takes - 20_000, launch=at - 19_000)
        at += takes
    trace = builder.write(tmp_path / "trace.sqlite")
    report = build_report(nsysan.analyze(nsysan.open_trace(trace)), "0", timelines=False)
    rows = {one.id: one for one in report.replicas[0].populations}
    assert {id_: (one.count, one.period.p50 if one.period else None) for id_, one in rows.items()} == {
        "decode_8": (10, 148_000),
        "decode_4": (12, 100_000),
    }
    assert (report.headline["period_ns"], rows["decode_8"].headline) == (148_000, True)
    assert rows["decode_4"].tokens_per_s == pytest.approx(4e9 / rows["decode_4"].period.mean)  # type: ignore[union-attr]
    for option in (["--batch", "4"], ["--population", "decode_4"]):
        chosen = json.loads(run_cli(capsys, "report", trace, "--json", "-", "-q", *option).out)
        assert chosen["what_if"]["period_ns"] == 100_000
    refused = run_cli(capsys, "report", trace, "--json", "-", "-q", "--batch", "3")
    assert (refused.code, "decode_8, decode_4" in refused.err) == (ExitCode.NO_STEPS, True)


def batches(builder: TraceBuilder, steps: Sequence[tuple[int, int, int]]) -> TraceBuilder:
    """Steps marked with their batch: batch, ns of work, ns until the next step's begins."""
    process, at = builder.process(1), 1_000_000
    for batch, work, gap in steps:
        process.nvtx(f"execute_context_0(0)_generation_{batch}({batch})", at - 900, at - 100)
        process.kernel(COMPUTE_KERNEL, at, at + work, launch=(at - 800, at - 600))
        at += work + gap
    return builder


def test_a_pause_without_requests_makes_no_kind_of_step_the_headline(tmp_path: Path) -> None:
    # The last request of each burst decodes alone; then there is none for 5 ms, which are in that step's period.
    run = analysed(tmp_path, batches(TraceBuilder(), ([(8, 90_000, 10_000)] * 6 + [(1, 50_000, 5_000_000)]) * 3))
    assert [one.id for one in run.steps.populations] == ["decode_8", "decode_1"]
    assert run.windows.filter(population="decode_1")["extent"].unique().to_list() == [50_000]
    periods = run.windows.filter(population="decode_1").select(period=pl.col("finish") - pl.col("begin"))
    assert periods["period"].to_list() == [5_050_000, 5_050_000, 50_000]


def test_half_of_the_decode_time_is_without_pauses(tmp_path: Path) -> None:
    # 10 of 99, and 5 of 60 of each other kind: 990 of 1590 us. With two pauses in it, that would be 1000 of 2400.
    others = [(batch, 60_000, gap) for batch in (4, 2) for gap in (0, 0, 400_000, 0, 0)]
    run = analysed(tmp_path, batches(TraceBuilder(), [(8, 99_000, 1_000)] * 10 + others))
    assert of_all_decode(run).summed == ()
    assert run.steps.populations[0].id == "decode_8"


def test_prefill_of_the_same_kernels_is_told_by_how_long_they_take(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    at = 1_000_000
    for index in range(14):
        takes = 90_000 if index in (5, 9) else 30_000
        marked(process, index, at)
        process.kernel(COMPUTE_KERNEL, at, at + takes, launch=at - 19_000)
        process.kernel("norm", at + takes, at + takes + 2_000, launch=at - 18_000)
        at += takes + 30_000
    run = analysed(tmp_path, builder)
    found = {one.id: one.steps for one in run.steps.populations}
    assert found["prefill"] == (5, 9)
    assert run.steady_steps == [1, 2, 3, 4, 6, 7, 8, 10, 11, 12, 13]


def test_ranks_without_ranges_follow_those_that_have_them(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank in range(3):
        process = builder.process(100 + rank, device=rank)
        for step in range(STEPS):
            at = 1_000_000 + 100_000 * step
            if rank == 0:
                marked(process, step, at)
            process.kernel(COMPUTE_KERNEL, at, at + 20_000 + 1_000 * rank, launch=at - 19_000)
            process.kernel(ALLREDUCE_KERNEL, at + 20_000 + 1_000 * rank, at + 30_000, launch=at - 18_000)
    run = analysed(tmp_path, builder)
    assert [rank.rank for rank in run.ranks] == [0, 1, 2]
    assert run.windows.group_by("step").len()["len"].unique().to_list() == [3]
    assert any("2 ranks without ranges" in note for note in run.steps.notes)


# ---- graph replays


def replayed(process: Process, graph: int, begin: int, kernels: Sequence[str], each: int) -> None:
    launch = process.graph_launch(begin - 9_000)
    for number, name in enumerate(kernels):
        start = begin + each * number
        process.kernel(name, start, start + each, launch=None, correlation=launch, graph_node=(graph << 32) + number)


def bounds(run: Run) -> list[tuple[int, int]]:
    return list(run.windows.sort("begin").select("begin", "finish").iter_rows())


def test_a_target_and_its_drafts_are_one_step(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(10):
        at = 1_000_000 + 340_000 * step
        replayed(process, 2, at, ["attention", "mlp"], 110_000)
        process.kernel("rejection_sampler", at + 222_000, at + 230_000)
        for draft in range(3):
            replayed(process, 3, at + 232_000 + 30_000 * draft, ["draft"], 28_000)
    run = analysed(tmp_path, builder)
    assert "4 CUDA graph replays a step" in run.steps.source
    begins = [1_000_000 + 340_000 * step for step in range(10)]
    assert bounds(run) == list(zip(begins, [*begins[1:], begins[-1] + 320_000], strict=True))


def test_one_graph_replayed_twice_a_token_is_one_step(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(8):
        at = 1_000_000 + 400_000 * step
        for half in range(2):
            replayed(process, 2, at + 180_000 * half, ["attention", "mlp"] * 10, 8_900)
        process.kernel("sample", at + 360_000, at + 366_000)
        process.memcpy(at + 367_000, at + 368_000, kind=2)
    run = analysed(tmp_path, builder)
    assert [begin for begin, _ in bounds(run)] == [1_000_000 + 400_000 * step for step in range(8)]
    assert len(run.steady_steps) == 7


# ---- a real trace, twice


@pytest.mark.parametrize(("shift", "named"), [(4_000, True), (1_123_000, True), (4_000, False), (1_123_000, False)])
def test_two_copies_of_a_real_trace_read_as_it_does_alone(
    tmp_path: Path, real_trace: Callable[[str], Path], shift: int, named: bool
) -> None:
    source = real_trace("tp2_graph")
    alone = nsysan.analyze(nsysan.open_trace(source), use_nvtx=named).ledger.drop("rank", "start_ns")
    run = nsysan.analyze(nsysan.open_trace(twice(source, tmp_path / "t.sqlite", shift=shift, named=named)))
    assert [list(ranks) for ranks in run.steps_of] == [[0, 1], [2, 3]]
    for replica in run.replicas:
        assert replica.ledger.drop("rank", "start_ns").equals(alone)


def test_the_last_step_makes_no_mean_shorter(tmp_path: Path) -> None:
    builder = TraceBuilder()
    # Two layers of 18 us and 20 us until the next step, which the last does not have.
    decode_loop(builder, ranks=2, steps=5, gap_ns=20_000)
    (replica,) = reported(tmp_path, builder).replicas
    assert replica.period is not None
    assert (replica.period.mean, replica.period.p50) == (56_000, 56_000)
    assert replica.populations[0].period == replica.period
    assert replica.per_step["period_ns"].min() == 36_000


@pytest.mark.parametrize(("ranks", "all_"), [(2, True), (4, True), (4, False)])
def test_sends_to_all_and_from_all_in_one_kernel_are_an_exchange(tmp_path: Path, ranks: int, all_: bool) -> None:
    """As torch's all_to_all_single makes it; rank 1 comes 7 us late. Between neighbours in a ring it is none."""
    builder = TraceBuilder()
    for rank in range(ranks):
        process = builder.process(100 + rank, device=rank)
        process.comm_init(comm=3, nranks=ranks, rank=rank, device=rank)
        ring = ((rank - 1) % ranks, (rank + 1) % ranks)
        for step in range(STEPS):
            at = 1_000_000 + 100_000 * step
            marked(process, step, at)
            begin = at + 20_000 + (7_000 if rank == 1 else 0)
            process.kernel(COMPUTE_KERNEL, at, begin, launch=at - 19_500)
            process.nccl("ncclGroupStart", at - 19_000, at - 18_950, bytes=None, comm=3)
            for number, peer in enumerate(other for other in range(ranks) if other != rank and (all_ or other in ring)):
                for half, call in enumerate(("ncclSend", "ncclRecv")):
                    issued = at - 18_900 + 100 * number + 50 * half
                    process.nccl(call, issued, issued + 40, bytes=64, comm=3, peer=peer)
            process.nccl("ncclGroupEnd", at - 18_100, at - 17_000, bytes=None, comm=3)
            process.kernel(SENDRECV, begin, at + 40_000, launch=(at - 18_000, at - 17_500))
    report = reported(tmp_path, builder)
    assert (report.replicas[0].layout.name == f"TP=1 x EP={ranks}") is all_
    if all_:
        assert {family.kind for family in report.collectives} == {"all_to_all"}
        assert lines(report, "wait_ns") == {rank: (0 if rank == 1 else 7,) for rank in range(ranks)}
