"""Checks after a capture, and that a capture needs nothing but click."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from nsysan.capture.checks import FAIL, OK, WARN, Check
from nsysan.capture.postflight import check_export
from nsysan.capture.starters import load_starters
from tests.fakensys import fake_nsys
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder, decode_loop

ORDER = ["ranks", "collectives", "CUDA graphs", "message sizes", "steps", "events", "clock", "perturbation"]


def checked(
    builder: TraceBuilder, folder: Path, *, expected: int | None = None, capture_range: bool = False
) -> Mapping[str, Check]:
    checks = check_export(builder.write(folder / "t.sqlite"), expected=expected, capture_range=capture_range)
    found = {check.name: check for check in checks}
    assert len(found) == len(checks)
    assert list(found) == [name for name in ORDER if name in found]
    return found


def statuses(checks: Mapping[str, Check]) -> dict[str, str]:
    return {name: check.status for name, check in checks.items() if check.status != OK}


def loop(
    *, ranks: int = 4, graph: bool = True, mode: str = "Node", sizes: bool = True, nvtx: bool = True
) -> TraceBuilder:
    builder = TraceBuilder(graph_mode=mode)
    decode_loop(builder, ranks=ranks, graph=graph, nvtx=nvtx, message_bytes=8192 if sizes else None)
    return builder


def test_a_good_trace(tmp_path: Path) -> None:
    checks = checked(loop(), tmp_path, expected=4)
    assert list(checks) == ORDER
    assert statuses(checks) == {}
    assert checks["ranks"].seen == "4 with GPU work, 4 expected"
    assert checks["collectives"].seen == "8 on every rank"  # 4 steps of 2 layers
    assert checks["CUDA graphs"].seen == "64 kernels inside replays visible"
    assert checks["message sizes"].seen == "8 NCCL calls carry theirs"  # once a layer and rank, at the capture
    assert checks["steps"].seen.startswith("NVTX ranges decode_step_# ")
    assert checks["clock"].seen == "shortest launch latency 10.0 µs"


def test_a_window_in_which_nothing_ran_says_how_long_it_was_open(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.diagnostic("Profiling has started.", severity=1)
    builder.diagnostic("Profiling started due to cudaProfilerStart", severity=1, at=3_000_000)
    builder.diagnostic("Profiling has stopped.", severity=1, at=11_000_000)
    (check,) = checked(builder, tmp_path, capture_range=True).values()
    assert (check.status, check.seen) == (FAIL, "no GPU work while the window was open, 8 ms")
    assert "open it while requests run" in check.remedy


def test_ranks_missing(tmp_path: Path) -> None:
    checks = checked(loop(ranks=3), tmp_path, expected=4)
    assert statuses(checks) == {"ranks": WARN}
    assert checks["ranks"].seen == "3 with GPU work, 4 expected: missing rank 3"
    assert "VLLM_WORKER_MULTIPROC_METHOD=spawn" in checks["ranks"].line()


def test_more_ranks_than_expected(tmp_path: Path) -> None:
    check = checked(loop(), tmp_path, expected=1)["ranks"]
    assert (check.status, check.seen) == (WARN, "4 with GPU work, 1 expected: 3 more")
    assert "--tp" in check.remedy


def test_a_process_that_never_communicates_is_no_rank(tmp_path: Path) -> None:
    builder = loop(ranks=3)
    builder.process(9000, device=3).kernel(COMPUTE_KERNEL, 2_000_000, 2_010_000)
    assert statuses(checked(builder, tmp_path, expected=4)) == {"ranks": WARN}


def test_ranks_without_an_expectation(tmp_path: Path) -> None:
    check = checked(loop(ranks=3), tmp_path)["ranks"]
    assert (check.status, check.seen) == (OK, "3 with GPU work")


def test_uneven_collectives(tmp_path: Path) -> None:
    builder = TraceBuilder()
    ranks = decode_loop(builder, graph=True)
    ranks[2].kernel(ALLREDUCE_KERNEL, 5_000_000, 5_010_000, graph_node=(2 << 32) + 1)
    checks = checked(builder, tmp_path, expected=4)
    assert statuses(checks) == {"collectives": WARN}
    assert checks["collectives"].seen == "8 to 9 a rank (1 of 4 differ from 8)"


def test_stages_and_replicas_have_their_own_number_of_collectives(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for rank in decode_loop(builder, graph=True)[2:]:
        rank.kernel(ALLREDUCE_KERNEL, 5_000_000, 5_010_000, graph_node=(2 << 32) + 1)
    check = checked(builder, tmp_path, expected=4)["collectives"]
    assert (check.status, check.seen) == (OK, "8 or 9 on 2 ranks each: of pipeline stages, or of replicas")


def test_replicas_of_one_rank_have_none(tmp_path: Path) -> None:
    builder = TraceBuilder()
    for pid in (1, 2):
        builder.process(pid, device=pid).kernel(COMPUTE_KERNEL, 100_000, 110_000)
    path = builder.write(tmp_path / "t.sqlite")
    checks = {c.name: c for c in check_export(path, expected=2, capture_range=False, replica=1)}
    assert (checks["collectives"].status, "message sizes" in checks) == (OK, False)


def test_no_collectives(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    process.kernel(COMPUTE_KERNEL, 100_000, 110_000)
    check = checked(builder, tmp_path)["collectives"]
    assert (check.status, check.remedy) == (WARN, "is the run tensor-parallel? Replicas of one GPU make none")
    assert "message sizes" not in checked(builder, tmp_path)
    assert checked(builder, tmp_path, expected=1)["collectives"].seen == "none, as of one rank"


def test_graph_level_trace(tmp_path: Path) -> None:
    checks = checked(loop(mode="Graph"), tmp_path, expected=4)
    assert statuses(checks) == {"collectives": WARN, "CUDA graphs": WARN}
    assert checks["CUDA graphs"].seen == "16 replays traced as blocks"
    for name in ("collectives", "CUDA graphs"):
        assert "--cuda-graph-trace=node" in checks[name].remedy


def test_no_sizes(tmp_path: Path) -> None:
    plain = checked(loop(sizes=False), tmp_path)
    ranged = checked(loop(sizes=False), tmp_path, capture_range=True)
    for checks in (plain, ranged):
        assert statuses(checks) == {"message sizes": WARN}
    assert "only NCCL's calls tell sizes" in plain["message sizes"].remedy
    assert "before the range opened" in ranged["message sizes"].remedy


def test_sizes_that_this_nsys_drops(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, graph=True, message_bytes=None)[0].nccl("ncclAllReduce", 0, 1000)
    path = builder.write(tmp_path / "t.sqlite")
    old, new = (
        {check.name: check for check in check_export(path, expected=4, capture_range=False, drops=drops)}
        for drops in ("nsys 2024.2.3", "")
    )
    assert old["message sizes"].seen == "1 NCCL calls, whose payloads nsys 2024.2.3 drops on export"
    assert "NCCL >= 2.18" in new["message sizes"].remedy


def forked(ranks: int = 1, *, silent: int = 7, told: bool = True) -> TraceBuilder:
    """A run of eight, most of whose workers the profiler lost."""
    builder = TraceBuilder()
    for rank, process in enumerate(decode_loop(builder, ranks=ranks, graph=True, message_bytes=None)):
        if told:
            process.comm_init(comm=7, nranks=8, rank=rank, device=rank)
    for number in range(silent):
        worker = builder.process(9000 + number, device=0)
        builder.diagnostic("No CUDA events collected. Does the process use CUDA?", process=worker)
    return builder


def test_forked_workers_that_are_missing(tmp_path: Path) -> None:
    check = checked(forked(), tmp_path)["ranks"]
    assert check.status == WARN
    assert check.seen.startswith("1 with GPU work, 8 in its communicator: missing ranks 1 to 7")
    assert check.seen.endswith("; 7 processes without CUDA events")
    for word in ("VLLM_WORKER_MULTIPROC_METHOD=spawn", "--trace-fork-before-exec=true"):
        assert word in check.remedy
    assert checked(forked(told=False), tmp_path, expected=8)["ranks"].seen.startswith(
        "1 with GPU work, 8 expected: missing 7 ranks"
    )
    # A trace of one rank of eight, as its launcher made it, lacks nothing.
    assert checked(forked(silent=0), tmp_path, expected=1)["ranks"].status == OK
    assert "give all to one nsysan report" in checked(forked(4, silent=0), tmp_path)["ranks"].remedy


def test_what_the_export_tells_of_the_engine_makes_the_remedy(tmp_path: Path) -> None:
    spawned, sglang = forked(), forked()
    spawned.string_id("HOME=/root\0VLLM_WORKER_MULTIPROC_METHOD=spawn\0A=b")
    sglang.env("SGLANG_ENABLE_NVTX_SCHEDULER", "1")
    assert "workers were spawned" in checked(spawned, tmp_path)["ranks"].remedy
    assert "VLLM" not in checked(sglang, tmp_path)["ranks"].remedy
    vllm = next(engine for engine in load_starters().engines if engine.name == "vLLM")
    path = sglang.write(tmp_path / "t.sqlite")
    (check, *_) = check_export(path, expected=8, capture_range=False, engine=vllm)
    assert "VLLM_WORKER_MULTIPROC_METHOD=spawn" in check.remedy


def test_no_step_ranges(tmp_path: Path) -> None:
    check = checked(loop(nvtx=False), tmp_path)["steps"]
    assert check.status == OK
    assert "decode_step_<i>" in check.seen


@pytest.mark.parametrize(
    ("text", "of_rank", "status"),
    [
        ("Not all CUDA events might have been collected.", True, WARN),
        ("Not all CUDA events might have been collected.", False, OK),
        ("No CUDA events collected. Does the process use CUDA?", True, OK),
    ],
)
def test_lost_events(tmp_path: Path, text: str, of_rank: bool, status: str) -> None:
    builder = TraceBuilder()
    ranks = decode_loop(builder, graph=True)
    helper = builder.process(9000, name="launcher")
    builder.diagnostic(text, process=ranks[1] if of_rank else helper)
    checks = checked(builder, tmp_path)
    assert statuses(checks) == ({} if status == OK else {"events": status})
    assert (text in checks["events"].seen) == (status == WARN)


@pytest.mark.parametrize(("latency", "status"), [(10_000, OK), (-5_000, OK), (-15_000, WARN), (200_000_000, WARN)])
def test_clocks(tmp_path: Path, latency: int, status: str) -> None:
    builder = TraceBuilder()
    for rank in range(2):
        process = builder.process(rank + 1, device=rank)
        process.kernel(ALLREDUCE_KERNEL, 300_000_000, 300_010_000, launch=300_000_000 - latency)
    check = checked(builder, tmp_path)["clock"]
    assert (check.status, check.seen) == (status, f"shortest launch latency {latency / 1e3:,.1f} µs")


def test_kernels_without_calls(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    process.kernel(ALLREDUCE_KERNEL, 100_000, 110_000, launch=None)
    process.api("cudaDeviceSynchronize", 0, 200_000)
    assert checked(builder, tmp_path)["clock"].seen == "no kernel has its launch call"


def test_eager_launches_are_said_to_be_perturbed(tmp_path: Path) -> None:
    checks = checked(loop(graph=False), tmp_path, expected=4)
    assert statuses(checks) == {"perturbation": WARN}
    remedy = (
        "read idle and host-late figures as upper bounds, or time a step without nsys for `nsysan report --untraced`"
    )
    assert checks["perturbation"].remedy == remedy


def test_no_kernels_fails_and_ends_the_checks(tmp_path: Path) -> None:
    builder = TraceBuilder()
    builder.process(1).nvtx("decode_step_0", 0, 1000)
    checks = checked(builder, tmp_path, expected=4)
    assert statuses(checks) == {"ranks": FAIL}
    assert list(checks) == ["ranks"]


# --- a machine that has only click -----------------------------------------------------------------------------

# None makes every import of the name raise.
_ONLY_CLICK = """
import sys
sys.modules.update(dict.fromkeys(["numpy", "pandas", "plotly", "polars", "pyarrow"]))
from nsysan.cli import main
main()
"""


def only_click(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    return subprocess.run(
        [sys.executable, "-c", _ONLY_CLICK, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_capture_needs_only_click(tmp_path: Path) -> None:
    nsys = fake_nsys(tmp_path, export=loop().write(tmp_path / "prepared.sqlite"))
    workload = (sys.executable, "-c", "raise SystemExit(3)")
    planned = only_click("capture", "--nsys", nsys, "--dry-run", "--", *workload, folder=tmp_path)
    assert (planned.returncode, planned.stdout.count("\n")) == (0, 2)
    captured = only_click("capture", "--nsys", nsys, "--tp", "4", "--", *workload, folder=tmp_path)
    assert captured.returncode == 3, captured.stderr
    assert "  ok    collectives: 8 on every rank" in captured.stderr
    assert (tmp_path / "trace.sqlite").read_bytes() == (tmp_path / "prepared.sqlite").read_bytes()
    examined = only_click("doctor", "--nsys", nsys, folder=tmp_path)
    assert examined.returncode == 0, examined.stderr
    # An analysis does need more.
    assert "import of polars halted" in only_click("report", "trace.sqlite", folder=tmp_path).stderr


def test_a_report_is_refused_before_the_workload_runs_where_it_could_not_be_written(tmp_path: Path) -> None:
    touch = (sys.executable, "-c", "open('ran', 'w')")
    refused = only_click("capture", "--nsys", fake_nsys(tmp_path), "--report", "--", *touch, folder=tmp_path)
    assert refused.returncode == 21
    assert "--report needs the whole of nsysan (numpy, polars, plotly missing)" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nsys"]
