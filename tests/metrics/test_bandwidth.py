"""Floors and speeds of collectives: nccl-tests' formulas on paper, and what the reports make of real traces."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import nsysan
from nsysan.diagnosis.collectives import counted_steps
from nsysan.metrics.bandwidth import Speed, peak_share, speed, total_bytes
from nsysan.metrics.scenarios import Scenario
from nsysan.page import charts
from nsysan.page.html import to_html
from nsysan.report.build import build_report
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from nsysan.run.run import Run
from tests.clitools import paper_trace, run_cli
from tests.documents import document_of
from tests.tracebuilder import ALLREDUCE_KERNEL, TraceBuilder, decode_loop

KINDS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce", "send_recv")


# ---- formulas


@pytest.mark.parametrize(
    ("kind", "algbw", "busbw"),
    [
        # 8 MB over 4 ranks in 100 us: 80 GB/s, and 4 times that where a call passes one rank's part.
        ("all_reduce", 80.0, 120.0),
        ("all_gather", 320.0, 240.0),
        ("reduce_scatter", 320.0, 240.0),
        ("all_to_all", 320.0, 240.0),
        ("broadcast", 80.0, 80.0),
        ("reduce", 80.0, 80.0),
        ("send_recv", 80.0, 80.0),
    ],
)
def test_speeds_of_8_mb_over_4_ranks(kind: str, algbw: float, busbw: float) -> None:
    found = speed(kind, 8_000_000, 4, 100_000)
    assert found is not None
    assert (found.algbw, found.busbw) == pytest.approx((algbw, busbw))


def test_two_ranks_reduce_at_the_speed_of_the_bus() -> None:
    assert speed("all_reduce", 1_000, 2, 1_000) == Speed(1.0, 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_known_is_not_a_speed(kind: str) -> None:
    assert speed(kind, None, 4, 1_000) is None
    assert speed(kind, 0, 4, 1_000) is None
    assert speed(kind, 1_000, 4, None) is None
    assert speed(kind, 1_000, 4, 0) is None
    assert speed(kind, 1_000, 1, 1_000) is None
    assert speed(None, 1_000, 4, 1_000) is None
    assert speed("unknown", 1_000, 4, 1_000) is None


def test_total_bytes() -> None:
    assert [total_bytes(kind, 100, 4) for kind in KINDS] == [100, 400, 400, 400, 100, 100, 100]


def test_a_share_of_the_peak_from_1_mb_on() -> None:
    found = Speed(100.0, 90.0)
    assert peak_share(found, 1_000_000, 450) == pytest.approx(0.2)
    assert peak_share(found, 999_999, 450) is None
    assert peak_share(found, 1_000_000, None) is None
    assert peak_share(None, 1_000_000, 450) is None


# ---- reports


def report_of(path: Path) -> Report:
    return build_report(nsysan.analyze(nsysan.open_trace(path)), "0", timelines=False)


def test_speed_is_that_of_the_wire_not_of_the_residency(tmp_path: Path) -> None:
    builder = TraceBuilder()
    # Ranks wait 30 us for rank 3, and the wire takes 8: 2 MB in 8 us are 250 GB/s, times 2 * 3 / 4.
    decode_loop(builder, late={3: 30_000}, message_bytes=2_000_000)
    report = report_of(builder.write(tmp_path / "late.sqlite"))
    (family,) = report.collectives
    assert (family.floor, family.excess) == (8_000, 0)
    assert family.algbw == pytest.approx(250)
    assert family.busbw == pytest.approx(375)
    assert family.peak_share == pytest.approx(375 / 450)
    assert "floor 8.0 µs (median call 0.0 over it)    algbw 250  busbw 375 GB/s (83.3 % of peak)" in to_text(report)


def test_the_wire_of_a_call_is_until_its_last_rank_has_left(tmp_path: Path) -> None:
    builder = TraceBuilder()
    # Rank 1 arrives 8 us late and stays 12, in every second step 15; the others left 6 us before it.
    for rank in range(3):
        process = builder.process(100 + rank, device=rank)
        for step in range(9):
            at = 1_000_000 + 40_000 * step
            begin, end = (
                (at + 8_000, at + 20_000 + step % 2 * 3_000) if rank == 1 else (at, at + 14_000 + step % 2 * 3_000)
            )
            process.nvtx(f"decode_step_{step}", at - 10_000, at - 1_000)
            process.kernel(ALLREDUCE_KERNEL, begin, end, launch=at - 9_000)
    report = report_of(builder.write(tmp_path / "early.sqlite"))
    (family,) = report.collectives
    assert family.wire is not None
    assert (family.wire["p50"], family.floor, family.excess) == (15_000, 12_000, 3_000)
    assert "floor 12.0 µs (median call 3.0 over that of its place)" in to_text(report)
    what = report.diagnosis.what_if
    assert what is not None
    # Each host launches at its own time, whatever the wire takes.
    assert what.saves(Scenario.FLOOR_WIRE) == 0


def test_without_sizes_there_is_a_floor_and_no_speed(tmp_path: Path) -> None:
    builder = TraceBuilder()
    decode_loop(builder, message_bytes=None)
    report = report_of(builder.write(tmp_path / "old.sqlite"))
    (family,) = report.collectives
    assert (family.floor, family.algbw, family.busbw, family.peak_share) == (8_000, None, None, None)
    assert charts.speed_by_size(report) is None
    (status,) = (q.status for q in report.quality if q.id == "wire_speed")
    assert status == "not_measurable"
    entry = document_of(report)["collectives"][0]
    assert (entry["floor_ns"], entry["algbw_gbps"], entry["busbw_gbps"], entry["peak_share"]) == (
        8000,
        None,
        None,
        None,
    )


#: Calls of each size; so many more of the largest that their step differs from the usual one.
SWEPT = {8_192: 30, 65_536: 30, 1_048_576: 30, 16_777_216: 40}


def sweep(path: Path, *, gbps: float = 100.0) -> Path:
    """A range a size, two ranks, all-reduces of 6 us and the time for the size, after one range to warm up."""
    builder = TraceBuilder()
    processes = [builder.process(100 + rank, device=rank) for rank in range(2)]
    for rank, process in enumerate(processes):
        process.comm_init(comm=77, nranks=2, rank=rank, device=rank)
        time = 1_000_000
        for number, (size, calls) in enumerate(((64, 30), *SWEPT.items())):
            begin = time
            for _ in range(calls):
                wire = 6_000 + round(size / gbps)
                process.nccl("ncclAllReduce", time - 15_000, time - 11_000, bytes=size, comm=77)
                process.kernel(ALLREDUCE_KERNEL, time, time + wire, launch=time - 14_000)
                time += wire + 20_000
            process.nvtx(f"step_{number}", begin - 16_000, time - 17_000)
    return builder.write(path)


def test_a_sweep_counts_the_calls_of_every_step(tmp_path: Path) -> None:
    report = report_of(sweep(tmp_path / "sweep.sqlite"))
    by_size = {family.message_bytes: family for family in report.collectives}
    # The first step is start-up, but no other has calls of its size.
    assert {size: family.count for size, family in by_size.items()} == {64: 30, **SWEPT}
    assert any(reason.startswith("different work") for reason in report.steps.excluded.values())
    assert all(family.matched == family.count for family in by_size.values())
    # Steps of other sizes are other work, and one size at the most is of the steps that are shown.
    assert sum(family.a_step is not None for family in by_size.values()) <= 1
    assert "40 a step  all_reduce of 16 MiB over 2 ranks in decode.5: 40 of 40 calls matched" in to_text(report)
    assert by_size[16_777_216].busbw == pytest.approx(16_777_216 / (6_000 + 167_772))
    assert by_size[8_192].peak_share is None
    assert by_size[1_048_576].peak_share == pytest.approx(1_048_576 / (6_000 + 10_486) / 450)


def test_the_chart_shows_floor_model_and_peak_over_the_sizes(tmp_path: Path) -> None:
    report = report_of(sweep(tmp_path / "sweep.sqlite"))
    figure = charts.speed_by_size(report)
    assert figure is not None
    lines = {trace["name"].rpartition(": ")[2]: trace for trace in figure.data}
    assert set(lines) == {"wire p50", "floor", "NCCL's model", "busbw", "link's peak"}
    assert lines["wire p50"]["x"] == [64, *SWEPT]
    assert lines["wire p50"]["y"] == lines["floor"]["y"] == [6.001, 6.082, 6.655, 16.486, 173.772]
    # Ring LL: 6.6 us and two hops of 0.6, and 8 KiB at half of 0.8 * 450 GB/s.
    assert lines["NCCL's model"]["y"][1] == pytest.approx(7.8 + 8.192 / 180)
    assert lines["link's peak"]["y"] == [450, 450]
    assert 'data-figure="sizes"' in to_html(report)


def test_link_gbps_overrides_the_peak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sweep(tmp_path / "sweep.sqlite")
    result = run_cli(capsys, "report", path, "--json", "-", "--link-gbps", "200")
    document = json.loads(result.out)
    assert document["link"]["peak_gbps"] == 200
    assert document["link"]["source"] == "--link-gbps"
    largest = next(c for c in document["collectives"] if c["bytes"] == 16_777_216)
    assert largest["peak_share"] == pytest.approx(largest["busbw_gbps"] / 200)
    for bad in ("0", "-1", "fast"):
        assert run_cli(capsys, "report", path, "--json", "-", "--link-gbps", bad).code == 2


def test_the_paper_trace_has_its_rate_a_step(tmp_path: Path) -> None:
    (family,) = report_of(paper_trace(tmp_path / "paper.sqlite")).collectives
    assert (family.a_step, family.count) == (2, 6)


# ---- real traces


def test_real_graph(reported: Callable[[str], Report]) -> None:
    report = reported("tp4_graph_node")
    (family,) = report.collectives
    assert (family.kind, family.message_bytes, family.ranks, family.a_step) == ("all_reduce", 8_192, 4, 32)
    assert family.wire is not None
    assert family.floor is not None
    assert family.floor / 1e3 == pytest.approx(8.6, abs=0.3)
    assert family.wire["p50"] / 1e3 == pytest.approx(8.9, abs=0.3)
    assert family.busbw == pytest.approx(8_192 / family.wire["p50"] * 1.5)
    assert family.peak_share is None
    assert (report.link.model, report.link.kind, report.link.looks_like) == ("H200 SXM", "nvlink", "nvlink")


def test_a_fused_kernel_has_no_speed(reported: Callable[[str], Report]) -> None:
    families = reported("tp4_fused").collectives
    assert any(family.op_class == "fused" for family in families)
    assert all(family.busbw is None for family in families if family.op_class == "fused")


def test_one_rank_of_four_has_no_speed(reported: Callable[[str], Report]) -> None:
    report = reported("rank_0")
    assert all(family.busbw is None and family.floor is None for family in report.collectives)
    assert report.link.looks_like is None


def test_steps_of_the_start_are_not_counted(analyzed: Callable[[str], Run]) -> None:
    run = analyzed("tp4_graph_node")
    assert counted_steps(run) == run.steady_steps
