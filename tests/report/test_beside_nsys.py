"""What NVIDIA's own reports say of a trace whose figures are known on paper."""

from __future__ import annotations

import re
from pathlib import Path

import nsysan
from nsysan.page.nsys_section import beside
from nsysan.report.beside_nsys import BesideNsys, beside_nsys
from nsysan.report.build import build_report
from tests.clitools import paper_trace
from tests.tracebuilder import ALLREDUCE_KERNEL, TraceBuilder


def test_kernels_are_resident_while_they_wait(tmp_path: Path) -> None:
    """4 ranks x 4 steps x 2 layers; rank 1 computes 3 us longer, so that the others' all-reduces take 11 us, its 8."""
    run = nsysan.analyze(nsysan.open_trace(paper_trace(tmp_path / "t.sqlite")))
    report = build_report(run, "1")
    theirs = report.nsys
    assert theirs is not None
    nccl = 4 * 2 * (3 * 11_000 + 8_000)
    compute = 4 * 2 * (3 * 10_000 + 13_000)
    assert (theirs.kernels, theirs.nccl) == (nccl + compute, nccl)
    assert (theirs.resident, theirs.beside) == (nccl, 0)
    assert theirs.steps == 16
    told = re.sub(r"<[^>]+>", " ", beside(report))
    assert "NCCL 48.8 % of the kernels&#x27; time" in told
    # 16 of 44 us of the step, and 6 for rank 1.
    assert "wire 36.4 %, wait 13.6 % of the step" in told
    assert "44.0 µs a step" in told
    assert build_report(run, "1", timelines=False).nsys is None


def test_what_runs_beside_and_what_the_host_takes(tmp_path: Path) -> None:
    builder = TraceBuilder()
    process = builder.process(1)
    for step in range(4):
        begin = 1_000_000 + 50_000 * step
        process.nvtx(f"decode_step_{step}", begin - 12_000, begin + 30_000)
        process.kernel("gemm", begin, begin + 20_000)
        # 5 of its 10 us beside the gemm; a copy is no kernel.
        process.kernel(ALLREDUCE_KERNEL, begin + 15_000, begin + 25_000, stream=9)
        process.kernel("cross_device_reduce_1stage<4>", begin + 30_000, begin + 37_000)
        process.nccl("ncclAllReduce", begin - 5_000, begin - 2_000)
    trace = nsysan.open_trace(builder.write(tmp_path / "t.sqlite"))
    found = beside_nsys(nsysan.analyze(trace, "decode_step"))
    assert found == BesideNsys(
        kernels=4 * 37_000,
        nccl=4 * 10_000,
        resident=4 * 10_000,
        beside=4 * 5_000,
        calls=4,
        host=4 * 3_000,
        steps=4,
        projected=4 * 37_000,
    )
