"""Configurations of Hugging Face: what is read of them, and what is refused."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from nsysan import file_content
from nsysan.light.config_json import read_config, shape_of
from nsysan.light.model_shape import Experts, Latent
from nsysan.light.stated import stated_model

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
}
#: The widths of models as their makers publish them, as far as they matter here.
GEMMA = {
    "torch_dtype": "bfloat16",
    "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    },
}
DEEPSEEK = LLAMA | {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}


def test_llama() -> None:
    found = shape_of(LLAMA, "config.json")
    assert (found.hidden, found.layers, found.ffn, found.heads, found.kv_heads) == (4096, 32, 14336, 32, 8)
    assert (found.head_dim, found.vocab, found.dtype_bits, found.rate) == (128, 128256, 16, "bf16")
    assert (found.windows, found.latent, found.experts) == ({}, None, None)
    assert found.message_bytes(8) == 65_536


def test_gemma_leaves_out_what_is_usual() -> None:
    found = shape_of(GEMMA, "config.json")
    assert (found.heads, found.kv_heads, found.head_dim, found.vocab) == (8, 4, 256, 262_208)
    # Of 34 layers each sixth sees all.
    assert found.windows == {1024: 29}
    gemma2 = LLAMA | {"model_type": "gemma2", "num_hidden_layers": 26, "sliding_window": 4096}
    assert shape_of(gemma2, "").windows == {4096: 13}


def test_windows() -> None:
    assert shape_of(LLAMA | {"model_type": "mistral", "sliding_window": 4096}, "").windows == {4096: 32}
    qwen = LLAMA | {"model_type": "qwen2", "sliding_window": 131_072, "use_sliding_window": False}
    assert shape_of(qwen, "").windows == {}
    some = qwen | {"use_sliding_window": True, "max_window_layers": 28}
    assert shape_of(some, "").windows == {131_072: 4}
    listed = LLAMA | {"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 16}
    assert shape_of(listed, "").windows == {128: 16}


def test_deepseek() -> None:
    found = shape_of(DEEPSEEK, "")
    assert found.latent == Latent(1536, 512, 64, 128, 128)
    assert found.experts == Experts(256, 8, 2048, 2048, 58)
    assert (found.dense_layers, found.weight_bits, found.rate) == (3, Fraction(8), "fp8")
    assert shape_of(DEEPSEEK | {"q_lora_rank": None}, "").latent == Latent(0, 512, 64, 128, 128)


@pytest.mark.parametrize(
    ("more", "experts"),
    [
        ({"model_type": "mixtral", "num_local_experts": 8}, Experts(8, 2, 14336, 0, 32)),
        (
            {"model_type": "qwen3_moe", "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
            Experts(128, 8, 768, 0, 32),
        ),
        (
            {
                "model_type": "qwen2_moe",
                "num_experts": 64,
                "num_experts_per_tok": 8,
                "moe_intermediate_size": 2560,
                "shared_expert_intermediate_size": 20480,
                "mlp_only_layers": [0, 3],
                "decoder_sparse_step": 2,
            },
            Experts(64, 8, 2560, 20480, 15),
        ),
    ],
)
def test_mixtures(more: dict[str, Any], experts: Experts) -> None:
    assert shape_of(LLAMA | more, "").experts == experts


@pytest.mark.parametrize(
    ("quantised", "bits", "rate"),
    [
        ({"quant_method": "fp8"}, Fraction(8), "fp8"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, Fraction(33, 8), "bf16"),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, Fraction(8), "bf16"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, Fraction(9, 2), "fp4"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, Fraction(4), "bf16"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "group_0": {"weights": {"num_bits": 8, "type": "float"}, "input_activations": {"num_bits": 8}}
                },
            },
            Fraction(8),
            "fp8",
        ),
    ],
)
def test_width_of_weights(quantised: dict[str, Any], bits: Fraction, rate: str) -> None:
    found = shape_of(LLAMA | {"quantization_config": quantised}, "")
    assert (found.weight_bits, found.expert_bits, found.rate) == (bits, bits, rate)


def test_only_experts_are_quantised_in_gpt_oss() -> None:
    oss = LLAMA | {"num_local_experts": 32, "num_experts_per_tok": 4, "quantization_config": {"quant_method": "mxfp4"}}
    found = shape_of(oss, "")
    assert (found.weight_bits, found.expert_bits) == (Fraction(16), Fraction(17, 4))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"hidden_size": True}, "hidden_size is no number"),
        ({"hidden_size": -1}, "hidden_size is no number"),
        ({"num_hidden_layers": 10**30}, "num_hidden_layers is no number from 1 to 10,000"),
        ({"num_attention_heads": 4096.5}, "num_attention_heads is no number"),
        ({"hidden_size": 4097}, "head_dim is missing"),
        ({"torch_dtype": ["bf16"]}, "torch_dtype is none of"),
        ({"layer_types": ["linear_attention"] * 32}, "layer_types"),
        ({"num_local_experts": 4, "num_experts_per_tok": 5}, "more than there are experts"),
        # Llama 4: experts in every second layer, beside a shared one; read as Mixtral's they would be twice as many.
        ({"num_local_experts": 128, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2}, "interleave_moe"),
        ({"moe_num_experts": 64, "moe_k": 6}, "moe_num_experts: experts that lie in a way that is not known"),
        ({"quantization_config": {"quant_method": "<b>"}}, "a method that is not known"),
        ({"quantization_config": {"quant_method": "awq", "bits": "4"}}, "bits is no number"),
    ],
)
def test_what_cannot_be_is_refused_by_name(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shape_of(LLAMA | more, "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "an object"),
        (b"\xff", "is no JSON"),
        (b'{"a": "' + b"x" * (1 << 20) + b'"}', "is larger"),
        (b"9" * 10_000, "is no JSON"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path)


def test_a_configuration_may_come_through_a_pipe_that_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_content, "PIPE_SECONDS", 0.01)
    os.mkfifo(tmp_path / "pipe")
    # As Linux has it, nobody waits to open both ends.
    descriptor = os.open(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(ValueError, match="pipe: cannot be read: nothing came for 0 s"):
        read_config(tmp_path / "pipe")
    os.close(descriptor)
    written, read = os.pipe()[::-1]
    os.write(written, json.dumps(LLAMA).encode())
    os.close(written)
    assert read_config(Path(f"/dev/fd/{read}")).hidden == 4096
    os.close(read)


def test_a_file_or_its_folder_or_numbers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), "utf-8")
    by_file, by_folder = (stated_model(str(path), 8, 100) for path in (tmp_path / "config.json", tmp_path))
    # Where it lies is nobody's business.
    assert by_file == by_folder
    assert (by_file.source, by_file.batch, by_file.context) == ("config.json", 8, 100)
    by_name = stated_model("hidden=4096,layers=32,ffn=14336,heads=32,kv_heads=8,vocab=128256,dtype=bfloat16")
    assert by_name.shape is not None
    assert by_file.shape is not None
    assert by_name.shape.hidden == by_file.shape.hidden
    assert stated_model("layers=32,experts=8").lacking == (
        "hidden",
        "heads",
        "dtype",
        "experts_per_token",
        "expert_ffn",
    )
    for wrong, message in (
        (str(tmp_path / "none.json"), "no such file"),
        ("hidden=1" + "0" * 5_000, "at most"),
        ("hidden=4096,layers=1,ffn=1,heads=3,dtype=bf16", "does not divide"),
        ("hidden=4,layers=1,heads=1,dtype=bf16,experts=2,experts_per_token=3,expert_ffn=1", "more than experts"),
    ):
        with pytest.raises(ValueError, match=message):
            stated_model(wrong)
    with pytest.raises(ValueError, match="disagree"):
        stated_model("batch=4,layers=1", 8)
