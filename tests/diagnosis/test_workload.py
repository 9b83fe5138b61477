"""Work that does not decode: told as what it is, and given no advice for decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import nsysan
from nsysan.diagnosis.workload import Workload, workload_of
from nsysan.model.steps.step_kind import StepMethod
from nsysan.report.build import build_report
from tests.documents import document_of
from tests.tracebuilder import TraceBuilder

US = 1_000
STEPS = 12
#: What advice for decoding is about.
DECODING = ("vllm", "sglang", "tensorrt", "cuda graph", "tokeniz", "batch", "kv ")


def loop(path: Path, kernels: list[str], *, stall_us: int, inside: str | None, copy_us: int = 0) -> dict[str, Any]:
    """Steps of kernels of 20 us each and of a stall, in which the host's thread is in a range."""
    builder = TraceBuilder()
    process = builder.process(1)
    period = (20 * len(kernels) + stall_us + copy_us) * US
    for step in range(STEPS):
        at = 10_000_000 + period * step
        begin = at + stall_us * US
        if inside is not None:
            process.nvtx(inside, at + 1 * US, begin - 4 * US)
        if copy_us:
            process.memcpy(begin, begin + copy_us * US, kind=1, launch=(begin - 3 * US, begin - 2 * US))
        for place, name in enumerate(kernels):
            start, called = begin + (20 * place + copy_us) * US, begin - 3 * US + 200 * place
            process.kernel(name, start, start + 20 * US, launch=(called, called + 100))
    return document_of(build_report(nsysan.analyze(builder.write(path)), "0", timelines=False))


def advice(document: dict[str, Any]) -> str:
    return " ".join(finding["title"] + finding["fix"] for finding in document["findings"]).lower()


TRAINING = ["gemm_fwd", "layer_norm", "loss_kernel", "layer_norm_backward", "gemm_dgrad", "fused_adam"]


def test_a_training_loop_that_waits_for_its_data(tmp_path: Path) -> None:
    document = loop(tmp_path / "t.sqlite", TRAINING, stall_us=1_000, inside="Data loading")
    assert document["verdict"]["workload"] == "training"
    assert document["verdict"]["reason"].startswith("this is training, not decoding; ")
    assert [finding["id"] for finding in document["findings"]] == ["host_stall"]
    (stall,) = document["findings"]
    assert "'Data loading'" in stall["title"]
    assert stall["figures"]["stall_ns"] == stall["saves_ns"] == 1_000 * US
    assert not any(word in advice(document) for word in DECODING)


def test_what_no_range_tells_is_said_so(tmp_path: Path) -> None:
    document = loop(tmp_path / "t.sqlite", ["jacobi", "norm_of_residual"], stall_us=300, inside=None)
    assert document["verdict"]["workload"] == "other"
    (stall,) = document["findings"]
    assert stall["id"] == "host_stall"
    assert "no NVTX range" in stall["evidence"]


def test_copies_are_a_verdict_and_a_finding(tmp_path: Path) -> None:
    document = loop(tmp_path / "t.sqlite", ["saxpy"], stall_us=0, inside=None, copy_us=980)
    assert document["verdict"]["kind"] == "copy"
    (finding,) = document["findings"]
    assert (finding["id"], finding["figures"]["copy_ns"]) == ("copies", 980 * US)
    assert finding["title"].startswith("copies and memory sets take 98.0 % of the step")


@pytest.mark.parametrize(
    ("method", "source", "kernels", "expected"),
    [
        (StepMethod.NVTX, "NVTX ranges 'decode_#' (decode range)", ["anything"], Workload.DECODE),
        (StepMethod.NVTX, "NVTX ranges 'step #' (step range)", ["jacobi"], Workload.OTHER),
        (StepMethod.NVTX, "NVTX ranges 'step #' (step range)", TRAINING, Workload.TRAINING),
        (StepMethod.GRAPH, "CUDA graph replays", ["anything"], Workload.DECODE),
        (StepMethod.GRAPH, "CUDA graph replays", TRAINING, Workload.TRAINING),
        (StepMethod.GRAPH, "CUDA graph replays", ["multi_tensor_apply_kernel"], Workload.DECODE),
        (StepMethod.GRAPH, "CUDA graph replays", ["multi_tensor_apply_kernel"] * 8, Workload.TRAINING),
        (StepMethod.PERIOD, "", ["gemm", "rms_norm_kernel"], Workload.DECODE),
        (StepMethod.PERIOD, "", ["gemm"], Workload.OTHER),
        (StepMethod.PERIOD, "", ["rms_norm_kernel"], Workload.OTHER),
        (StepMethod.WINDOW, "", ["burst"], Workload.OTHER),
    ],
)
def test_what_tells_it(method: StepMethod, source: str, kernels: list[str], expected: Workload) -> None:
    names = pl.DataFrame({"name": kernels, "n": [10] * len(kernels), "collectives": [0] * len(kernels)})
    assert workload_of(method, source, names, windows=10) is expected


def test_products_and_communication_are_a_language_models() -> None:
    names = pl.DataFrame({"name": ["gemm", "all_reduce"], "n": [10, 10], "collectives": [0, 10]})
    assert workload_of(StepMethod.PERIOD, "", names, windows=10) is Workload.DECODE


def test_a_stall_in_every_second_step_is_told_by_its_mean(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process, at = builder.process(1), 10_000_000
    for step in range(STEPS):
        # Two loaders: every second batch is there at once, the others take 400 us.
        begin = at + (400 if step % 2 else 20) * US
        process.nvtx("Data loading", at + 1 * US, begin - 4 * US)
        process.memcpy(begin - 2 * US, begin - 1 * US, kind=1, launch=(begin - 3 * US, begin - 2_500))
        for place, name in enumerate(TRAINING):
            start, called = begin + 20 * place * US, begin - 2_400 + 200 * place
            process.kernel(name, start, start + 20 * US, launch=(called, called + 100))
        at = begin + 20 * len(TRAINING) * US
    document = document_of(build_report(nsysan.analyze(builder.write(tmp_path / "t.sqlite")), "0", timelines=False))
    (stall,) = document["findings"]
    assert stall["id"] == "host_stall"
    # 398 and 18 us before the copy, in turn, of the steps from the second to the one before the last.
    assert stall["figures"]["stall_ns"] == 208 * US


def test_steps_without_a_stall_count_in_its_mean(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process, at = builder.process(1), 10_000_000
    for step in range(STEPS):
        begin = at + (100 if step in (2, 3, 4, 6, 8, 10) else 0) * US
        for place, name in enumerate(TRAINING):
            start, called = begin + 20 * place * US, begin - 2_400 + 200 * place
            process.kernel(name, start, start + 20 * US, launch=(called, called + 100))
        at = begin + 20 * len(TRAINING) * US
    document = document_of(build_report(nsysan.analyze(builder.write(tmp_path / "t.sqlite")), "0", timelines=False))
    (stall,) = document["findings"]
    # 100 us at the end of six of the ten steps from the second to the one before the last.
    assert stall["figures"]["stall_ns"] == 60 * US
