"""Coverage: what of a capture a verdict is of, what the rest is, and when it is too little."""

from __future__ import annotations

from pathlib import Path

import pytest

import nsysan
from nsysan.diagnosis.evidence import Aspect, Status
from nsysan.metrics.coverage import Coverage, Rest
from nsysan.model.steps.populations import Choice
from nsysan.report.build import build_report
from nsysan.report.markdown import to_markdown
from nsysan.report.report import Report
from nsysan.report.terminal import to_text
from tests.documents import document_of
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, Process, TraceBuilder, decode_loop

#: From 1.0 ms on: 10 steps of 38 us, of which the first is start-up; the last has no gap of 2 us after it.
STEADY = 9 * 38_000 - 2_000
BEGIN, END = 1_000_000, 1_000_000 + 10 * 38_000 - 2_000


def report_of(builder: TraceBuilder, folder: Path) -> Report:
    run = nsysan.analyze(nsysan.open_trace(builder.write(folder / "trace.sqlite")))
    return build_report(run, "0", timelines=False)


def loop() -> tuple[TraceBuilder, list[Process]]:
    builder = TraceBuilder()
    return builder, decode_loop(builder, ranks=2, steps=10, ahead=False)


def coverage_of(report: Report) -> Coverage:
    found = report.replicas[report.replica].coverage
    assert found is not None
    return found


def status_of(report: Report) -> Status:
    return next(row.status for row in report.quality if row.id == Aspect.COVERAGE)


def test_most_of_a_capture(tmp_path: Path) -> None:
    report = report_of(loop()[0], tmp_path)
    assert coverage_of(report).rest is None
    assert coverage_of(report).span == pytest.approx(STEADY / (END - BEGIN))
    assert status_of(report) == Status.OK
    assert "part of the capture" not in report.diagnosis.verdict.reason
    assert "the steady steps cover 89.9 % of the time and 90.0 % of the GPUs' busy time" in to_markdown(report)


def test_copies_and_idle_time_before_the_steps(tmp_path: Path) -> None:
    builder, processes = loop()
    # The span is 1 ms: 300 us of copies, 50 of a kernel, the rest up to 622 us idle, 378 in steps.
    for process in processes:
        process.memcpy(END - 1_000_000, END - 700_000, kind=1)
        process.kernel("load_weights", END - 700_000, END - 650_000)
    report = report_of(builder, tmp_path)
    found = coverage_of(report)
    # Of the steps outside the steady ones there is the first.
    assert found.rest == {Rest.COPY: 0.3, Rest.IDLE: 0.272, Rest.COMPUTE: 0.05, Rest.LEFT_OUT: 0.038}
    assert found.span + sum(found.rest.values()) == pytest.approx(1)
    told = (
        "9 steady steps cover 34.0 % of the time and 45.6 % of the GPUs' busy time; the rest of the time: copies "
        "outside of steps 30.0 %, idle outside of steps 27.2 %, kernels outside of steps 5.0 %, steps of this kind "
        "that are not steady 3.8 %"
    )
    assert report.diagnosis.verdict.kind != "inconclusive"
    assert f"That is of a part of the capture: {told}" in report.diagnosis.verdict.reason
    assert status_of(report) == Status.ESTIMATED
    assert "copies outside of steps 30.0 %" in to_text(report)
    document = document_of(report)
    assert document["steps"]["coverage"] == document["replicas"][0]["coverage"]
    assert document["steps"]["coverage"]["rest"][0] == {"what": "copy", "share": 0.3}


def test_another_program_on_the_same_gpu(tmp_path: Path) -> None:
    builder, processes = loop()
    for process in processes:
        process.memcpy(END - 1_000_000, END - 999_000, kind=1)
    # For 200 us before the steps, on the GPU of rank 0 alone: a tenth of what two ranks have.
    other = builder.process(77, device=0, name="other")
    other.kernel("render", END - 900_000, END - 700_000)
    found = coverage_of(report_of(builder, tmp_path))
    assert found.rest is not None
    assert found.rest[Rest.OTHER_PROCESSES] == 0.1
    assert found.rest[Rest.IDLE] == pytest.approx(0.621 - 0.1)


def test_too_little_is_inconclusive(tmp_path: Path) -> None:
    builder, processes = loop()
    for process in processes:
        process.memcpy(END - 10_000_000, BEGIN, kind=1)
    report = report_of(builder, tmp_path)
    verdict = report.diagnosis.verdict
    assert verdict.kind == "inconclusive"
    assert (
        "too little of the capture is steady decode steps to judge it: 9 steady steps cover 3.4 % of the"
        in verdict.reason
    )
    assert "copies outside of steps 96.2 %" in verdict.reason
    assert status_of(report) == Status.NOT_MEASURABLE


def test_steps_that_only_a_period_tells_have_to_be_a_quarter(tmp_path: Path) -> None:
    def kind_of(copied: int) -> str:
        builder = TraceBuilder()
        for process in decode_loop(builder, ranks=2, steps=10, nvtx=False):
            process.memcpy(BEGIN - copied, BEGIN, kind=1)
        return report_of(builder, tmp_path).diagnosis.verdict.kind

    assert kind_of(900_000) == "compute"
    assert kind_of(1_200_000) == "inconclusive"


def test_few_of_one_kind(tmp_path: Path) -> None:
    builder = TraceBuilder()
    processes = [builder.process(100 + rank, device=rank) for rank in range(2)]
    at = 1_000_000
    for batch in (9, 8, 8, 8, 7, 6, 5, 4, 3):
        for process in processes:
            process.nvtx(f"execute_context_0(0)_generation_{batch}({batch})", at - 20_000, at - 5_000)
            process.kernel(COMPUTE_KERNEL, at, at + 80_000, launch=(at - 15_000, at - 14_000))
            process.kernel(ALLREDUCE_KERNEL, at + 80_000, at + 90_000, launch=(at - 13_000, at - 12_000))
        at += 100_000
    told = report_of(builder, tmp_path).diagnosis
    assert told.coverage is not None
    assert told.coverage.is_half
    # Answers are of all of them but the last, which ends with its own last work; what is asked for is told alone.
    assert told.summed[0].id == "decode_8"
    assert {one.id for one in told.summed} == {f"decode_{batch}" for batch in range(4, 10)}
    named = nsysan.Selection(choice=Choice("decode_8"))
    found = nsysan.analyze(tmp_path / "trace.sqlite", selection=named)
    reason = build_report(found, "0", timelines=False).diagnosis.verdict.reason
    assert "few of one kind: of 9 steps in 7 kinds, 3 steady steps of decode_8 cover 33.7 % of the time" in reason
    assert "the rest of the time: other decode steps 66.3 %" in reason
