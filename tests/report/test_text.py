"""Numbers in sentences: one thing, several, and more than are worth listing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nsysan
from nsysan.diagnosis.evidence import Status
from nsysan.report.build import build_report
from nsysan.report.terminal import to_text
from nsysan.text import counted, numbered
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder

#: "1 calls", "ranks 1 are", but not "of 1 ranks" of a larger number, "0.1 calls" or "1 of 4 calls".
_ONE_OF_MANY = re.compile(r"(?<![\d.,])1 (?!us\b|gives\b)[a-z]+s\b|\b(?:ranks|steps|GPUs) \d+ (?:are|is)\b|\bstep \d+,")


@pytest.mark.parametrize(("number", "text"), [(0, "0 ranks"), (1, "1 rank"), (2, "2 ranks")])
def test_counted(number: int, text: str) -> None:
    assert counted(number, "rank") == text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([3], "step 3"),
        ([3, 5], "steps 3 and 5"),
        ([1, 2, 3], "steps 1 to 3"),
        ([1, 2, 3, 4], "steps 1 to 4"),
    ],
)
def test_numbered(numbers: list[int], text: str) -> None:
    assert numbered("step", numbers, 3) == text


@pytest.mark.parametrize("shown", [1, 3])
@pytest.mark.parametrize("steps", [1, 4])
def test_a_summary_of_one_of_everything_reads_well(tmp_path: Path, shown: int, steps: int) -> None:
    """One steady step, one call, one rank missing (or one of four there), one unknown kernel, one early kernel."""
    builder = TraceBuilder()
    for rank in range(shown):
        process = builder.process(100 + rank, device=rank)
        process.comm_init(comm=9, nranks=4, rank=rank, device=rank)
        for step in range(steps):
            at = 1_000_000 + step * 100_000
            process.nvtx(f"decode_step_{step}", at - 12_000, at - 1_000)
            process.kernel(COMPUTE_KERNEL, at, at + 10_000)
            process.kernel(ALLREDUCE_KERNEL, at + 10_000, at + 20_000, launch=at - 5_000)
            if rank == 0:
                process.kernel("my_all_reduce_kernel", at + 19_500, at + 30_000, launch=at - 4_000)
    report = build_report(nsysan.analyze(nsysan.open_trace(builder.write(tmp_path / "t.sqlite"))), "0", timelines=False)
    assert ("figures are of the only steady one" in to_text(report)) == (steps == 1)
    told = [*(row.reason for row in report.quality), *to_text(report).splitlines()]
    assert any(row.status != Status.OK for row in report.quality)
    assert [line for line in told if _ONE_OF_MANY.search(line)] == []
