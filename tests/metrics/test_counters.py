"""Sampled GPU counters: on paper, on a real run, and only within the steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import nsysan
from nsysan.columns.intervals import atoms
from nsysan.metrics.counters import MIN_SAMPLES, Counter, SampleStats
from nsysan.page.html import to_html
from nsysan.report.build import build_report
from nsysan.report.counter_lanes import MAX_POINTS, counter_lanes
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from nsysan.report.timeline import Timeline
from nsysan.run.run import Run
from nsysan.run.samples import METRICS, known_metrics, load_samples
from nsysan.trace.sqlite import SqliteFile
from nsysan.trace.where import Where
from tests.clitools import paper_trace, run_cli
from tests.page.test_html import Page
from tests.tracebuilder import ALLREDUCE_DEMANGLED, ALLREDUCE_KERNEL, COMPUTE_KERNEL, Process, TraceBuilder

Capsys = pytest.CaptureFixture[str]
DRAM = "DRAM Read Bandwidth [Throughput %]"
REQUESTS = "NVLink RX Requests User Data [Throughput %]"
RESPONSES = "NVLink RX Responses User Data [Throughput %]"
US = 1_000
STEPS = 8
PERIOD = 3_000 * US
BEGIN = 1_000 * US
#: us of a step: rank 0 computes to 1,000, waits to 1,500; all transfer to 2,500 and idle to 3,000.
COMPUTE = {0: 1_000 * US, 1: 1_500 * US}
LAST, DONE = 1_500 * US, 2_500 * US
COMM = 0x77


def steps_of(process: Process, rank: int, shift: int = 0) -> None:
    process.comm_init(comm=COMM, nranks=2, rank=rank, device=process.device, start=shift, end=shift + 1_000)
    for step in range(STEPS):
        begin = shift + BEGIN + step * PERIOD
        arrival = begin + COMPUTE[rank]
        process.kernel(COMPUTE_KERNEL, begin, arrival)
        process.kernel(ALLREDUCE_KERNEL, arrival, begin + DONE, demangled=ALLREDUCE_DEMANGLED, driver_api=True)
        process.nccl("ncclAllReduce", arrival - 10_500, arrival - 7_500, bytes=8192, comm=COMM)
        process.nvtx(f"decode_step_{step}", begin - 11_000, arrival - 7_000)


def sampled(rank: int, levels: Mapping[str, int], every: int = 100 * US, shift: int = 0) -> Iterator[tuple[int, int]]:
    """A sample at the start of each stretch of time, of the phase that the stretch begins in."""
    for time in range(0, BEGIN + STEPS * PERIOD + 1_000 * US, every):
        at = (time - BEGIN) % PERIOD
        phase = "compute" if at < COMPUTE[rank] else "wait" if at < LAST else "wire" if at < DONE else "idle"
        yield shift + time, levels[phase]


LEVELS = {"compute": 80, "wait": 0, "wire": 10, "idle": 2}


def two_ranks() -> TraceBuilder:
    """nsys numbers the GPUs the other way round than CUDA does."""
    builder = TraceBuilder()
    builder.gpu(0, id=1)
    builder.gpu(1, id=0)
    for rank in range(2):
        steps_of(builder.process(1000 + rank, device=rank), rank)
    return builder


def analyzed_file(path: Path) -> Run:
    return nsysan.analyze(nsysan.open_trace(path))


def report_of(builder: TraceBuilder, path: Path) -> Report:
    return build_report(analyzed_file(builder.write(path / "t.sqlite")), "0")


def counter(report: Report, rank: int, metric: str) -> Counter:
    return next(c for c in report.counters if (c.rank, c.metric) == (rank, metric))


def quality(report: Report) -> dict[str, tuple[str, str]]:
    return {row.id: (row.status, row.reason) for row in report.quality}


def test_every_figure_on_paper(tmp_path: Path) -> None:
    builder = two_ranks()
    builder.gpu_metric(1, DRAM, sampled(0, LEVELS))
    builder.gpu_metric(0, DRAM, sampled(1, {**LEVELS, "compute": 60}))
    report = report_of(builder, tmp_path)

    # Steps 1 to 7 are steady, and the last ends with its all-reduce: 6 idle stretches of 5 samples.
    assert report.steps.steady == list(range(1, STEPS))
    first = counter(report, 0, "DRAM read")
    assert first.unit == "%"
    assert first.interval == 100 * US
    assert first.steps == SampleStats(205, round((70 * 80 + 35 * 0 + 70 * 10 + 30 * 2) / 205, 3), 80)
    assert first.in_collectives == SampleStats(105, round((35 * 0 + 70 * 10) / 105, 3), 10)
    assert first.in_transfer == SampleStats(70, 10.0, 10)
    assert first.outside == SampleStats(100, round((70 * 80 + 30 * 2) / 100, 3), 80)
    assert first.reason is None

    second = counter(report, 1, "DRAM read")
    assert second.in_collectives == second.in_transfer == SampleStats(70, 10.0, 10)
    assert second.outside == SampleStats(135, round((105 * 60 + 30 * 2) / 135, 3), 60)
    assert quality(report)["counters"][0] == "ok"


def test_a_sample_that_straddles_is_in_neither(tmp_path: Path) -> None:
    builder = two_ranks()
    builder.gpu_metric(1, DRAM, sampled(0, LEVELS, every=400 * US))
    dram = counter(report_of(builder, tmp_path), 0, "DRAM read")
    # From 1,000 us of each step: stretches of 400 us meet the phases anew in every step.
    inside = outside = touched = 0
    for time in range(0, BEGIN + STEPS * PERIOD, 400 * US):
        phases = [(time + us * US - BEGIN) % PERIOD for us in range(0, 400, 100)]
        within = [BEGIN + PERIOD <= time + us * US < BEGIN + (STEPS - 1) * PERIOD + DONE for us in range(0, 400, 100)]
        calls = [COMPUTE[0] <= at < DONE for at in phases]
        touched += any(within)
        inside += all(within) and all(calls)
        outside += all(within) and not any(calls)
    assert (dram.steps.samples, dram.in_collectives.samples, dram.outside.samples) == (touched, inside, outside)
    assert inside + outside < touched


def test_too_few_samples_are_null_and_never_zero(tmp_path: Path) -> None:
    builder = two_ranks()
    builder.gpu_metric(1, DRAM, sampled(0, LEVELS, every=2_000 * US))
    report = report_of(builder, tmp_path)
    dram = counter(report, 0, "DRAM read")
    assert dram.steps.mean is not None
    assert (dram.in_collectives, dram.in_transfer) == (SampleStats(0, None, None), SampleStats(0, None, None))
    assert dram.reason is not None
    assert "a sample stands for 2,000.0 µs and a collective lasts 1,500.0 µs" in dram.reason
    assert f"0 in collectives, 0 in their transfer, 0 outside, fewer than {MIN_SAMPLES}" in dram.reason
    status, reason = quality(report)["counters"]
    assert status == "estimated"
    assert dram.reason in reason
    assert "on the GPU of rank 1" in reason
    assert [c.rank for c in report.counters] == [0]


def test_requests_and_responses_are_one_counter(tmp_path: Path) -> None:
    builder = two_ranks()
    nothing = dict.fromkeys(LEVELS, 0)
    builder.gpu_metric(1, "SM Issue [Throughput %]", sampled(0, dict.fromkeys(LEVELS, 99)))
    builder.gpu_metric(1, REQUESTS, sampled(0, {**nothing, "wire": 30}))
    builder.gpu_metric(1, RESPONSES, sampled(0, {**nothing, "wire": 12}))
    # On the other GPU the same ids belong to other metrics.
    builder.gpu_metric(0, RESPONSES, sampled(1, nothing))
    builder.gpu_metric(0, REQUESTS, sampled(1, {**nothing, "wire": 7}))
    builder.gpu_metric(0, "NVLink RX Requests Protocol Data [Throughput %]", sampled(1, dict.fromkeys(LEVELS, 99)))
    report = report_of(builder, tmp_path)
    assert [(c.rank, c.metric) for c in report.counters] == [(0, "NVLink RX"), (1, "NVLink RX")]
    assert counter(report, 0, "NVLink RX").in_transfer == SampleStats(70, 42.0, 42)
    assert counter(report, 1, "NVLink RX").in_transfer == SampleStats(70, 7.0, 7)


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (["NVLink RX Requests User Data", "PCIe TX Throughput", "DRAM Read Throughput", "SM Active"], 4),
        (["SMs Active [Throughput %]", "SMs Active [Cycles]"], 1),
        (["Tensor Active [Throughput %]", "GPC Clock Frequency [MHz]"], 0),
    ],
)
def test_metrics_are_known_by_name(tmp_path: Path, names: list[str], known: int) -> None:
    builder = two_ranks()
    for name in names:
        builder.gpu_metric(0, name, [(0, 1)])
    found = known_metrics(nsysan.open_trace(builder.write(tmp_path / "t.sqlite")))
    assert len(found) == known
    assert set(found["counter"]) <= set(METRICS)
    assert "Cycles" not in found["unit"].to_list()


def test_a_link_that_is_not_there_has_no_figure(tmp_path: Path) -> None:
    builder = two_ranks()
    builder.gpu_metric(1, REQUESTS, sampled(0, dict.fromkeys(LEVELS, 100)))
    link = counter(report_of(builder, tmp_path), 0, "NVLink RX")
    assert [link.steps.mean, link.in_transfer.peak, link.outside.mean] == [None, None, None]
    assert link.steps.samples == 205
    step = link.per_step.row(3, named=True)
    assert (step["mean"], step["in_collectives_peak"], step["outside_mean"], step["samples"]) == (None, None, None, 30)
    assert link.reason == "reads 100 % throughout, as a link that is not there does"


@pytest.mark.parametrize("shift", [7_000 * US, -500 * US])
def test_samples_come_onto_the_clock_of_the_run(tmp_path: Path, shift: int) -> None:
    """Two sessions that started at different times: each report's samples move with its kernels."""
    paths = []
    for rank, moved in enumerate((0, shift)):
        builder = TraceBuilder(utc_epoch_ns=1_795_224_063_000_000_000 - moved)
        steps_of(builder.process(1000 + rank), rank, moved)
        builder.gpu_metric(0, DRAM, sampled(rank, LEVELS, shift=moved))
        paths.append(builder.write(tmp_path / f"rank_{rank}.sqlite"))
    report = build_report(nsysan.analyze([nsysan.open_trace(path) for path in paths]), "0")
    for rank in range(2):
        assert counter(report, rank, "DRAM read").in_transfer == SampleStats(70, 10.0, 10)
    assert counter(report, 0, "DRAM read").outside.samples == 100


def test_only_the_steps_and_the_known_counters_leave_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = two_ranks()
    builder.row("META_DATA_CAPTURE", name="GPU_METRICS_OPTIONS:SAMPLING_FREQUENCY", value="10000")
    before = [(-time * 10 * US, 77) for time in range(1_000, 101_000)]
    builder.gpu_metric(1, DRAM, [*before, *sampled(0, LEVELS)])
    builder.gpu_metric(1, "Tensor Active [Throughput %]", [*before, *sampled(0, LEVELS)])
    builder.gpu_metric(6, DRAM, [*before, *sampled(0, LEVELS)])
    run = analyzed_file(builder.write(tmp_path / "t.sqlite"))
    rows = []
    read = SqliteFile.read

    def counting(
        self: SqliteFile, table: str, columns: Mapping[str, pl.DataType], where: Sequence[Where] = ()
    ) -> pl.DataFrame:
        frame = read(self, table, columns, where)
        rows.append((table, len(frame)))
        return frame

    monkeypatch.setattr(SqliteFile, "read", counting)
    samples = load_samples(run)
    assert samples is not None
    # 100 us apart, over 23.5 ms of steps, and two sampling intervals before and after.
    assert [count for table, count in rows if table == "GPU_METRICS"] == [239]
    assert len(samples) == 235
    assert samples["value"].max() == 80


def test_a_trace_without_metrics_says_nothing_of_them(tmp_path: Path, capsys: Capsys) -> None:
    report = build_report(analyzed_file(paper_trace(tmp_path / "t.sqlite")), "0")
    assert report.counters == report.counter_lanes == []
    assert "counters" not in quality(report)
    assert "GPU counters" not in to_html(report)
    assert "counters" not in to_text(report)
    assert "GPU metrics" not in run_cli(capsys, "info", tmp_path / "t.sqlite").out


@pytest.mark.parametrize("drop", ["GPU_METRICS", "TARGET_INFO_GPU_METRICS"])
def test_half_of_the_tables_is_none(tmp_path: Path, drop: str) -> None:
    builder = two_ranks()
    builder.gpu_metric(1, DRAM, sampled(0, LEVELS))
    path = builder.write(tmp_path / "t.sqlite", drop_tables=[drop])
    assert build_report(analyzed_file(path), "0").counters == []


def test_metrics_of_other_gpus_only(tmp_path: Path) -> None:
    builder = two_ranks()
    builder.gpu_metric(5, DRAM, sampled(0, LEVELS))
    report = report_of(builder, tmp_path)
    assert report.counters == []
    assert quality(report)["counters"] == (
        "not_measurable",
        "no sample of a known counter on the GPUs of ranks 0 and 1 within the steps",
    )
    to_html(report)


def test_lanes_keep_their_peaks_when_thinned(tmp_path: Path) -> None:
    report = report_of(two_ranks(), tmp_path)
    timeline = report.timelines[0]
    every = 500
    times = list(range(timeline.origin, timeline.finish, every))
    samples = pl.DataFrame(
        {
            "rank": 0,
            "metric": "DRAM read",
            "unit": "%",
            "begin": times,
            "end": [time + every for time in times],
            "value": [99 if number == 2_345 else number % 3 for number in range(len(times))],
        }
    )
    lanes = counter_lanes(samples, timeline.origin, timeline.finish)
    assert len(times) > 2 * MAX_POINTS
    assert MAX_POINTS / 2 < len(lanes) <= MAX_POINTS
    assert lanes["value"].max() == 99
    assert lanes["time"].to_list() == sorted(lanes["time"])
    assert (lanes["time"][0], lanes["time"][-1]) == (0, timeline.finish - timeline.origin)


def test_a_lane_of_few_samples_is_whole(tmp_path: Path) -> None:
    builder = two_ranks()
    builder.gpu_metric(1, DRAM, sampled(0, LEVELS))
    report = report_of(builder, tmp_path)
    timeline: Timeline = report.timelines[0]
    lane = report.counter_lanes[0].filter(pl.col("rank") == 0)
    expected = [80] * 10 + [0] * 5 + [10] * 10
    assert lane["value"].to_list()[:25] == expected
    assert lane["time"].to_list()[:25] == [100 * US * number for number in range(25)]
    assert lane["time"][-1] == timeline.finish - timeline.origin


def test_page_and_documents_of_the_real_run(real_trace: Callable[[str], Path], tmp_path: Path, capsys: Capsys) -> None:
    trace = real_trace("tp2_metrics")
    page, document = tmp_path / "page.html", tmp_path / "page.json"
    result = run_cli(capsys, "report", trace, "-o", page, "--json", document, "-v")
    assert result.code == 0
    assert [line[:24] for line in result.out.splitlines() if line.startswith("counters")] == [
        "counters  NVLink RX 1.0 %"[:24]
    ]
    assert "counters (estimated): one sample each 1,000.0 µs" in result.out
    rows = json.loads(document.read_text())["counters"]
    assert [(row["rank"], row["metric"]) for row in rows] == [
        (rank, metric) for rank in range(2) for metric in METRICS if "protocol" not in metric
    ]
    dram = {row["rank"]: row for row in rows if row["metric"] == "DRAM read"}
    # One peak is 4.9 TB/s; four tenths of it, as 1.7 of 2.15 ms a step read weights.
    assert 38 < dram[0]["mean"] <= dram[0]["peak"] == 43
    assert dram[0]["in_collectives_mean"] is dram[0]["in_transfer_mean"] is dram[0]["outside_mean"] is None
    assert dram[0]["samples"] == 51
    # 2.15 ms a step and one sample each ms: two or three in a step, none within an all-reduce of 6 us.
    for row in rows:
        steps = row["per_step"]
        assert [step["step"] for step in steps] == list(range(24))
        assert {step["samples"] for step in steps} <= {2, 3}
        assert {step["in_collectives_mean"] for step in steps} == {step["outside_peak"] for step in steps} == {None}
        assert max(step["peak"] for step in steps if step["steady"]) == row["peak"]
    means = [step["mean"] for step in dram[0]["per_step"]]
    assert min(means) > 38
    assert max(means) < 43
    html = page.read_text()
    assert "<h2>GPU counters</h2>" in html
    drawn = Page(html).data["report"]["steps"]
    assert drawn
    assert all(step["counters"] for step in drawn if step["role"])
    info = run_cli(capsys, "info", trace).out
    assert "GPU metrics of GPU 0, 1, 2, 3 at 1,000 Hz: 14 metrics, of which the report reads NVLink RX," in info


def test_a_sample_holds_from_its_time_on(analyzed: Callable[[str], Run]) -> None:
    """On the real run "GR Active" is the kernels' share of the time after the sample's, not of the time before it."""
    run = analyzed("tp2_metrics")
    trace = run.traces[0]
    for rank in run.ranks:
        named = trace.gpu_metrics.filter((pl.col("gpu") == rank.gpu) & pl.col("metric").str.starts_with("GR Active"))
        work = run.work.filter(pl.col("rank") == rank.rank)
        begins, ends = work["begin"].to_numpy(), work["end"].to_numpy()
        samples = trace.gpu_metric_samples(named, int(begins.min()), int(ends.max()))
        times = samples["time"].to_numpy()
        busy = atoms(begins, ends, np.zeros(len(begins), dtype=np.int64), (times[:-1], times[1:]), 1)[:, 1]
        values = samples["value"].to_numpy()
        after, before = np.corrcoef(busy, values[:-1])[0, 1], np.corrcoef(busy, values[1:])[0, 1]
        assert after > 0.99
        assert before < 0.95


def test_the_fixture_names_nobody(real_trace: Callable[[str], Path]) -> None:
    content = real_trace("tp2_metrics").read_bytes()
    for secret in (b"/root", b"/tmp", b"/work", b"/home", b"ENVIRONMENT", b"HOSTNAME", b"WORKING_DIR", b"ARGUMENT"):
        assert secret not in content, secret
