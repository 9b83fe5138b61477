"""The kernel catalogue: what each known name is, and that ordinary kernels are left alone."""

from __future__ import annotations

import re

import pytest

from nsysan.model.classes import COMMUNICATION, Catalogue, CatalogueRow, WorkClass, load_catalogue

KINDS = {
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "all_to_all",
    "broadcast",
    "reduce",
    "send_recv",
    "barrier",
    "unknown",
}

OLD_NCCL_ARGUMENTS = "(ncclDevComm *, unsigned long, ncclWork *)"
NCCL_ARGUMENTS = "(ncclDevKernelArgsStorage<(unsigned long)4096>)"

# Written out by hand rather than read from the table, so that a wrong row cannot confirm itself.
# Short name, class, kind.
NCCL: list[tuple[str, str, str | None]] = [
    # up to 2.7
    ("ncclAllReduceRingLLKernel_sum_f32", "collective", "all_reduce"),
    ("ncclAllReduceTreeLL128Kernel_sum_f16", "collective", "all_reduce"),
    ("ncclAllGatherRingLLKernel_copy_i8", "collective", "all_gather"),
    ("ncclReduceScatterRingSimpleKernel_sum_f16", "collective", "reduce_scatter"),
    ("ncclReduceRingLLKernel_sum_f32", "collective", "reduce"),
    ("ncclBroadcastRingLLKernel_copy_i8", "collective", "broadcast"),
    ("ncclSendRecvKernel_copy_i8", "p2p", "send_recv"),
    # 2.8 to 2.18
    ("ncclKernel_AllReduce_RING_LL_Sum_float", "collective", "all_reduce"),
    ("ncclKernel_AllReduce_TREE_LL_Sum___nv_bfloat16", "collective", "all_reduce"),
    ("ncclKernel_AllReduce_RING_LL_Sum_float" + OLD_NCCL_ARGUMENTS, "collective", "all_reduce"),
    ("ncclKernel_AllGather_RING_LL_Sum_int8_t", "collective", "all_gather"),
    ("ncclKernel_ReduceScatter_RING_LL_Sum_half", "collective", "reduce_scatter"),
    ("ncclKernel_Reduce_RING_LL_Sum_float", "collective", "reduce"),
    ("ncclKernel_Broadcast_RING_LL_Sum_int8_t", "collective", "broadcast"),
    ("ncclKernel_SendRecv_RING_SIMPLE_Sum_int8_t", "p2p", "send_recv"),
    ("ncclKernel_SendRecv_RING_SIMPLE_Sum_int8_t" + OLD_NCCL_ARGUMENTS, "p2p", "send_recv"),
    # from 2.19
    ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", "collective", "all_reduce"),
    ("ncclDevKernel_AllReduce_Sum_f8e4m3_TREE_LL", "collective", "all_reduce"),
    ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL" + NCCL_ARGUMENTS, "collective", "all_reduce"),
    ("ncclDevKernel_AllGather_RING_LL", "collective", "all_gather"),
    ("ncclDevKernel_AllGatherV_RING_LL", "collective", "all_gather"),
    ("ncclDevKernel_ReduceScatter_Sum_u32_RING_LL", "collective", "reduce_scatter"),
    ("ncclDevKernel_Reduce_Sum_f32_RING_LL", "collective", "reduce"),
    ("ncclDevKernel_Broadcast_RING_LL", "collective", "broadcast"),
    ("ncclDevKernel_SendRecv", "p2p", "send_recv"),
    ("ncclDevKernel_SendRecv" + NCCL_ARGUMENTS, "p2p", "send_recv"),
    ("ncclDevKernel_Generic", "collective", "unknown"),
    ("ncclDevKernel_Generic" + NCCL_ARGUMENTS, "collective", "unknown"),
    ("ncclDevKernel_Generic_4", "collective", "unknown"),
    # symmetric kernels: 2.27, and from 2.28
    ("ncclSymDevKernel_AllReduce_AGxLL_R_sum_bf16", "collective", "all_reduce"),
    ("ncclSymDevKernel_AllReduce_AGxLLMC_R_sum_f16", "collective", "all_reduce"),
    ("ncclSymDevKernel_AllGather_STMC", "collective", "all_gather"),
    ("ncclSymDevKernel_ReduceScatter_LDMC_sum_f32", "collective", "reduce_scatter"),
    ("ncclSymkDevKernel_AllReduce_RSxLD_AGxST_sum_bf16", "collective", "all_reduce"),
    ("ncclSymkDevKernel_AllReduce_RSxLDMC_AGxSTMC_sum_bf16", "collective", "all_reduce"),
    ("ncclSymkDevKernel_AllReduce_RSxTmaLD_AGxTmaST_sum_bf16", "collective", "all_reduce"),
    ("ncclSymkDevKernel_AllGather_LLMC", "collective", "all_gather"),
    ("ncclSymkDevKernel_AllGather_GinHier_MCRing", "collective", "all_gather"),
    ("ncclSymkDevKernel_AllGather_RailRing_LsaSTMC", "collective", "all_gather"),
    ("ncclSymkDevKernel_ReduceScatter_LL_sum_f32", "collective", "reduce_scatter"),
    ("ncclSymkDevKernel_ReduceScatter_RailA2A_LsaLDMC_avg_bf16", "collective", "reduce_scatter"),
]

OTHERS: list[tuple[str, str, str | None]] = [
    # vLLM and its copies
    ("cross_device_reduce_1stage", "collective", "all_reduce"),
    ("cross_device_reduce_2stage", "collective", "all_reduce"),
    ("cross_device_reduce_half_butterfly", "collective", "all_reduce"),
    ("allreduce_prototype_twoshot", "collective", "all_reduce"),
    # TorchInductor
    ("triton_poi_fused_add_all_reduce_embedding_masked_fill_0", "compute", None),
    ("triton_red_fused__to_copy_add_all_reduce_mean_mul_pow_rsqrt_1", "compute", None),
    ("triton_per_fused_all_gather_into_tensor_native_layer_norm_2", "compute", None),
    # PyTorch symmetric memory
    ("one_shot_all_reduce_kernel", "collective", "all_reduce"),
    ("two_shot_all_reduce_kernel", "collective", "all_reduce"),
    ("two_shot_all_reduce_kernel_inplace", "collective", "all_reduce"),
    ("multimem_all_reduce_kernel", "collective", "all_reduce"),
    ("multimem_one_shot_all_reduce_kernel", "collective", "all_reduce"),
    ("multimem_one_shot_reduce_kernel", "collective", "reduce"),
    ("multimem_all_gather_kernel", "collective", "all_gather"),
    # FlashInfer, TensorRT-LLM
    ("allreduce_fusion_kernel_oneshot_lamport", "fused", "all_reduce"),
    ("allreduce_fusion_kernel_twoshot_sync", "fused", "all_reduce"),
    ("oneShotAllReduceKernel", "collective", "all_reduce"),
    ("twoShotAllReduceKernel", "collective", "all_reduce"),
    ("one_shot_all_reduce_norm_kernel", "fused", "all_reduce"),
    ("one_shot_prenorm_all_reduce_norm_kernel", "fused", "all_reduce"),
    ("lamport_style_one_shot_all_reduce_norm_kernel", "fused", "all_reduce"),
    ("lamport_initialize_kernel", "compute", None),
    ("rms_norm_kernel", "compute", None),
    ("rms_pre_post_norm_kernel", "compute", None),
    ("lowPrecisionPreprocessKernel", "compute", None),
    ("lowPrecisionTwoShotAllReduceKernel", "collective", "all_reduce"),
    ("moereduce_allreduce_fusion_kernel_oneshot_lamport", "fused", "all_reduce"),
    ("moefinalize_allreduce_fusion_kernel_oneshot_lamport", "fused", "all_reduce"),
    ("minimax_reduce_rms_kernel_lamport", "fused", "all_reduce"),
    ("minimax_reduce_qk_rms_kernel_lamport_float4", "fused", "all_reduce"),
    ("oneshotAllreduceFusionKernel", "fused", "all_reduce"),
    ("twoshotAllreduceKernel", "fused", "all_reduce"),
    ("twoshot_allreduce_kernel", "fused", "all_reduce"),
    ("rmsNormLamport", "fused", "all_reduce"),
    ("allreduce_kernel", "collective", "all_reduce"),
    ("allgather_kernel", "collective", "all_gather"),
    ("reducescatter_kernel", "collective", "reduce_scatter"),
    ("fused_allreduce_allgather_kernel", "collective", "all_gather"),
    ("fused_reducescatter_allreduce_kernel", "collective", "all_reduce"),
    ("push_oneshot_param_kernel", "collective", "all_reduce"),
    ("ipc_rsag_push_param_kernel", "collective", "all_reduce"),
    ("ipc_rsag_ring_push_param_kernel", "collective", "all_reduce"),
    ("ipc_topo_rsag8_push_param_kernel", "collective", "all_reduce"),
    ("ipc_topo_rsag8_block_param_kernel", "collective", "all_reduce"),
    ("ipc_tp2_remote_push_kernel", "collective", "all_reduce"),
    ("moeAllToAllKernel", "collective", "all_to_all"),
    ("moeA2ADispatchKernel", "collective", "all_to_all"),
    ("moeA2ACombineKernel", "collective", "all_to_all"),
    ("moeA2APrepareDispatchKernel", "compute", None),
    ("moeA2APrepareCombineKernel", "compute", None),
    ("ulysses_a2a_kernel", "collective", "all_to_all"),
    # SGLang
    ("all_reduce_one_shot_push_kernel", "collective", "all_reduce"),
    ("all_reduce_one_shot_kernel", "collective", "all_reduce"),
    ("all_reduce_two_shot_kernel", "collective", "all_reduce"),
    ("all_reduce_one_shot_pull_kernel", "collective", "all_reduce"),
    ("all_reduce_2shot_pull_kernel", "collective", "all_reduce"),
    ("allreduce_1shotLL_1node", "collective", "all_reduce"),
    ("allreduce_1shotLL_2node", "collective", "all_reduce"),
    ("allreduce_LL_1node", "collective", "all_reduce"),
    # mscclpp
    ("allreduceAllPairs", "collective", "all_reduce"),
    ("allreduceFullmesh", "collective", "all_reduce"),
    ("allreduceNvls", "collective", "all_reduce"),
    ("allreduceNvlsPacket", "collective", "all_reduce"),
    ("allreducePacket", "collective", "all_reduce"),
    ("allreduceRsAg", "collective", "all_reduce"),
    ("allreduceRsAgPipeline", "collective", "all_reduce"),
    ("allgatherFullmesh", "collective", "all_gather"),
    ("allgatherFullmesh2", "collective", "all_gather"),
    ("executionKernel", "collective", "unknown"),
    # NVSHMEM
    ("nvshmemi_reduce_kernel", "collective", "all_reduce"),
    ("nvshmemi_team_mapping_kernel", "collective", "unknown"),
    ("nvshmemi_proxy_rma_entrypoint", "p2p", "send_recv"),
    ("nvshmemi_init_array_kernel", "compute", None),
    ("barrier_on_stream_kernel", "collective", "barrier"),
    ("sync_on_stream_kernel_threadgroup", "collective", "barrier"),
    ("rdxn_on_stream_kernel", "collective", "all_reduce"),
    ("fcollect_on_stream_kernel", "collective", "all_gather"),
    ("reducescatter_on_stream_kernel", "collective", "reduce_scatter"),
    ("alltoall_on_stream_kernel", "collective", "all_to_all"),
    ("broadcast_on_stream_kernel", "collective", "broadcast"),
    # TransformerEngine, TensorRT-LLM userbuffers
    ("userbuffers_fp16_sum_inplace_gpu_mc", "collective", "all_reduce"),
    ("userbuffers_fp16_sum_inplace_gpu_rr", "collective", "all_reduce"),
    ("userbuffers_fp16_sum_inplace_gpu_rr_blocked2", "collective", "all_reduce"),
    ("userbuffers_fp16_sum_inplace_gpu_rw", "collective", "all_reduce"),
    ("userbuffers_fp16_sum_inplace_gpu_mc_rs", "collective", "reduce_scatter"),
    ("userbuffers_fp16_sum_inplace_gpu_rr_rs_oop", "collective", "reduce_scatter"),
    ("userbuffers_fp16_sum_inplace_gpu_mc_ag", "collective", "all_gather"),
    ("userbuffers_fp16_sum_inplace_gpu_rw_ag", "collective", "all_gather"),
    ("userbuffers_fp16_sum_inplace_gpu_mc_rmsnorm", "fused", "all_reduce"),
    ("userbuffers_fp16_sum_inplace_gpu_mc_rmsnorm_quant_fp4", "fused", "all_reduce"),
    ("userbuffers_fp16_sum_inplace_gpu_mc_res_allgather", "fused", "all_gather"),
    ("kuserbuffers_pushsend", "p2p", "send_recv"),
    ("kuserbuffers_pushrecv", "p2p", "send_recv"),
    ("kuserbuffers_pullsend", "p2p", "send_recv"),
    ("kuserbuffers_pullrecv", "p2p", "send_recv"),
    # Flux
    ("ag_a2a_mode_kernel", "collective", "all_gather"),
    ("CudaIpcBarrierAllKernel", "collective", "barrier"),
    ("a2a_single_kernel", "collective", "all_to_all"),
    ("a2a_single_kernel_v2", "collective", "all_to_all"),
    ("bsr2dense_reduce_kernel", "compute", None),
    ("ep_topk_gather_rs_kernel", "fused", "reduce_scatter"),
    ("ep_topk_gather_rs_kernel_v2", "fused", "reduce_scatter"),
    ("topk_gather_rs_v2_kernel", "fused", "reduce_scatter"),
    # Triton-distributed
    ("allreduce_one_shot_push_intra_node_kernel", "collective", "all_reduce"),
    ("allreduce_one_shot_tma_push_intra_node_kernel", "collective", "all_reduce"),
    ("allreduce_one_shot_multimem_intra_node_kernel", "collective", "all_reduce"),
    ("allreduce_two_shot_push_intra_node_kernel", "collective", "all_reduce"),
    ("allreduce_two_shot_multimem_intra_node_kernel", "collective", "all_reduce"),
    ("allreduce_two_shot_multimem_st_intra_node_kernel", "collective", "all_reduce"),
    ("allreduce_double_tree_intra_node_kernel", "collective", "all_reduce"),
    ("kernel_fused_gemm_allreduce", "fused", "all_reduce"),
    ("consumer_all_reduce_kernel", "collective", "all_reduce"),
    ("kernel_gemm_rs_producer_persistent", "fused", "reduce_scatter"),
    ("kernel_gemm_rs_producer_fuse_scatter", "fused", "reduce_scatter"),
    ("kernel_consumer_gemm_persistent", "fused", "all_gather"),
    ("reduce_scatter_ring_push_1d_intra_node_kernel", "collective", "reduce_scatter"),
    ("all_gather_push_2d_kernel", "collective", "all_gather"),
    ("all_to_all_kernel", "collective", "all_to_all"),
    ("kernel_dispatch_token", "collective", "all_to_all"),
    ("kernel_dispatch_token_intra_node", "collective", "all_to_all"),
    ("kernel_combine_token", "collective", "all_to_all"),
    ("kernel_combine_token_intra_node", "collective", "all_to_all"),
    ("mega_kernel_dispatch_token_moe_grouped_gemm", "fused", "all_to_all"),
]

# Short names that say nothing: the demangled name decides.
DEMANGLED: list[tuple[str, str, str | None]] = [
    (
        "void <unnamed>::all_reduce_kernel<<unnamed>::AllReducePushImpl<__nv_bfloat16, (unsigned int)2, (bool)1>, "
        "(int)1>(<unnamed>::AllReduceParams)",
        "collective",
        "all_reduce",
    ),
    (
        "void (anonymous namespace)::all_reduce_kernel<(anonymous namespace)::AllReducePullImpl<__nv_bfloat16, 4u, "
        "(PullMode)1, true>, 2>(AllReduceParams)",
        "collective",
        "all_reduce",
    ),
    ("void deep_ep::intranode::dispatch<(int)8, (int)768>(int4 *, float *)", "collective", "all_to_all"),
    ("void deep_ep::intranode::combine<__nv_bfloat16, (int)8>(__nv_bfloat16 *)", "collective", "all_to_all"),
    ("void deep_ep::intranode::notify_dispatch<(int)8>(const int *, int *)", "collective", "all_to_all"),
    ("void deep_ep::intranode::cached_notify_dispatch<(int)8>(const int *)", "collective", "all_to_all"),
    ("void deep_ep::intranode::cached_notify_combine<(int)8>(void **, int *)", "collective", "all_to_all"),
    ("void deep_ep::intranode::barrier<(int)8>(int **, int)", "collective", "barrier"),
    ("void deep_ep::internode::dispatch<(bool)0, (int)4>(int4 *, float *)", "collective", "all_to_all"),
    ("void deep_ep::internode::combine<(bool)0, (int)4>(int4 *, float *)", "collective", "all_to_all"),
    ("void deep_ep::internode::notify_dispatch<(bool)0, (int)4>(const int *)", "collective", "all_to_all"),
    ("void deep_ep::internode::cached_notify<(bool)0, (int)128>(int, int)", "collective", "all_to_all"),
    ("void deep_ep::internode_ll::dispatch<(bool)1, (bool)0, (int)7168>(void *)", "collective", "all_to_all"),
    ("void deep_ep::internode_ll::combine<(bool)0, (int)7168, (int)9>(void *)", "collective", "all_to_all"),
    ("void deep_ep::internode_ll::clean_low_latency_buffer<(int)256>(int *)", "collective", "barrier"),
    ("void deep_ep::legacy::internode_ll::dispatch<(bool)1, (int)7168>(void *)", "collective", "all_to_all"),
    ("void deep_ep::legacy::intranode::barrier<(int)8>(int **, int)", "collective", "barrier"),
    ("void deep_ep::elastic::dispatch_impl<(bool)0, (bool)1>(void *)", "collective", "all_to_all"),
    ("void deep_ep::elastic::combine_impl<(bool)0, (bool)1>(void *)", "collective", "all_to_all"),
    ("void deep_ep::elastic::hybrid_dispatch_impl<(bool)0>(void *)", "collective", "all_to_all"),
    ("void deep_ep::elastic::hybrid_combine_impl<(bool)0>(void *)", "collective", "all_to_all"),
    ("void deep_ep::elastic::barrier_impl<(int)8>(void *)", "collective", "barrier"),
    ("void deep_ep::elastic::pp_send_impl<(int)8>(void *)", "p2p", "send_recv"),
    ("void deep_ep::elastic::pp_recv_impl<(int)8>(void *)", "p2p", "send_recv"),
    ("void deep_ep::elastic::dispatch_copy_epilogue_impl<(bool)0>(void *)", "compute", None),
    ("void deep_ep::elastic::combine_reduce_epilogue_impl<(bool)0>(void *)", "compute", None),
    (
        "void <unnamed>::two_shot_all_reduce_kernel<c10::BFloat16, (int)16, (int)4, (bool)1, (bool)0>(T1 **)",
        "collective",
        "reduce_scatter",
    ),
    (
        "void <unnamed>::two_shot_all_reduce_kernel<c10::BFloat16, (int)16, (int)4, (bool)0, (bool)0>(T1 **)",
        "collective",
        "all_reduce",
    ),
    (
        "void <unnamed>::two_shot_all_reduce_kernel<float, (int)16, (int)8, (bool)0, (bool)1>(T1 **)",
        "collective",
        "all_reduce",
    ),
    (
        "void (anonymous namespace)::two_shot_all_reduce_kernel<float, 16, 8, true, false>(float**)",
        "collective",
        "reduce_scatter",
    ),
    ("c10d::symmetric_memory::barrier_kernel(unsigned int **, int)", "collective", "barrier"),
    ("c10d::symmetric_memory::put_signal_kernel(unsigned int **, int)", "p2p", "send_recv"),
    ("c10d::symmetric_memory::wait_signal_kernel(unsigned int **, int)", "p2p", "send_recv"),
    (
        "void tensorrt_llm::kernels::mnnvl::RMSNorm<(int)7168, (int)128, (int)1, float, float>(int, float *)",
        "fused",
        "all_reduce",
    ),
    (
        "void cutlass::device_kernel<sm90_gemm_allreduce_tma_warpspecialized>(T1::Params)",
        "fused",
        "all_reduce",
    ),
    (
        "void cutlass::device_kernel<cutlass::gemm::kernel::GemmARUniversal<cute::tuple<int>>>(T1::Params)",
        "fused",
        "all_reduce",
    ),
    (
        "void cutlass::device_kernel<cutlass::gemm::kernel::Sm90AGGemmUniversal<cute::tuple<int>>>(T1)",
        "fused",
        "all_gather",
    ),
    (
        "void cutlass::device_kernel<cutlass::gemm::kernel::Sm90RSGemmUniversal<cute::tuple<int>>>(T1)",
        "fused",
        "reduce_scatter",
    ),
    (
        "void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<"
        "(flashinfer::trtllm_allreduce_fusion::AllReduceFusionPattern)1, __nv_bfloat16, (int)4>(int)",
        "fused",
        "all_reduce",
    ),
    (
        "void flashinfer::trtllm_allreduce::reduce_fusion::lamport_initialize_kernel<__half>(T1 *)",
        "compute",
        None,
    ),
]

ORDINARY = [
    "CatArrayBatchedCopy",
    "CatArrayBatchedCopy_vectorized",
    "DeviceReduceKernel",
    "DeviceReduceSingleTileKernel",
    "DeviceScanKernel",
    "ampere_sgemm_128x128_nn",
    "ampere_sgemm_128x64_tn",
    "build_GPU2",
    "convLSTM_pointwise_kernel",
    "copyBlocks",
    "cudnn_generated_fort_native_sdpa_sm80_flash_fprop_wmma_f16_knob_35_16x128x128_1x4x1_cga1x1x1_kernel0_0",
    "cupy_copy__float64_float64",
    "cupy_fill",
    "cupy_multiply__float64_float64_float64",
    "cupy_true_divide__float64_float64_float64",
    "device_kernel",
    "distribution_elementwise_grid_stride_kernel",
    "elementwise_kernel",
    "elementwise_kernel_with_index",
    "flash_fwd_kernel",
    "flash_fwd_splitkv_combine_kernel",
    "flash_fwd_splitkv_kernel",
    "fused_add_rms_norm_kernel",
    "gather_kernel",
    "gemv2T_kernel_val",
    "indexSelectSmallIndex",
    "index_elementwise_kernel",
    "indexing_backward_kernel",
    "multi_tensor_apply_kernel",
    "nvfuser_none_f0_c0_r0_g0",
    "nvjet_hsh_256x128_64x4_1x2_h_bz_coopA_NTT",
    "nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_NNT",
    "nvjet_sm90_tst_64x8_64x16_2x1_v_bz_splitK_NNT",
    "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_NNT",
    "nvjet_tst_192x192_64x4_2x1_v_bz_coopB_bias_TNN",
    "parallel_reduce_kernel",
    "probe_group_by_GPU2",
    "reduce_kernel",
    "reshape_and_cache_kernel",
    "saxpy",
    "scatter_gather_elementwise_kernel",
    "scatter_reduce_kernel",
    "small_gather_kernel",
    "softmax_warp_forward",
    "splitKreduce_kernel",
    "triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_0",
    "unrolled_elementwise_kernel",
    "vectorized_elementwise_kernel",
    "vectorized_gather_kernel",
    "vectorized_layer_norm_kernel",
]

LOOKALIKES = [
    "my_custom_allreduce_v9_kernel",
    "MyAllReduceKernel",
    "ring_all_gather_v2",
    "fastReduceScatter",
    "all2all_exchange",
    "AllToAllV",
    "moe_a2a_push",
    "pipeline_sendrecv_kernel",
    "nvshmem_put_tile_kernel",
    "multimem_store_kernel",
    "cross_device_sum_3stage",
    "userbuffers_next_kernel",
    "mscclpp_new_kernel",
    "nvls_sum_kernel",
    "lamport_push_kernel",
]

ROWS = load_catalogue().rows


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def short_name(demangled: str) -> str:
    """The name nsys stores as the short one: no return type, namespaces, template or call arguments."""
    name = demangled.removeprefix("void ").replace("<unnamed>::", "").replace("(anonymous namespace)::", "")
    return re.split(r"[<(]", name)[0].rsplit("::", 1)[-1]


def example_names(row: CatalogueRow, example: str) -> tuple[str, str]:
    return (short_name(example) if row.on == "demangled" else example), example


@pytest.mark.parametrize(("name", "op_class", "kind"), NCCL + OTHERS)
def test_short_name(catalogue: Catalogue, name: str, op_class: str, kind: str | None) -> None:
    found = catalogue.classify(name, name)
    assert (found.op_class, found.kind, found.known, found.lookalike) == (op_class, kind, True, False)


@pytest.mark.parametrize(("demangled", "op_class", "kind"), DEMANGLED)
def test_demangled_name(catalogue: Catalogue, demangled: str, op_class: str, kind: str | None) -> None:
    found = catalogue.classify(short_name(demangled), demangled)
    assert (found.op_class, found.kind, found.known, found.lookalike) == (op_class, kind, True, False)


@pytest.mark.parametrize("name", [name for name, _, _ in NCCL if name != "ncclDevKernel_Generic_4"])
def test_nccl_library(catalogue: Catalogue, name: str) -> None:
    assert catalogue.classify(name, name).library == "NCCL"


@pytest.mark.parametrize("short", ["dispatch", "combine", "barrier", "barrier_kernel", "RMSNorm"])
def test_bare_common_words_are_not_claimed(catalogue: Catalogue, short: str) -> None:
    found = catalogue.classify(short, f"void somebody::{short}<(int)8>(int *)")
    assert (found.op_class, found.known, found.lookalike) == ("compute", False, False)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.pattern.pattern)
def test_examples_match_their_row_first(row: CatalogueRow) -> None:
    for example in row.examples:
        names = example_names(row, example)
        first = next((other for other in ROWS if other.matches(*names)), None)
        assert first is row, f"{example} is taken by {first.pattern.pattern if first else 'no row'}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.pattern.pattern)
def test_row_is_complete(row: CatalogueRow) -> None:
    assert row.on in {"short", "demangled"}
    # Copies and replays are no kernels.
    assert row.op_class not in (WorkClass.COPY, WorkClass.OPAQUE)
    assert row.kind in KINDS if row.op_class in COMMUNICATION else row.kind is None
    assert (row.kind == "send_recv") == (row.op_class == WorkClass.P2P)
    assert row.library
    assert row.source
    assert row.examples


def test_patterns_are_unique() -> None:
    patterns = [row.pattern.pattern for row in ROWS]
    assert len(set(patterns)) == len(patterns)


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_compute(catalogue: Catalogue, name: str) -> None:
    found = catalogue.classify(name, f"void at::native::<unnamed>::{name}<float, (int)4>(int, T2, T3)")
    assert (found.op_class, found.kind, found.known, found.lookalike) == ("compute", None, False, False)


def test_plain_cutlass_gemm_is_compute(catalogue: Catalogue) -> None:
    demangled = (
        "void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cute::tuple<int, int, int>, "
        "cutlass::gemm::collective::CollectiveMma<cutlass::gemm::MainloopSm90TmaGmmaWarpSpecialized<4>>, "
        "cutlass::epilogue::collective::CollectiveEpilogue<cutlass::epilogue::Sm90TmaWarpSpecialized<(int)4>>>>"
        "(T1::Params)"
    )
    found = catalogue.classify("device_kernel", demangled)
    assert (found.op_class, found.known, found.lookalike) == ("compute", False, False)


@pytest.mark.parametrize("name", LOOKALIKES)
def test_unknown_lookalike_is_compute_and_marked(catalogue: Catalogue, name: str) -> None:
    found = catalogue.classify(name, name)
    assert (found.op_class, found.kind, found.library) == ("compute", None, None)
    assert (found.known, found.lookalike) == (False, True)
