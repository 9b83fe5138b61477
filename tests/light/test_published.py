"""Mixtures of experts as their makers publish them: the weights that a step reads are as many as they say."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import pytest

from nsysan.light.config_json import shape_of
from nsysan.light.model_shape import Experts
from nsysan.light.products import Product, Setting, work_of

_NAMES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size")
_ALL = 1 << 20
"""Sequences that touch every expert."""


def config(type_: str, *numbers: int, **more: object) -> dict[str, Any]:
    return {"model_type": type_, **dict(zip(_NAMES, numbers, strict=True)), **more}


def deepseek(type_: str, *numbers: int, queries: int | None, **more: object) -> dict[str, Any]:
    latent = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
    return config(type_, *numbers, moe_layer_freq=1, q_lora_rank=queries, **latent, **more)


MIXTRAL = config("mixtral", 4096, 32, 32, 8, 32_000, intermediate_size=14_336, num_local_experts=8)
QWEN = config(
    "qwen2_moe",
    *(2048, 24, 16, 16, 151_936),
    intermediate_size=5632,
    moe_intermediate_size=1408,
    shared_expert_intermediate_size=5632,
    num_experts=60,
    num_experts_per_tok=4,
)
QWEN3 = config(
    "qwen3_moe",
    *(4096, 94, 64, 4, 151_936),
    head_dim=128,
    intermediate_size=12_288,
    moe_intermediate_size=1536,
    num_experts=128,
    num_experts_per_tok=8,
)
LITE = deepseek(
    "deepseek_v2",
    *(2048, 27, 16, 16, 102_400),
    queries=None,
    intermediate_size=10_944,
    moe_intermediate_size=1408,
    n_routed_experts=64,
    n_shared_experts=2,
    num_experts_per_tok=6,
    first_k_dense_replace=1,
)
DEEPSEEK = deepseek(
    "deepseek_v3",
    *(7168, 61, 128, 128, 129_280),
    queries=1536,
    intermediate_size=18_432,
    moe_intermediate_size=2048,
    n_routed_experts=256,
    n_shared_experts=1,
    num_experts_per_tok=8,
)
OSS = config(
    "gpt_oss",
    *(2880, 36, 64, 8, 201_088),
    head_dim=64,
    intermediate_size=2880,
    num_local_experts=128,
    num_experts_per_tok=4,
)


@pytest.mark.parametrize(
    ("values", "total", "active", "last_digit", "embedding"),
    [
        # Billions of weights, in all and of one token, as their cards and papers have them; whether the latter count
        # the embedding, of which a step reads a row. (The 2.4 of DeepSeek-V2-Lite are 2.45 to the digit.)
        (MIXTRAL, 46.7, 12.9, 0.1, True),
        (QWEN, 14.3, 2.7, 0.1, True),
        (QWEN3, 235, 22, 1, True),
        (LITE, 15.7, None, 0.1, False),
        (DEEPSEEK, 671, 37, 1, False),
        (OSS, 116.83, 5.13, 0.01, False),
    ],
)
def test_weights_in_all_and_of_one_token(
    values: dict[str, Any], total: float, active: float | None, last_digit: float, *, embedding: bool
) -> None:
    shape = shape_of(values | {"torch_dtype": "bfloat16"}, "")
    table = shape.hidden * (shape.vocab or 0)

    def weights(sequences: int) -> int:
        read = sum(one.read for one in work_of(shape, Setting(sequences, 0, tensor=1)).values())
        return read // 2 - sequences * shape.hidden

    assert (weights(_ALL) + table) / 1e9 == pytest.approx(total, rel=0.01)
    own = (weights(1) + (table if embedding else 0)) / 1e9
    assert active is None or own == pytest.approx(active, abs=max(0.01 * active, last_digit / 2))


@pytest.mark.parametrize(("count", "per_token", "tokens"), [(4, 2, 1), (4, 2, 3), (5, 3, 2), (6, 1, 4)])
def test_experts_that_are_touched_are_the_mean_over_all_choices(count: int, per_token: int, tokens: int) -> None:
    choices = list(combinations(range(count), per_token))
    touched = [len(set().union(*one)) for one in product(choices, repeat=tokens)]
    assert Experts(count, per_token, 1, 0, 1).distinct(tokens) == pytest.approx(sum(touched) / len(touched))


def test_tensor_or_expert_parallel_ranks_read_as_much_of_the_experts() -> None:
    shape = shape_of(MIXTRAL, "")
    # 8 (1 - (3/4)^4) = 5.46875 of 8 experts: on four ranks a quarter of each, or 1.3671875 whole ones.
    inner, router = 3 * 4096 * 14_336, 4096 * 8
    for setting in (Setting(4, 0, tensor=4), Setting(4, 0, tensor=4, experts=4)):
        assert work_of(shape, setting)[Product.EXPERTS].read == 32 * 2 * (5.46875 * inner / 4 + router)
    # Four ranks that bring tokens of their own, and attention each for itself: 16 touch 7.92 experts, 1.98 a rank.
    own = work_of(shape, Setting(4, 0, tensor=1, experts=4))[Product.EXPERTS].read
    assert own == 32 * (int(8 * (1 - 0.75**16) / 4 * inner * 2) + 2 * router)
