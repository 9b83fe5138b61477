"""Data-parallel ranks that decode more sequences than the others: what spreading them evenly saves."""

from __future__ import annotations

from pathlib import Path

import pytest

import nsysan
from nsysan.report.build import build_report
from nsysan.report.report import Report
from tests.documents import document_of
from tests.tracebuilder import ALLREDUCE_KERNEL, COMPUTE_KERNEL, TraceBuilder

STEPS = 30
SENDRECV = "ncclDevKernel_SendRecv"
#: A sequence takes so long on each rank, and all of a step is computed at once.
EACH = 5_000


def written(path: Path, sequences: tuple[int, int], told: tuple[int, int] | None = None, slow: float = 1.0) -> Path:
    """TP=2, DP=2, experts over all: each pair computes what it decodes, and all exchange. told: of the ranges; slow:
    times as long does each kernel of the first pair take.
    """
    builder = TraceBuilder()
    takes = [round(EACH * sequences[0] * slow), EACH * sequences[1]]
    period = max(takes) + 40_000
    for rank in range(4):
        process, pair = builder.process(100 + rank, device=rank), rank // 2
        batch = (told or sequences)[pair]
        for step in range(STEPS):
            launch = 1_000_000 + period * step
            at = launch + 8_000
            process.nvtx(f"execute_context_0(0)_generation_{batch}({batch})", launch - 2_000, launch + 5_000)
            done, last = at + takes[pair], at + max(takes) + 10_000
            process.kernel(COMPUTE_KERNEL, at, done, launch=launch)
            process.nccl("ncclAllReduce", launch + 990, launch + 1_300, bytes=64, comm=5 + pair)
            process.kernel(ALLREDUCE_KERNEL, done, done + 10_000, launch=(launch + 1_000, launch + 1_200))
            process.nccl("ncclAlltoAll", launch + 1_990, launch + 2_300, bytes=64, comm=9)
            process.kernel(SENDRECV, done + 10_000, last + 10_000, launch=(launch + 2_000, launch + 2_200))
            process.api("cudaStreamSynchronize_v3020", launch + 4_000, last + 13_000)
    return builder.write(path)


def served(folder: Path, sequences: tuple[int, int], told: tuple[int, int] | None = None, slow: float = 1.0) -> Report:
    path = written(folder / "t.sqlite", sequences, told, slow)
    report = build_report(nsysan.analyze(path), "0", timelines=False)
    document_of(report)
    return report


def test_sequences_spread_evenly_save_what_the_others_then_do_not_take_more(tmp_path: Path) -> None:
    report = served(tmp_path, (16, 4))
    finding = next(one for one in report.findings if one.id == "straggler")
    assert finding.ranks == [0, 1]
    # Of ten each, a step is six sequences shorter.
    assert finding.saving == pytest.approx(6 * EACH, rel=0.01)
    assert "saves about 30.0 µs" in report.next_step.saves
    assert "60.0 µs if these decoded as few as the others" in finding.saves
    assert finding.fix.endswith("16 a step here, 4 on the others")
    late = report.diagnosis.late[0]
    assert late.saves == pytest.approx(12 * EACH, rel=0.01)


@pytest.mark.parametrize("told", [(8, 8), (4, 16)])
def test_ranks_that_decode_no_more_are_no_matter_of_load(tmp_path: Path, told: tuple[int, int]) -> None:
    """They are slower: evened out, nothing is saved."""
    report = served(tmp_path, (8, 8), told, slow=2)
    finding = next(one for one in report.findings if one.id == "straggler")
    assert finding.saving == pytest.approx(8 * EACH, rel=0.01)
    assert "sequences" not in finding.figures
