"""Sizes of all-reduces by the grids of kernels: by hand, and on traces whose workload is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from nsysan.diagnosis.evidence import Aspect, Status
from nsysan.light.grids import NO_GRIDS, Launched, StepGrids, told_by
from nsysan.light.stated import message_sizes, stated_model
from nsysan.light.told_by_grids import told_by_grids
from nsysan.model.steps.populations import Population
from nsysan.model.steps.step_kind import StepKind
from nsysan.report.build import build_report
from nsysan.run.run import Run

SMS = 132


def kernel(name: str, *blocks: int, demangled: str = "", threads: int = 512) -> Launched:
    x, y, z = (*blocks, 1, 1, 1)[:3]
    reduces = "reduce_1stage" in name or "all_reduce" in name
    return Launched(name, demangled or name, reduces, (x, y, z), threads)


def own(blocks: int) -> Launched:
    return kernel("cross_device_reduce_1stage", blocks, demangled="vllm::cross_device_reduce_1stage<__nv_bfloat16, 2>")


NORM = kernel("fused_add_rms_norm_kernel", 7)
#: 64 tiles of 64 columns, and 7 rows in one of 8: 4,096 wide.
PRODUCT = kernel("nvjet_sm90_tst_64x8_64x16_4x1_v_bz_TNT", 4, 16)
SPLIT = kernel("splitKreduce_kernel", 128, demangled="void cublasLt::splitKreduce_kernel<(int)32, (int)16, int>")
#: 7 x 4,096 x 2 bytes: 7 blocks of 512 x 16.
STEP = [PRODUCT, own(7), NORM, SPLIT, own(7), NORM]


def test_a_step_by_hand() -> None:
    found = told_by(STEP, SMS)
    assert found == StepGrids(7, 4_096, 16)
    assert found.message_bytes == 57_344
    # A tile of 8 rows and another product in between: 9 rows take two tiles, so half as many are across.
    nine = [PRODUCT, own(5), kernel("fused_add_rms_norm_kernel", 9)]
    assert told_by(nine, SMS).message_bytes == 9 * 2_048 * 2


def test_products_of_ampere_tell_where_one_tile_has_all_tokens() -> None:
    """Of a router of 60 experts on H200 one tile of 64 in 32 parts, or two of 32 in 16; of 7 tokens here."""

    def step(name: str, *blocks: int, tokens: int = 7) -> list[Launched]:
        product = kernel("Kernel2", *blocks, demangled=f"void cutlass::Kernel2<cutlass_80_{name}_align2>(T1::Params)")
        return [product, kernel("all_reduce_bf16", 1), kernel("fused_add_rms_norm_kernel", tokens)]

    for name, *blocks in (
        ("tensorop_bf16_s16816gemm_bf16_64x64_64x4_tn", 1, 1, 32),
        ("wmma_tensorop_bf16_s161616gemm_bf16_32x32_128x1_tn", 2, 1, 16),
        ("tensorop_s16816gemm_bf16_64x128_64x3_tn", 1, 1, 1),
    ):
        assert told_by(step(str(name), *map(int, blocks)), SMS).width == 64
    assert told_by(step("tensorop_bf16_s16816gemm_bf16_128x64_32x6_tn", 32), SMS).width == 4_096
    # More tokens than a tile has: the order of blocks is not told by the name.
    assert told_by(step("tensorop_bf16_s16816gemm_bf16_128x64_32x6_tn", 64, tokens=65), SMS).width is None
    assert told_by(step("simt_sgemm_128x32_8x5_tn", 1), SMS).width is None


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ([], NO_GRIDS),
        ([PRODUCT, own(7)], "no norm tells"),
        # Norms that disagree, one for each SM, and one of Triton's that nothing agrees with.
        ([PRODUCT, own(7), NORM, kernel("rms_norm_kernel", 8)], "no norm tells"),
        ([PRODUCT, own(7), kernel("RMSNormKernel", SMS)], "no norm tells"),
        ([PRODUCT, own(7), kernel("triton_red_fused_rms_norm_0", 7)], "no norm tells"),
        # A grid as large as the GPU, a family whose name has no tile, products that disagree.
        ([kernel("nvjet_sm90_tst_64x8_64x16_2x1_v_bz_TNT", 2, 66), own(7), NORM], "no product"),
        ([kernel("ampere_bf16_s16816gemm_bf16_64x64_ldg8_tn", 64), own(7), NORM], "no product"),
        ([*STEP, kernel("nvjet_sm90_tst_64x8_64x16_4x1_v_bz_TNT", 4, 8), own(7)], "no product"),
        ([PRODUCT, own(6), NORM], "of another size"),
        ([PRODUCT, kernel("all_reduce_kernel", SMS), NORM], "tells no dtype"),
    ],
)
def test_what_does_not_tell(step: list[Launched], why: str) -> None:
    found = told_by(step, SMS)
    assert found.message_bytes is None
    assert why in found.why


def test_triton_is_believed_where_the_cache_agrees() -> None:
    step = [PRODUCT, own(8), kernel("triton_red_fused_rms_norm_0", 8), kernel("reshape_and_cache_flash_kernel", 8)]
    assert told_by(step, SMS).message_bytes == 65_536


@pytest.mark.parametrize("name", ["tp4_slow", "tp4_symm"])
def test_real_steps_whose_payloads_tell_nothing(analyzed: Callable[[str], Run], name: str) -> None:
    """Both reduce a hidden state of 4,096 numbers of 16 bits."""
    run = analyzed(name)
    assert run.collectives["message_bytes"].null_count() == len(run.collectives)
    assert set(told_by_grids(run).sizes.values()) == {8_192}


def test_a_report_marks_them(analyzed: Callable[[str], Run]) -> None:
    report = build_report(analyzed("tp4_symm"), "0", timelines=False)
    (family,) = (one for one in report.collectives if one.kind == "all_reduce")
    assert (family.message_bytes, family.bytes_source, family.size_words) == (8_192, "grids", "8 KiB (estimated)")
    assert family.busbw is not None
    (row,) = (row for row in report.quality if row.id == Aspect.MESSAGE_BYTES)
    assert row.status == Status.ESTIMATED
    assert "norms over 1 rows, and products 4096 wide of 16 bits" in row.reason


def test_payloads_need_no_grids(analyzed: Callable[[str], Run]) -> None:
    assert told_by_grids(analyzed("tp4_graph_node")).by_step == {}


def test_a_graph_pads_the_batch() -> None:
    model = stated_model("hidden=4096,layers=16,ffn=14336,heads=32,dtype=bf16")
    six = Population("decode_6", StepKind.DECODE, 6, (0, 1))
    assert message_sizes([six], model, None, {0: 8, 1: 132}) == {0: 65_536, 1: 49_152}
    assert message_sizes([replace(six, batch=8)], model, None, {0: 8}) == {0: 65_536, 1: 65_536}
