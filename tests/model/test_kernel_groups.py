"""What compute kernels are for, by names written out by hand: data/kernel_groups.toml."""

from __future__ import annotations

import pytest

from nsysan.model.kernel_groups import KernelGroup, PatternRow, group_of, load_groups, telling_name
from nsysan.page.palette import GROUP_COLOURS
from tests.model.test_catalogue import short_name

ROWS = load_groups()
#: Names as nsys stores the short one, with what they are for.
SHORT = {
    "attention": [
        "flash_fwd_splitkv_kernel",
        "flash_fwd_splitkv_mla_combine_kernel",
        "BatchDecodeWithPagedKVCacheKernel",
        "BatchPrefillWithRaggedKVCacheKernel",
        "fmhaSm100fKernel_QkvE4m3OBfloat16HQk576HV512PagedKv",
        "fmha_v2_flash_attention_bf16_64_64_S_qkv_128_causal_tma_ws_sm90_kernel",
        "masked_multihead_attention_kernel",
        "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x128_4x1x1_cga1x1x1_kernel0_0",
        "paged_attention_v1_kernel",
        "merge_attn_states_kernel",
        "kernel_unified_attention_2d",
        "_fwd_grouped_kernel_stage1",
        "_fwd_kernel_stage2",
        "triton_tem_fused_flex_attention_1",
        "softmax_warp_forward",
        "_causal_conv1d_update_kernel",
    ],
    "gemm": [
        "nvjet_sm90_tst_64x8_64x16_2x1_v_bz_splitK_NNT",
        "nvjet_tst_192x208_64x4_1x1_h_bz_coopB_bias_TNT",
        "splitKreduce_kernel",
        "gemv2T_kernel_val",
        "gemvNSP_kernel",
        "gemmSN_TN_kernel",
        "ampere_sgemm_128x128_nn",
        "ampere_bf16_s16816gemm_bf16_64x64_ldg8_f2f_stages_64x5_tn",
        "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize64x128x64_warpgroupsize1x1x1_execute_segment_k_off_kernel",
        "cutlass_80_wmma_tensorop_bf16_s161616gemm_bf16_16x16_128x2_tn_align8",
        "sm90_fp8_gemm_1d2d_impl",
        "_w8a8_triton_block_scaled_mm",
        "gemm_half_q_half_gptq_4bit_kernel",
        "Marlin",
        "wvSplitK_hf_sml_",
        "triton_tem_fused_addmm_0",
        "Cijk_Alik_Bljk_BBS_BH_MT64x64x64",
    ],
    "norm": [
        "rms_norm_kernel",
        "fused_add_rms_norm_kernel",
        "RMSNormKernel",
        "FusedAddRMSNormKernel",
        "generalRmsNorm",
        "vectorized_layer_norm_kernel",
        "triton_red_fused_fused_add_rms_norm_0",
        "triton_red_fused__to_copy_embedding_rms_norm_0",
        "triton_per_fused_add_native_layer_norm_2",
        "rms_norm_dynamic_per_token_quant_kernel",
    ],
    "activation": [
        "act_and_mul_kernel",
        "silu_and_mul_kernel",
        "triton_poi_fused_mul_silu_slice_1",
        "_swiglu_forward_kernel",
    ],
    "rope_cache": [
        "rotary_embedding_kernel",
        "reshape_and_cache_flash_kernel",
        "store_kvcache",
        "fused_rope_kernel",
        "clamp_position_kernel",
        "concat_and_cache_mla_kernel",
        "_compute_slot_mapping_kernel",
        "set_mla_kv_buffer_kernel",
        "create_flashinfer_kv_indices_triton",
        "AppendPagedKVCacheKernel",
        "BatchQKApplyRotaryPosIdsCosSinCacheHeadParallelismKernel",
        "applyBiasRopeUpdateKVCacheV2",
    ],
    "sampling": [
        "TopKTopPSamplingFromProbKernel",
        "RadixTopKMaskLogitsKernel_MultiCTA",
        "rejection_greedy_sample_kernel",
        "_topk_topp_kernel",
        "apply_repetition_penalties_kernel",
        "triton_red_fused_argmax_1",
    ],
    "embedding": [
        "vectorized_gather_kernel",
        "indexSelectSmallIndex",
        "triton_poi_fused_add_all_reduce_bitwise_and_bitwise_not_bitwise_or_embedding_ge_lt_mul_sub_0",
    ],
    "moe": [
        "fused_moe_kernel",
        "fused_moe_kernel_gptq_awq",
        "moe_align_block_size_kernel",
        "count_and_sort_expert_tokens_kernel",
        "topkGating",
        "expandInputRowsKernel",
        "finalizeMoeRoutingKernel",
        "doActivationKernel",
        "group_idx_and_topk_idx_kernel",
        "_matmul_ogs_NNT_bf16xbf16xmxfp4_16x256x128x1",
    ],
    "quant": [
        "scaled_fp8_quant_kernel",
        "dynamic_per_token_scaled_fp8_quant_kernel_strided",
        "per_token_group_quant_8bit_kernel",
        "cvt_fp16_to_fp4",
        "kDequantizeBlockwise",
    ],
    "elementwise": [
        "triton_poi_fused_3",
        "triton_poi_fused_add_bitwise_and_bitwise_or_ge_lt_mul_sub_0",
        "cupy_multiply__float64_float64_float64",
        "lamport_initialize_kernel",
        "CatArrayBatchedCopy_vectorized",
    ],
    "other": ["saxpy", "build_GPU2", "probe_group_by_GPU2", "my_kernel_v9", "device_kernel", "kernel", "Kernel2", ""],
}
_AT = "void at::native::"
#: Demangled names as nsys and CUPTI write them, what they are for, and what they are called.
DEMANGLED = [
    (
        "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<"
        "flash::CollectiveMainloopFwdSm90<(int)2, cute::tuple<cute::C<(int)1>>>>>>(T1::Params)",
        "attention",
        "device_kernel:FlashAttnFwdSm90",
    ),
    (
        "void cutlass::device_kernel<flash::FlashAttnFwdCombine<cute::tuple<cute::C<(int)8>>, (int)5>>(T1::Params)",
        "attention",
        "device_kernel:FlashAttnFwdCombine",
    ),
    (
        "void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cute::tuple<int, int, int>>>(T1::Params)",
        "gemm",
        "device_kernel:GemmUniversal",
    ),
    (
        "void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cutlass::gemm::GroupProblemShape<int>>>(T1)",
        "moe",
        "device_kernel:GemmUniversal",
    ),
    (
        "void cutlass::Kernel2<cutlass_80_simt_sgemm_128x32_8x5_tn_align1>(T1::Params)",
        "gemm",
        "Kernel2:cutlass_80_simt_sgemm_128x32_8x5_tn_align1",
    ),
    ("void marlin_moe_wna16::Marlin<(long)1125899906909960, (int)256>(const int4 *)", "moe", "Marlin"),
    ("void internal::gemvx::kernel<int, int, __nv_bfloat16, float>(T13)", "gemm", None),
    (
        f"{_AT}vectorized_elementwise_kernel<(int)8, at::native::<unnamed>::silu_kernel(at::TensorIteratorBase &)::"
        "[lambda() (instance 1)]::operator ()() const>(int, T2, T3)",
        "activation",
        "vectorized_elementwise_kernel:silu_kernel",
    ),
    (
        f"{_AT}vectorized_elementwise_kernel<(int)4, at::native::rsqrt_kernel_cuda("
        "at::TensorIteratorBase &)::[lambda()]>(int, T2, T3)",
        "norm",
        "vectorized_elementwise_kernel:rsqrt_kernel_cuda",
    ),
    (
        f"{_AT}reduce_kernel<(int)512, (int)1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>, "
        "unsigned int>>(T3)",
        "sampling",
        "reduce_kernel:ArgMaxOps",
    ),
    (
        f"{_AT}elementwise_kernel<(int)128, (int)4, void at::native::gpu_kernel_impl_nocast<at::native::BinaryFunctor<"
        "float, float, float, at::native::binary_internal::MulFunctor<float>>>(at::TensorIteratorBase &)>(int, T3)",
        "elementwise",
        "elementwise_kernel:MulFunctor",
    ),
    (
        f"{_AT}elementwise_kernel<128, 4, at::native::gpu_kernel_impl_nocast<at::native::direct_copy_kernel_cuda("
        "at::TensorIteratorBase&)::{lambda()#3}>>(int, T3)",
        "elementwise",
        "elementwise_kernel:direct_copy_kernel_cuda",
    ),
    (
        f"{_AT}vectorized_elementwise_kernel<(int)4, at::native::neg_kernel_cuda("
        "at::TensorIteratorBase &)::[lambda()]>(int)",
        "rope_cache",
        "vectorized_elementwise_kernel:neg_kernel_cuda",
    ),
    (f"{_AT}sbtopk::gatherTopK<float, unsigned int, (int)2, (bool)0>(int)", "sampling", "gatherTopK"),
    (f"{_AT}<unnamed>::cunn_SoftMaxForward<(int)4, float, float>(T4 *, int)", "sampling", "cunn_SoftMaxForward"),
    ("void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16>(const T1 *)", "rope_cache", None),
    ("void somebody::device_kernel<(int)8>(int *)", "other", "device_kernel"),
]


@pytest.mark.parametrize(("group", "names"), SHORT.items())
def test_short_name(group: str, names: list[str]) -> None:
    assert {name: group_of(name, name).value for name in names} == dict.fromkeys(names, group)


@pytest.mark.parametrize(("demangled", "group", "called"), DEMANGLED)
def test_demangled_name(demangled: str, group: str, called: str | None) -> None:
    short = short_name(demangled)
    assert group_of(short, demangled) == group
    assert called is None or telling_name(short, demangled) == called


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.pattern.pattern[:40])
def test_row_is_complete_and_its_examples_match_it_first(row: PatternRow) -> None:
    assert row.on in {"short", "demangled"}
    assert row.group is not KernelGroup.OTHER
    assert row.library
    assert row.source
    assert row.examples
    for example in row.examples:
        short = short_name(example) if row.on == "demangled" else example
        first = next((other for other in ROWS if other.matches(short, example)), None)
        assert first is row, f"{example} is taken by {first.pattern.pattern if first else 'no row'}"


def test_every_group_has_a_row_but_other_and_a_colour_of_its_own() -> None:
    assert {row.group for row in ROWS} == set(KernelGroup) - {KernelGroup.OTHER}
    assert set(GROUP_COLOURS) == set(KernelGroup)
    assert len(set(GROUP_COLOURS.values())) == len(KernelGroup)


@pytest.mark.parametrize("text", ["a" * 9_000, "kernel<" * 900, "device_kernel<" + "b::" * 3_000, "at::native::" * 600])
def test_a_name_of_any_length_is_told_in_few_letters(text: str) -> None:
    for short in (text, "device_kernel", "elementwise_kernel"):
        assert isinstance(group_of(short, text), KernelGroup)
        assert len(telling_name(short, text)) <= 160
