"""Kernels of a step and its layers, on paper and of a real trace counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import nsysan
from nsysan.metrics.layers import MOST_KERNELS, Layers, find_layers
from nsysan.report.build import build_report
from nsysan.report.document import to_document
from nsysan.report.kernel_table import ComputeRow, KernelRow, find_compute
from nsysan.report.layer_table import LayerTable
from nsysan.run.run import Run
from nsysan.run.trace_set import LocalTraces
from tests.clitools import graph_level_trace
from tests.copies import changed
from tests.simulator import cases
from tests.simulator.export import export
from tests.tracebuilder import TraceBuilder, decode_loop

Analyze = Callable[[str], Run]


def headline(run: Run) -> ComputeRow:
    return find_compute(run)[0]


def named(compute: ComputeRow, name: str) -> KernelRow:
    return next(row for row in compute.kernels if row.name == name)


# ---- times


def test_kernels_of_a_step_on_paper(tmp_path: Path) -> None:
    """12 steps of 38 us, of which 20 compute on each of 2 ranks; more work in each step of rank 1, and in every third.

    A norm of 3 us from 1 us into the first compute kernel of each step of rank 1, on another stream, overlaps it whole;
    a copy kernel of 4 us from 1 us before the end of each step of rank 0 on reaches 3 us into the next.
    """
    builder = TraceBuilder()
    first, second = decode_loop(builder, ranks=2, steps=12, gap_ns=2_000)
    for step in range(12):
        begin = 1_000_000 + step * 38_000
        second.kernel("rms_norm_kernel", begin + 1_000, begin + 4_000, stream=9)
        first.kernel("_fill_kernel", begin + 37_000, begin + 41_000, stream=9)
        if step % 3 == 0:
            second.kernel("mystery", begin + 36_500, begin + 37_500, stream=9)
    compute = headline(nsysan.analyze(builder.write(tmp_path / "t.sqlite")))
    gemm = next(row for row in compute.kernels if row.calls == 2)
    assert dict(gemm.ns.ranks) == {0: 20_000, 1: 20_000}
    assert (gemm.ns.median, gemm.call) == (20_000, 10_000)
    assert gemm.share == pytest.approx(20 / 38, rel=1e-3)
    norm, fill, mystery = (named(compute, name) for name in ("rms_norm_kernel", "_fill_kernel", "mystery"))
    assert (dict(norm.ns.ranks), norm.ns.median, norm.calls, norm.group) == ({0: 0, 1: 3_000}, 1_500, 0.5, "norm")
    assert (dict(fill.ns.ranks), fill.group, fill.call) == ({0: 4_000, 1: 0}, "elementwise", 4_000)
    # What less than half of the steps run is nothing in the median, and is told all the same.
    assert (dict(mystery.ns.ranks), mystery.group, mystery.call) == ({0: 0, 1: 0}, "other", 1_000)
    # Of rank 0's filling 3 us are the next step's, in which they cover the first 3 of compute.
    assert dict(compute.compute.ranks) == {0: 21_000, 1: 20_000}
    assert dict(compute.summed.ranks) == {0: 24_000, 1: 23_000}
    assert dict(compute.overlap.ranks) == {0: 3_000, 1: 3_000}
    assert dict(compute.beyond.ranks) == {0: 0, 1: 0}
    assert norm.differs(compute.period)
    assert not gemm.differs(compute.period)


def test_replays_that_are_blocks_tell_no_kernels(tmp_path: Path) -> None:
    run = nsysan.analyze(graph_level_trace(tmp_path / "t.sqlite"))
    report = build_report(run, "0", timelines=False)
    assert find_compute(run) == []
    assert report.compute is None


def test_a_real_step_counted_by_hand(analyzed: Analyze) -> None:
    """The kernels of rank 0 that start between step 6's first GPU work and step 7's, counted with SQL alone."""
    report = build_report(analyzed("tp4_graph_node"), "0", timelines=False)
    compute = report.compute
    assert compute is not None
    assert {row.name[:45]: row.calls for row in compute.kernels} == {
        "nvjet_sm90_tst_64x8_64x16_2x1_v_bz_splitK_NNT": 32,
        "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_splitK_NNT": 16,
        "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_NNT": 16,
        "splitKreduce_kernel": 48,
        "CatArrayBatchedCopy": 32,
        "vectorized_layer_norm_kernel": 32,
        "cudnn_generated_fort_native_sdpa_sm80_flash_f": 16,
        "vectorized_elementwise_kernel:CUDAFunctor_add": 32,
        "vectorized_elementwise_kernel:silu_kernel": 16,
        "vectorized_elementwise_kernel:MulFunctor": 16,
    }
    assert compute.other == 0
    assert sum(row.ns.median for row in compute.groups) == pytest.approx(compute.compute.median, rel=1e-3)
    assert compute.compute.median == report.headline["compute_ns"]
    (layers,) = report.replicas[0].layers
    assert (layers.count, len(layers.kernels), layers.before, layers.after) == (16, 18, [], [])
    assert [kernel.name for kernel in layers.kernels].count("ncclDevKernel_AllReduce_Sum_bf16_RING_LL") == 2
    assert layers.kernels[0].group == "norm"


@pytest.mark.parametrize("name", ["tp4_fused", "tp4_overlap", "tp2_metrics", "rank_0 rank_1 rank_2 rank_3"])
def test_groups_sum_to_the_compute_line(analyzed: Analyze, name: str) -> None:
    # That they do in every step, but for overlap, is checked where they are made.
    compute = headline(analyzed(name))
    rest = compute.overlap.median + compute.beyond.median
    assert sum(row.ns.median for row in compute.groups) - rest == pytest.approx(compute.compute.median, rel=5e-3)
    assert compute.other < 0.02


def test_what_does_not_sum_is_a_bug(analyzed: Analyze) -> None:
    run = replace(analyzed("tp4_graph_node"))
    vars(run)["ledger"] = run.ledger.with_columns(pl.col("compute_ns") + 1)
    with pytest.raises(AssertionError, match="kernels do not sum to compute"):
        find_compute(run)


def test_only_small_tables_travel(analyzed: Analyze) -> None:
    run = analyzed("tp4_graph_node")
    assert isinstance(run.trace_set, LocalTraces)
    (row, *_) = find_compute(run)
    assert len(row.kernels) <= 256


# ---- layers


def codes(text: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64)


@pytest.mark.parametrize(
    ("sequence", "norms", "found"),
    [
        ("nqaodnqaodnqaod", "n", Layers(0, 5, 3)),
        ("exnqaodnqaodnqaodnsx", "n", Layers(2, 5, 3)),
        # The first layer has another norm, and so has what follows the last.
        ("efqaondnqaondnqaondnqaondh", "", Layers(1, 6, 4, first=True)),
        # Sampling behind the layers begins like one.
        ("1abc1abc1abc1axyz", "", Layers(0, 4, 3)),
        ("abcabcabcabX", "", Layers(0, 3, 4, last=True)),
        # No block of less than three kernels, or three times, or half of the step.
        ("ababababababab", "", None),
        ("aaaaaaa", "", None),
        ("abcdabcd", "", None),
        ("abcabcabc" + "".join(chr(200 + n) for n in range(40)), "", None),
        ("", "", None),
    ],
)
def test_layers_on_paper(sequence: str, norms: str, found: Layers | None) -> None:
    assert find_layers(codes(sequence), [code in norms for code in sequence]) == found


def test_layers_cover_what_they_say() -> None:
    layers = Layers(7, 14, 16, first=True, last=True)
    assert (layers.model, layers.end, layers.alike) == (21, 231, (21, 217))


def test_a_sequence_of_any_length_is_bounded() -> None:
    rng = np.random.default_rng(0)
    assert find_layers(np.zeros(MOST_KERNELS + 1, dtype=np.int64)) is None
    assert find_layers(rng.integers(0, 2, 4_000)) is None
    assert find_layers(np.zeros(3_000, dtype=np.int64)) is None


def test_a_layer_table_tells_where_the_first_differs(tmp_path: Path) -> None:
    """4 layers of compute and all-reduce would be too short a block: each has a norm before."""
    builder = TraceBuilder()
    for process in decode_loop(builder, ranks=2, steps=10, layers=4):
        for step in range(10):
            for layer in range(4):
                begin = 1_000_000 + step * (4 * 18_000 + 2_000) + layer * 18_000
                name = "rms_norm_kernel" if layer else "first_rms_norm_kernel"
                process.kernel(name, begin + 9_000, begin + 10_000, stream=8, launch=None)
    report = build_report(nsysan.analyze(builder.write(tmp_path / "t.sqlite")), "0", timelines=False)
    (table,) = report.replicas[0].layers
    assert isinstance(table, LayerTable)
    assert (table.count, [kernel.ns for kernel in table.kernels]) == (4, [10_000, 1_000, 8_000])
    assert [kernel.first for kernel in table.kernels] == [None, ("first_rms_norm_kernel", 1_000), None]
    assert [kernel.group for kernel in table.kernels][1:] == ["norm", None]


def test_a_capture_without_steps_has_no_layers_of_one(tmp_path: Path) -> None:
    trace = changed(
        export(cases.sync_in_the_step(), tmp_path / "t.sqlite"),
        "drop table CUPTI_ACTIVITY_KIND_RUNTIME",
        "update CUPTI_ACTIVITY_KIND_KERNEL set contextId = -contextId where rowid % 7 = 3",
    )
    report = build_report(nsysan.analyze(trace), "0", timelines=False)
    assert report.steps.method == "window"
    assert to_document(report)["layers"] == []
