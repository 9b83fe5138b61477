"""Several reports of one run: put on one clock, they read like one report, and what is not one run is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import nsysan
from nsysan.report.build import build_report
from nsysan.report.report import Report
from nsysan.run.run import Run
from tests.clitools import paper_trace, run_cli
from tests.copies import altered
from tests.tracebuilder import ALLREDUCE_KERNEL, TraceBuilder, decode_loop

Capsys = pytest.CaptureFixture[str]
Analyze = Callable[[str], Run]
RealTrace = Callable[[str], Path]
RANKS = tuple(f"rank_{rank}" for rank in range(4))
MERGED = " ".join(RANKS)
LEDGER = (
    "step",
    "rank",
    "period_ns",
    "compute_ns",
    "wait_ns",
    "wire_ns",
    "copy_ns",
    "idle_ns",
    "comm_ns",
    "overlap_ns",
)
TABLES = (
    "CUPTI_ACTIVITY_KIND_KERNEL",
    "CUPTI_ACTIVITY_KIND_MEMCPY",
    "CUPTI_ACTIVITY_KIND_MEMSET",
    "CUPTI_ACTIVITY_KIND_RUNTIME",
    "CUDA_GRAPH_NODE_EVENTS",
    "NVTX_EVENTS",
)


def shifted(source: Path, target: Path, ns: int) -> Path:
    """A copy whose every time is later, as of a host whose clock is off."""
    move = f"SET start = start + ({ns}), end = end + ({ns})"
    return altered(source, target, *(f"UPDATE {table} {move}" for table in TABLES))


def analyzed_files(paths: Sequence[Path]) -> Run:
    return nsysan.analyze([nsysan.open_trace(path) for path in paths])


def ledger_of(run: Run) -> pl.DataFrame:
    return run.ledger.select(LEDGER).sort("step", "rank")


def medians(run: Run, line: str) -> list[float]:
    steady = run.ledger.filter("steady").group_by("rank").agg(pl.median(f"{line}_ns") / 1e6).sort("rank")
    return steady[f"{line}_ns"].to_list()


def quality(report: Report) -> dict[str, tuple[str, str]]:
    return {row.id: (row.status, row.reason) for row in report.quality}


# ---- the four sessions of one real run


@pytest.mark.parametrize("rank", range(4))
def test_a_merged_rank_has_the_ledger_of_its_own_report(analyzed: Analyze, rank: int) -> None:
    columns = ["step", "period_ns", "compute_ns", "copy_ns", "idle_ns", "comm_ns", "overlap_ns", "collectives"]
    single = analyzed(f"rank_{rank}").ledger.sort("step")
    merged = analyzed(MERGED).ledger.filter(pl.col("rank") == rank).sort("step")
    assert merged.select(columns).equals(single.select(columns))
    assert (merged["wait_ns"] + merged["wire_ns"]).to_list() == single["comm_unsplit_ns"].to_list()
    assert merged["comm_unsplit_ns"].unique().to_list() == [0]


def test_merged_figures_are_those_of_one_session(analyzed: Analyze) -> None:
    run = analyzed(MERGED)
    assert [round(ms, 2) for ms in medians(run, "period")] == [1.80] * 4
    assert {round(ms, 2) for ms in medians(run, "compute")} == {1.30, 1.31}
    assert medians(run, "wire") == pytest.approx([0.285] * 4, abs=0.002)
    assert medians(run, "wait") == pytest.approx([0.02] * 4, abs=0.01)
    assert {round(ms, 2) for ms in medians(run, "idle")} == {0.18, 0.19}
    assert run.collectives["verdict"].unique().to_list() == ["matched"]
    assert run.missing_ranks == []


def test_the_residual_is_small_and_printed(analyzed: Analyze) -> None:
    run = analyzed(MERGED)
    assert run.clock is not None
    assert run.clock.refined
    assert run.clock.residual_p50 is not None
    assert run.clock.residual_p95 is not None
    assert 0 < run.clock.residual_p50 <= run.clock.residual_p95 < 30_000
    status, reason = quality(build_report(run, "0", timelines=False))["clock"]
    assert status == "ok"
    assert f"p50 {run.clock.residual_p50 / 1e3:.2f} µs, p95 {run.clock.residual_p95 / 1e3:.2f} µs" in reason


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("ns", [200_000, -3_000_000])
def test_a_clock_that_is_off_by_a_constant_changes_nothing(
    analyzed: Analyze, real_trace: RealTrace, tmp_path: Path, ns: int, rank: int
) -> None:
    paths = [real_trace(name) for name in RANKS]
    paths[rank] = shifted(paths[rank], tmp_path / paths[rank].name, ns)
    run, plain = analyzed_files(paths), analyzed(MERGED)
    assert ledger_of(run).equals(ledger_of(plain))
    assert run.clock is not None
    assert plain.clock is not None
    # Only differences between the reports' clocks can be told, and the first report's is the run's.
    moved = [a - b for a, b in zip(run.clock.offsets, plain.clock.offsets, strict=True)]
    assert moved == ([0] + [ns] * 3 if rank == 0 else [0, 0, -ns, 0])


def test_a_clock_that_jumps_names_nobody(analyzed: Analyze, real_trace: RealTrace, tmp_path: Path) -> None:
    begins = analyzed("rank_2").windows.sort("step")["begin"]
    # From step 7 of 12 on the GPU of rank 2 is 200 us late, which is more than three layers.
    move = f"SET start = start + 200000, end = end + 200000 WHERE start >= {begins[7]}"
    jumping = altered(
        real_trace("rank_2"), tmp_path / "rank_2.sqlite", *(f"UPDATE {table} {move}" for table in TABLES[:3])
    )
    run = analyzed_files([real_trace("rank_0"), real_trace("rank_1"), jumping, real_trace("rank_3")])
    report = build_report(run, "0", timelines=False)
    assert (run.collectives["verdict"] == "rejected").mean() == pytest.approx(5 / 12, abs=0.02)
    assert report.diagnosis.straggler is None
    rows = quality(report)
    assert rows["wait_wire"][0] == "not_measurable"
    assert "clocks of the ranks disagree" in rows["wait_wire"][1]
    assert rows["straggler"][0] == "not_measurable"
    assert report.diagnosis.verdict.kind == "inconclusive"


def test_the_order_of_the_reports_does_not_matter(analyzed: Analyze) -> None:
    run, plain = analyzed("rank_3 rank_1 rank_0 rank_2"), analyzed(MERGED)
    assert [rank.rank for rank in run.ranks] == [0, 1, 2, 3]
    assert [rank.trace for rank in run.ranks] == [f"{name}.sqlite" for name in RANKS]
    assert ledger_of(run).equals(ledger_of(plain))


def test_a_missing_rank_is_named_and_the_rest_analysed(analyzed: Analyze) -> None:
    run = analyzed("rank_0 rank_1 rank_3")
    assert run.missing_ranks == [2]
    assert run.collectives["verdict"].unique().to_list() == ["partial"]
    assert run.collectives["members"].unique().to_list() == [3]
    report = build_report(run, "0", timelines=False)
    status, reason = quality(report)["missing_ranks"]
    assert status == "not_measurable"
    assert reason.startswith("rank 2 is not in the trace, of 4")
    assert report.diagnosis.verdict.kind == "inconclusive"
    assert report.replicas[0].layout.name == "TP=4 (3 of its ranks in the trace)"
    plain = analyzed(MERGED).ledger.filter(pl.col("rank") != 2)
    same = ["step", "rank", "period_ns", "compute_ns", "copy_ns", "idle_ns", "comm_ns"]
    assert run.ledger.select(same).equals(plain.select(same))
    # Rank 2 may have come last: nothing of the calls is told apart.
    assert run.ledger["comm_unsplit_ns"].to_list() == plain["comm_ns"].to_list()
    assert run.ledger["wait_ns"].null_count() == run.ledger["wire_ns"].null_count() == len(run.ledger)


# ---- refused


def one_rank(path: Path, rank: int, *, comm: int | None = 5, utc: int = 1_795_224_063_000_000_000) -> Path:
    """The report of one rank of two, with `comm` as its communicator."""
    builder = TraceBuilder(utc_epoch_ns=utc)
    (process,) = decode_loop(builder, ranks=1, message_bytes=None, first_pid=100 + rank)
    if comm is not None:
        process.comm_init(comm=comm, nranks=2, rank=rank, device=0)
    return builder.write(path)


def refused(capsys: Capsys, tmp_path: Path, *paths: Path) -> str:
    result = run_cli(capsys, "report", *paths, "-o", tmp_path / "out.html")
    assert result.code == 12
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out.html").exists()
    return result.err


def test_reports_of_two_real_runs_are_refused(real_trace: RealTrace, tmp_path: Path, capsys: Capsys) -> None:
    assert "tp2_graph" in refused(capsys, tmp_path, real_trace("rank_0"), real_trace("tp2_graph"))


def test_two_reports_of_one_rank_are_refused(tmp_path: Path, capsys: Capsys) -> None:
    first = one_rank(tmp_path / "a.sqlite", 1)
    second = one_rank(tmp_path / "b.sqlite", 1, utc=1_795_224_063_000_000_001)
    assert "b.sqlite: is rank 1, as a.sqlite is" in refused(capsys, tmp_path, first, second)


def test_reports_without_a_common_communicator_are_refused(tmp_path: Path, capsys: Capsys) -> None:
    first, second = one_rank(tmp_path / "a.sqlite", 0), one_rank(tmp_path / "b.sqlite", 1, comm=6)
    assert "b.sqlite: shares no NCCL communicator with a.sqlite" in refused(capsys, tmp_path, first, second)


def test_reports_far_apart_in_time_are_refused(tmp_path: Path, capsys: Capsys) -> None:
    first = one_rank(tmp_path / "a.sqlite", 0)
    second = one_rank(tmp_path / "b.sqlite", 1, utc=1_795_224_063_000_000_000 + 60_000_000_000)
    assert "b.sqlite: its GPU work begins 60.0 s after" in refused(capsys, tmp_path, first, second)


@pytest.mark.parametrize("drop", ["TARGET_INFO_SESSION_START_TIME"])
def test_reports_without_utc_are_refused(tmp_path: Path, capsys: Capsys, drop: str) -> None:
    first = one_rank(tmp_path / "a.sqlite", 0)
    second = altered(one_rank(tmp_path / "whole.sqlite", 1), tmp_path / "b.sqlite", f"DROP TABLE {drop}")
    message = refused(capsys, tmp_path, first, second)
    assert "b.sqlite: has no UTC start time" in message


# ---- generated reports


def pair(tmp_path: Path, offsets: Mapping[int, int], late: int = 3_000) -> list[Path]:
    """Rank 1 is late in each of two layers; each rank its own report, its clock ahead by offsets[rank].

    A step takes 44 us; see decode_loop. The clock errors are those of the hosts, so UTC does not tell them.
    """
    paths = []
    for rank in range(2):
        builder = TraceBuilder()
        process = builder.process(100 + rank)
        process.comm_init(comm=5, nranks=2, rank=rank, device=0)
        for step in range(8):
            at = 1_000_000 + 44_000 * step + offsets[rank]
            process.nvtx(f"decode_step_{step}", at - 50_000, at - 44_000 + 36_000)
            for layer in range(2):
                begin = at + 21_000 * layer
                arrival = begin + 10_000 + (late if rank == 1 else 0)
                process.kernel("gemm", begin, arrival, launch=at - 49_000 + 10_000 * layer)
                process.kernel(ALLREDUCE_KERNEL, arrival, begin + 21_000, launch=at - 46_000 + 10_000 * layer)
        paths.append(builder.write(tmp_path / f"r{rank}.sqlite"))
    return paths


@pytest.mark.parametrize("offset", [0, 1_000, -7_000, 150_000, -2_000_000])
def test_waits_on_paper_whatever_the_clocks_say(tmp_path: Path, offset: int) -> None:
    run = analyzed_files(pair(tmp_path, {0: 0, 1: offset}))
    assert run.clock is not None
    assert run.clock.offsets == [0, -offset]
    assert (run.clock.residual_p50, run.clock.residual_p95) == (0, 0)
    waits = run.collectives.select("rank", "verdict", "wait", "wire").unique().sort("rank").rows()
    assert waits == [(0, "matched", 3_000, 8_000), (1, "matched", 0, 8_000)]


def staged(tmp_path: Path, ahead: int) -> list[Path]:
    """Two stages of one rank, each its own report, the second's clock ahead: steps of 140 us and up to 9.6 more.

    The first computes for 60 us and sends for 4; the second, which has waited since its own work ended, then computes
    for 60 us. No two steps on end are alike.
    """
    processes = []
    for rank, builder in enumerate(builders := [TraceBuilder() for _ in range(2)]):
        process = builder.process(100 + rank)
        process.comm_init(comm=5, nranks=2, rank=rank, device=0)
        processes.append(process)
    at, free = 1_000_000, 990_000
    for step in range(40):
        ends = at + 60_000, at + 64_000, at + 124_000
        stages = [
            [("compute", at, ends[0]), ("ncclSend", *ends[:2])],
            [("ncclRecv", free, ends[1]), ("compute", *ends[1:])],
        ]
        for rank, (process, stage) in enumerate(zip(processes, stages, strict=True)):
            off = ahead * rank
            process.nvtx(f"decode_step_{step}", stage[0][1] + off - 12_000, stage[1][2] + off - 20_000)
            for name, begin, end in stage:
                launch = begin + off - 10_000
                if name != "compute":
                    process.nccl(name, launch - 100, launch + 2_100, bytes=8_192, comm=5, peer=1 - rank)
                kernel = "gemm" if name == "compute" else "ncclDevKernel_SendRecv"
                process.kernel(kernel, begin + off, end + off, launch=(launch, launch + 2_000))
        at, free = at + 140_000 + 100 * (step * step % 97), ends[2]
    return [builder.write(tmp_path / f"r{rank}.sqlite") for rank, builder in enumerate(builders)]


@pytest.mark.parametrize("ahead", [0, 50_000, -10_000, -80_000, -130_000, 300_000])
def test_messages_are_paired_whatever_the_clocks_say(tmp_path: Path, ahead: int) -> None:
    run = analyzed_files(staged(tmp_path, ahead))
    assert run.clock is not None
    assert run.clock.offsets == [0, -ahead]
    assert run.clock.residual_p95 == 0
    waits = run.collectives.filter(pl.col("rank") == 0).select("verdict", "wait", "wire").unique().rows()
    assert waits == [("matched", 0, 4_000)]


@pytest.mark.parametrize("ahead", [0, 3_000_000, -7_000_000])
def test_a_clock_that_is_off_by_steps_is_told_by_their_ends(tmp_path: Path, ahead: int) -> None:
    """Steps of 440 us and up to 5 more, no two alike, of 4 calls and without ranges; rank 1 is 3 us late at each."""
    paths = []
    for rank in range(2):
        builder = TraceBuilder()
        process = builder.process(100 + rank)
        process.comm_init(comm=5, nranks=2, rank=rank, device=0)
        at = 20_000_000 + ahead * rank
        for step in range(40):
            for layer in range(4):
                begin = at + 50_000 * layer
                arrival = begin + 30_000 + 3_000 * rank
                process.kernel("gemm", begin, arrival, launch=at - 20_000 + 2_000 * layer)
                process.kernel(ALLREDUCE_KERNEL, arrival, begin + 43_000, launch=at - 19_000 + 2_000 * layer)
            process.memcpy(at + 200_000, at + 202_000, kind=2, launch=at - 5_000)
            at += 440_000 + 50 * (step * step % 97)
        paths.append(builder.write(tmp_path / f"r{rank}.sqlite"))
    run = analyzed_files(paths)
    assert run.clock is not None
    assert run.clock.offsets == [0, -ahead]
    waits = run.collectives.select("rank", "verdict", "wait", "wire").unique().sort("rank").rows()
    assert waits == [(0, "matched", 3_000, 10_000), (1, "matched", 0, 10_000)]


def drifting(tmp_path: Path, read: Callable[[int], int], *, steps: int = 60) -> list[Path]:
    """Rank 1 is 3 us late at the one all-reduce of a step, every 5 ms, which takes 8 us; its clock is read so.

    Its kernel ends 0 to 200 ns later, as the last hop has it.
    """
    paths = []
    for rank in range(2):
        builder = TraceBuilder()
        process = builder.process(100 + rank)
        process.comm_init(comm=5, nranks=2, rank=rank, device=0)
        told = read if rank else lambda at: at
        for step in range(steps):
            at = 1_000_000 + 5_000_000 * step
            arrival = at + 10_000 + 3_000 * rank
            process.nvtx(f"decode_step_{step}", told(at) - 50_000, told(at) - 1_000)
            process.kernel("gemm", told(at), told(arrival), launch=told(at) - 40_000)
            end = told(at + 21_000 + rank * 50 * (step % 5))
            process.kernel(ALLREDUCE_KERNEL, told(arrival), end, launch=told(at) - 30_000)
        paths.append(builder.write(tmp_path / f"r{rank}.sqlite"))
    return paths


@pytest.mark.parametrize("ppm", [20, -100])
def test_a_clock_that_drifts_is_put_on_a_line(tmp_path: Path, ppm: int) -> None:
    run = analyzed_files(drifting(tmp_path, lambda at: at + 700_000 + round(at * ppm / 1e6)))
    assert run.clock is not None
    assert run.clock.drifts[0] == 0
    assert run.clock.drifts[1] == pytest.approx(-ppm / 1e6, rel=0.02)
    late = run.collectives.filter(pl.col("rank") == 0)
    assert late["verdict"].unique().to_list() == ["matched"]
    # Over the capture 100 ppm come to 30 us, ten times the wait.
    assert late.filter((pl.col("wait") - 3_000).abs() > 300).is_empty()
    assert run.clock.residual_p95 is not None
    assert run.clock.residual_p95 <= 300
    status, reason = quality(build_report(run, "0", timelines=False))["clock"]
    assert status == "ok"
    assert "µs a second for drift: +0.00, " in reason


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda at: at, id="one clock"),
        pytest.param(lambda at: at + round(at * 1e-9), id="less than matters"),
        pytest.param(lambda at: at + (40_000 if at > 150_000_000 else 0), id="a jump"),
        pytest.param(lambda at: at + round(at * 1e-3), id="faster than clocks do"),
    ],
)
def test_what_is_no_drift_is_not_taken_for_one(tmp_path: Path, read: Callable[[int], int]) -> None:
    run = analyzed_files(drifting(tmp_path, read))
    assert run.clock is not None
    assert run.clock.drifts == [0, 0]


@pytest.mark.parametrize(("steps", "beyond"), [(1, 0), (2, 1), (3, 2)])
def test_the_residual_counts_calls_beyond_the_fit(tmp_path: Path, steps: int, beyond: int) -> None:
    # An offset takes one call: one alone would agree with itself to the ns, whatever the clocks.
    paths = drifting(tmp_path, lambda at: at + 700_000, steps=steps)
    run = analyzed_files(paths)
    assert run.clock is not None
    status, reason = quality(build_report(run, "0", timelines=False))["clock"]
    assert (run.clock.residual_p95 is None) == (beyond == 0)
    assert status == ("ok" if beyond else "estimated")
    assert ("nothing tells the error of a wait" in reason) == (not beyond)


def test_clocks_further_apart_than_clocks_can_be_are_left_alone(tmp_path: Path) -> None:
    run = analyzed_files(pair(tmp_path, {0: 0, 1: 30_000_000}))
    assert run.clock is not None
    assert not run.clock.refined
    status, reason = quality(build_report(run, "0", timelines=False))["clock"]
    assert status == "estimated"
    assert "aligned by UTC only" in reason
    assert run.collectives["verdict"].unique().to_list() == ["rejected"]


# ---- how reports are named on the command line


def document(capsys: Capsys, *names: str | Path) -> dict[str, Any]:
    result = run_cli(capsys, "report", *names, "--json", "-")
    assert result.code == 0, result.err
    loaded: dict[str, Any] = json.loads(result.out)
    return loaded


def test_files_a_folder_and_a_glob_are_the_same_run(tmp_path: Path, capsys: Capsys) -> None:
    paths = pair(tmp_path, {0: 0, 1: 5_000})
    by_file = document(capsys, *paths)
    assert [i["name"] for i in by_file["inputs"]] == ["r0.sqlite", "r1.sqlite"]
    assert {(row["rank"], row["wait_ns"]) for row in by_file["per_rank"]} == {(0, 6_000), (1, 0)}
    assert document(capsys, tmp_path) == by_file
    assert document(capsys, f"{tmp_path}/r?.sqlite") == by_file
    # A file that is named twice is read once, whatever it is called.
    links = tmp_path / "links"
    links.mkdir()
    (links / "soft.sqlite").symlink_to(paths[0])
    (links / "hard.sqlite").hardlink_to(paths[1])
    others = (paths[1], links, f"{tmp_path}/links/../r0.sqlite")
    assert document(capsys, tmp_path, *others) == by_file
    # What is not there is said of the name.
    assert "gone.sqlite: no such file" in run_cli(capsys, "report", tmp_path / "gone.sqlite").err


def test_a_copy_of_a_trace_is_named_and_left_out(tmp_path: Path, capsys: Capsys) -> None:
    trace = paper_trace(tmp_path / "trace.sqlite")
    alone = document(capsys, trace)
    shutil.copyfile(trace, tmp_path / "trace_copy.sqlite")
    result = run_cli(capsys, "report", tmp_path, "--json", "-")
    assert "left out: " in result.err
    assert "trace_copy.sqlite: shows the same processes at the same times as trace.sqlite\n" in result.err
    both = json.loads(result.out)
    rows = {row["id"]: row for row in both.pop("quality")}
    assert rows.pop("reports")["status"] == "ok"
    assert list(rows.values()) == alone.pop("quality")
    assert both == alone


def test_the_next_recording_of_the_same_processes_is_no_copy(tmp_path: Path) -> None:
    paths = [one_rank(tmp_path / f"{utc}.sqlite", 0, comm=None, utc=1_795_224_063_000_000_000 + utc) for utc in (0, 9)]
    assert not analyzed_files(paths).failures


def test_a_folder_without_exports_and_a_glob_without_files(tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "empty").mkdir()
    for name in (tmp_path / "empty", f"{tmp_path}/nothing_*.sqlite"):
        result = run_cli(capsys, "report", name)
        assert result.code == nsysan.ExitCode.NO_SUCH_FILE
        assert result.err.count("\n") == 1


def test_the_summary_names_the_reports(tmp_path: Path, capsys: Capsys) -> None:
    pair(tmp_path, {0: 0, 1: 0})
    result = run_cli(capsys, "report", tmp_path, "-o", tmp_path / "out.html")
    assert result.code == 0, result.err
    assert "r0.sqlite, r1.sqlite" in result.out
    assert "\nlate      " in result.out
