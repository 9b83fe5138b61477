"""Who did what: operations and their launches, ranks and their numbers, GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

import nsysan
from nsysan.model.classes import load_catalogue
from nsysan.model.load import load_operations
from nsysan.model.operations import OPERATION
from nsysan.report.build import build_report
from nsysan.run.run import Run
from tests.documents import document_of
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, Process, TraceBuilder, decode_loop

COMM = 0xABCDEF


def analyzed(tmp_path: Path, builder: TraceBuilder, name: str = "trace.sqlite", drop: Sequence[str] = ()) -> Run:
    return nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / name, drop_tables=drop)))


def steps_of(process: Process, *, device: int | None = None, kernel: str = COMPUTE_KERNEL, ranges: bool = True) -> None:
    """Four steps of one kernel, 50 us apart."""
    for step in range(4):
        at = 50_000 * step
        if ranges:
            process.nvtx(f"decode_step_{step}", at - 15_000, at - 5_000)
        process.kernel(kernel, at, at + 10_000, device=device)


def numbers(run: Run) -> dict[int, int]:
    """{pid: rank}."""
    return {rank.pid: rank.rank for rank in run.ranks}


def sources(run: Run) -> set[str]:
    return {rank.source for rank in run.ranks}


# ---- operations and launches


@pytest.mark.parametrize("same_device", [False, True])
def test_colliding_correlation_ids_do_not_multiply_kernels(tmp_path: Path, same_device: bool) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=4, steps=3, layers=2, same_device=same_device, ahead=False)
    trace = nsysan.open_trace(builder.write(tmp_path / "trace.sqlite"))
    assert trace.kernels["correlation"].value_counts()["count"].unique().to_list() == [4]
    work = load_operations(trace, load_catalogue()).frame(OPERATION)
    assert len(work) == len(trace.kernels) == 4 * 3 * 2 * 2
    # Every call begins 10 us before its kernel, on the main thread of the kernel's own process.
    assert (work["start"] - work["launch_start"]).unique().to_list() == [10_000]
    assert (work["thread"] // (1 << 24)).to_list() == (work["process"] // (1 << 24)).to_list()


def test_every_rank_on_device_0_is_a_rank_of_its_own(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, same_device=True, late={1: 3_000})
    run = analyzed(tmp_path, builder)
    assert [(r.rank, r.pid, r.device, r.gpu) for r in run.ranks] == [(i, 1000 + i, 0, i) for i in range(4)]


def test_backtrace_rows_do_not_double_the_launches(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    steps_of(process)
    for correlation in range(1, 5):
        at = 50_000 * (correlation - 1) - 10_500
        process.api("cudaLaunchKernel_v7000", at, at + 3_000, correlation=correlation, event_class=67)
    run = analyzed(tmp_path, builder)
    assert len(run.work) == 4
    assert run.work["launch_start"].to_list() == [50_000 * step - 10_000 for step in range(4)]


def test_a_driver_call_inside_the_runtime_call_is_not_a_second_launch(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    steps_of(process)
    process.api("cuLaunchKernel", -9_500, -8_500, correlation=1, event_class=1)
    run = analyzed(tmp_path, builder)
    assert len(run.work) == 4
    assert run.work.row(0, named=True)["launch"] == "cudaLaunchKernel"


def test_all_kernels_of_a_replay_are_launched_by_its_one_call(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, graph=True, ranks=2, steps=3, layers=2, ahead=False)
    run = analyzed(tmp_path, builder)
    launches = run.work.group_by("rank", "launch_start").agg(pl.len(), pl.min("start"), pl.first("launch"))
    assert launches["len"].to_list() == [4] * 6
    assert (launches["start"] - launches["launch_start"]).unique().to_list() == [10_000]
    assert launches["launch"].unique().to_list() == ["cudaGraphLaunch"]


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("nvtx", [False, True])
def test_the_order_of_rows_means_nothing(tmp_path: Path, graph: bool, nvtx: bool) -> None:
    builder = TraceBuilder()
    decode_loop(builder, graph=graph, nvtx=nvtx, late={1: 3_000, 2: 500}, steps=5)
    straight = analyzed(tmp_path, builder, "straight.sqlite")
    for seed in range(3):
        shuffled = nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / f"{seed}.sqlite", shuffle=seed)))
        assert shuffled.ledger.equals(straight.ledger)
        columns = ["rank", "begin", "end", "step", "call", "verdict", "message_bytes", "communicator", "wait", "wire"]
        assert shuffled.collectives.select(columns).equals(straight.collectives.select(columns))


def test_names_as_text_and_as_registered_strings_are_the_same(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(6):
        at = 50_000 * step
        process.nvtx(f"decode_step_{step}", at - 15_000, at - 5_000, registered=step % 2 == 1)
        process.kernel(COMPUTE_KERNEL, at, at + 10_000)
    run = analyzed(tmp_path, builder)
    assert run.windows["label"].to_list() == [f"decode_step_{step}" for step in range(6)]


# ---- rank numbers


def test_rank_numbers_of_nccl(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for process in decode_loop(builder, message_bytes=None):
        rank = 3 - (process.pid - 1000)
        process.comm_init(comm=COMM, nranks=4, rank=rank, device=process.device)
    run = analyzed(tmp_path, builder)
    assert numbers(run) == {1000: 3, 1001: 2, 1002: 1, 1003: 0}
    assert [rank.rank for rank in run.ranks] == [0, 1, 2, 3]
    assert sources(run) == {"NCCL CommInit"}


def test_the_largest_communicator_numbers_the_ranks(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for process in decode_loop(builder, message_bytes=None):
        world = (process.pid - 1000 + 1) % 4
        process.comm_init(comm=COMM + world // 2, nranks=2, rank=world % 2, device=process.device, start=-500_000)
        process.comm_init(comm=COMM + 9, nranks=4, rank=world, device=process.device)
    assert numbers(analyzed(tmp_path, builder)) == {1000: 1, 1001: 2, 1002: 3, 1003: 0}


def test_numbers_that_two_processes_share_are_no_rank_numbers(tmp_path: Path) -> None:
    builder = TraceBuilder()
    # Two replicas of TP=2: each has a rank 0 and a rank 1.
    for process in decode_loop(builder, message_bytes=None):
        replica, rank = divmod(process.pid - 1000, 2)
        process.comm_init(comm=COMM + replica, nranks=2, rank=rank, device=process.device)
    run = analyzed(tmp_path, builder)
    assert numbers(run) == {1000: 0, 1001: 1, 1002: 2, 1003: 3}
    assert sources(run) == {"order of process and device"}


@pytest.mark.parametrize("name", ["RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"])
def test_rank_number_of_the_environment(tmp_path: Path, name: str) -> None:
    builder = TraceBuilder()
    builder.env(name, "5")
    decode_loop(builder, ranks=1, message_bytes=None)
    run = analyzed(tmp_path, builder, "rank_3.sqlite")
    assert [(r.rank, r.source) for r in run.ranks] == [(5, f"environment {name}")]


def launched(path: Path, number: int, **environment: int) -> Path:
    """The trace of one process without communication."""
    builder = TraceBuilder()
    steps_of(builder.process(100 + number))
    for name, value in environment.items():
        builder.env(name, str(value))
    return builder.write(path)


def of_shell(rank: int, **more: int) -> dict[str, int]:
    """What a process has that mpirun started from a shell which is SLURM's process 0 of 8."""
    return {"SLURM_PROCID": 0, "SLURM_NTASKS": 8, "OMPI_COMM_WORLD_RANK": rank, "PMIX_RANK": rank} | more


MPI_RANKS = (3, 7, 2)


def mpi_traces(tmp_path: Path, **more: int) -> list[Path]:
    return [
        launched(tmp_path / f"report{n}.sqlite", n, **of_shell(rank, OMPI_COMM_WORLD_SIZE=8, **more))
        for n, rank in enumerate(MPI_RANKS)
    ]


def test_mpis_numbers_go_before_those_of_the_shell_around_it(tmp_path: Path) -> None:
    paths = mpi_traces(tmp_path)
    for path, rank in zip(paths, MPI_RANKS, strict=True):
        run = nsysan.analyze(path)
        assert list(numbers(run).values()) == [rank]
        assert sources(run) == {"environment OMPI_COMM_WORLD_RANK"}
        assert run.missing_ranks == [r for r in range(8) if r != rank]
    together = nsysan.analyze(paths)
    assert numbers(together) == {102: 2, 100: 3, 101: 7}
    assert together.missing_ranks == [0, 1, 4, 5, 6]
    # They do not communicate: nobody waits for the others.
    assert together.missing_peers == []
    document = document_of(build_report(together, "0", timelines=False))
    (missing,) = (finding for finding in document["findings"] if finding["id"] == "missing_ranks")
    assert (missing["severity"], missing["title"]) == ("low", "5 ranks of 8 not in the trace")
    assert {rank["rank_source"] for rank in document["ranks"]} == {"environment OMPI_COMM_WORLD_RANK"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # A world of one, or a number that its world does not have, is no place among several.
        ({"RANK": 0, "WORLD_SIZE": 1, "PMI_RANK": 4, "PMI_SIZE": 8}, (4, "environment PMI_RANK")),
        ({"RANK": 9, "WORLD_SIZE": 8, "SLURM_PROCID": 1, "SLURM_NPROCS": 8}, (1, "environment SLURM_PROCID")),
        ({"PMIX_RANK": 5, "SLURM_PROCID": 0, "SLURM_NTASKS": 8}, (5, "environment PMIX_RANK")),
        ({"RANK": 6, "OMPI_COMM_WORLD_RANK": 1}, (6, "environment RANK")),
        ({"SLURM_PROCID": 3, "SLURM_NTASKS": 2, "SLURM_STEP_NUM_TASKS": 8}, (3, "environment SLURM_PROCID")),
        # The shell of an interactive job is a step of one.
        ({"SLURM_PROCID": 0, "SLURM_NTASKS": 8, "SLURM_STEP_NUM_TASKS": 1}, (0, "order of process and device")),
        ({"SLURM_PROCID": 0, "SLURM_NTASKS": 1}, (0, "order of process and device")),
    ],
)
def test_which_launcher_counts(tmp_path: Path, told: dict[str, int], expected: tuple[int, str]) -> None:
    (rank,) = nsysan.analyze(launched(tmp_path / "trace.sqlite", 0, **told)).ranks
    assert (rank.rank, rank.source) == expected


def test_a_launcher_that_numbers_every_trace_alike_is_a_shells(tmp_path: Path) -> None:
    shell = {"SLURM_PROCID": 0, "SLURM_NTASKS": 8}
    alone = nsysan.analyze(launched(tmp_path / "rank_5.sqlite", 5, **shell))
    assert (numbers(alone), sources(alone)) == ({105: 0}, {"environment SLURM_PROCID"})
    paths = [launched(tmp_path / f"rank_{n}.sqlite", n, **shell) for n in (4, 6)]
    together = nsysan.analyze(paths)
    assert (numbers(together), sources(together)) == ({104: 4, 106: 6}, {"file name"})
    assert together.missing_ranks == []


def test_nccl_goes_before_the_environment(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.env("RANK", "5")
    process = decode_loop(builder, ranks=1, message_bytes=None)[0]
    process.comm_init(comm=COMM, nranks=8, rank=6, device=0)
    assert numbers(analyzed(tmp_path, builder)) == {1000: 6}


def test_one_environment_does_not_number_several_ranks(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.env("RANK", "5")
    decode_loop(builder, ranks=2, message_bytes=None, first_pid=70)
    run = analyzed(tmp_path, builder, "rank_3.sqlite")
    assert numbers(run) == {70: 0, 71: 1}
    assert sources(run) == {"order of process and device"}


@pytest.mark.parametrize("name", ["rank_3.sqlite", "run.rank3.sqlite", "llama-Rank-3.sqlite"])
def test_rank_number_of_the_file_name(tmp_path: Path, name: str) -> None:
    builder = TraceBuilder()
    decode_loop(builder, ranks=1, message_bytes=None)
    run = analyzed(tmp_path, builder, name)
    assert [(r.rank, r.source) for r in run.ranks] == [(3, "file name")]


def test_a_process_with_gpu_work_but_no_step_is_no_rank(tmp_path: Path) -> None:
    builder = TraceBuilder()
    steps_of(builder.process(20, device=0))
    other = builder.process(10, device=1)
    other.kernel(COMPUTE_KERNEL, 0, 10_000)
    run = analyzed(tmp_path, builder)
    assert numbers(run) == {20: 0}
    assert run.bystanders == [(other.global_pid, 1)]
    assert run.work["process"].unique().to_list() != [other.global_pid]
    assert len(run.work) == 4


# ---- devices and GPUs


def test_one_process_driving_two_devices_is_two_ranks(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1, device=0)
    for step in range(4):
        at = 50_000 * step
        process.nvtx(f"decode_step_{step}", at - 20_000, at - 5_000)
        for device in range(2):
            launch = at - 18_000 + 4_000 * device
            process.kernel(COMPUTE_KERNEL, at, at + 10_000 + 2_000 * device, device=device, launch=launch)
            launch += 2_000
            process.kernel(ALLREDUCE_KERNEL, at + 10_000 + 2_000 * device, at + 20_000, device=device, launch=launch)
    for device in range(2):
        process.comm_init(comm=COMM, nranks=2, rank=1 - device, device=device)
    run = analyzed(tmp_path, builder)
    assert [(r.rank, r.device, r.source) for r in run.ranks] == [(0, 1, "NCCL CommInit"), (1, 0, "NCCL CommInit")]
    second = run.ledger.filter(pl.col("step") == 1).select("rank", "compute_ns", "wait_ns", "wire_ns", "idle_ns")
    assert second.rows() == [(0, 12_000, 0, 8_000, 30_000), (1, 10_000, 2_000, 8_000, 30_000)]


def two_devices(builder: TraceBuilder) -> None:
    for device in range(2):
        steps_of(builder.process(1 + device, device=device))


def test_gpu_of_a_process_by_its_own_ordinals(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.gpu(0, id=4, name="four")
    builder.gpu(1, id=6, name="six")
    two_devices(builder)
    run = analyzed(tmp_path, builder)
    assert [(r.device, r.gpu, r.model) for r in run.ranks] == [(0, 4, "four"), (1, 6, "six")]


def test_gpu_by_distinct_cuda_ordinals(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.gpu(1, id=0, name="other")
    builder.gpu(0, id=1, name="first")
    two_devices(builder)
    run = analyzed(tmp_path, builder, drop=["TARGET_INFO_CUDA_DEVICE"])
    assert [(r.device, r.gpu, r.model) for r in run.ranks] == [(0, 1, "first"), (1, 0, "other")]


def test_gpu_by_its_number_where_old_recordings_have_no_ordinals(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.gpu(0, id=0, name="first")
    builder.gpu(0, id=1, name="second")
    two_devices(builder)
    run = analyzed(tmp_path, builder, drop=["TARGET_INFO_CUDA_DEVICE"])
    assert [(r.device, r.gpu, r.model) for r in run.ranks] == [(0, 0, "first"), (1, 1, "second")]


def test_a_gpu_that_the_trace_does_not_name_is_unknown(tmp_path: Path) -> None:
    builder = TraceBuilder()
    two_devices(builder)
    run = analyzed(tmp_path, builder, drop=["TARGET_INFO_CUDA_DEVICE", "TARGET_INFO_GPU"])
    assert [(r.gpu, r.model) for r in run.ranks] == [(None, None)] * 2
