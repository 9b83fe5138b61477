"""What a rank reads and computes of a step, by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from nsysan.light.gpu_speed import GpuSpeed
from nsysan.light.model_shape import Experts, Latent, ModelShape
from nsysan.light.named import parsed, shape_of
from nsysan.light.products import Product, Setting, floor_of, work_of

#: 4 TB/s and 1e15 operations a second.
SPEED = GpuSpeed(4 * 10**12, "paper", 10**15, "paper")


def shape(text: str = "hidden=4096,layers=16,ffn=14336,heads=32,kv_heads=8,vocab=128256,dtype=bf16") -> ModelShape:
    found = shape_of(parsed(text), "paper")
    assert found is not None
    return found


def read(made: ModelShape, setting: Setting) -> dict[str, int]:
    return {product.value: work.read for product, work in work_of(made, setting).items()}


def test_floor_of_one_shape_to_the_ns() -> None:
    # TP=4: 8 heads and 2 of keys and 2 of values of 128, 3,584 of the inner width, 32,064 rows of the vocabulary.
    work = work_of(shape(), Setting(sequences=1, context=1024, tensor=4))
    assert {product.value: one.read for product, one in work.items()} == {
        "qkv": 16 * 12 * 128 * 4096 * 2,
        "attention": 16 * 1024 * 2 * 2 * 128 * 2,
        "o": 16 * 4096 * 8 * 128 * 2,
        "gate_up": 16 * 2 * 3584 * 4096 * 2,
        "down": 16 * 3584 * 4096 * 2,
        "lm_head": 32_064 * 4096 * 2,
        "rest": 33 * 4096 * 2 + 4096 // 4 * 2,
    }
    floors = {product.value: floor_of(one, SPEED) for product, one in work.items()}
    # 201,326,592 bytes over 4,000 a ns and so on, rounded down.
    assert floors == {
        "qkv": 50_331,
        "attention": 4_194,
        "o": 33_554,
        "gate_up": 234_881,
        "down": 117_440,
        "lm_head": 65_667,
        "rest": 68,
    }
    assert work[Product.GATE_UP].operations == 2 * 16 * 2 * 3584 * 4096


def test_a_large_batch_computes_for_longer_than_it_reads() -> None:
    work = work_of(shape(), Setting(sequences=512, context=1, tensor=4))[Product.DOWN]
    assert (work.read, work.operations) == (469_762_048, 2 * 16 * 3584 * 4096 * 512)
    assert floor_of(work, SPEED) == work.operations * 10**9 // 10**15 == 240_518
    assert floor_of(work, replace(SPEED, rate=None)) == 117_440


@pytest.mark.parametrize(("tensor", "heads", "cached"), [(1, 32, 8), (8, 4, 1), (16, 2, 1), (32, 1, 1)])
def test_heads_of_keys_are_copied_where_there_are_fewer_than_ranks(tensor: int, heads: int, cached: int) -> None:
    found = read(shape(), Setting(sequences=2, context=10, tensor=tensor))
    assert found["qkv"] == 16 * (heads + 2 * cached) * 128 * 4096 * 2
    assert found["attention"] == 2 * 16 * 10 * 2 * cached * 128 * 2


def test_windows_bound_what_is_read_of_the_cache() -> None:
    made = replace(shape(), windows={100: 12})
    assert read(made, Setting(1, 1000, 1))["attention"] == (12 * 100 + 4 * 1000) * 2 * 8 * 128 * 2
    assert read(made, Setting(1, 50, 1))["attention"] == 16 * 50 * 2 * 8 * 128 * 2


def test_width_of_weights_is_not_that_of_the_last_product() -> None:
    made = replace(shape(), weight_bits=Fraction(17, 4), cache_bits=8)
    found = read(made, Setting(1, 64, 4))
    assert found["down"] == 16 * int(3584 * 4096 * 17 / 32)
    assert found["lm_head"] == 32_064 * 4096 * 2
    assert found["attention"] == 16 * 64 * 2 * 2 * 128


def test_experts_that_a_batch_touches() -> None:
    experts = Experts(count=64, per_token=8, ffn=768, shared=512, layers=12)
    made = replace(shape("hidden=2048,layers=12,ffn=1,heads=32,kv_heads=4,dtype=bf16"), ffn=0, experts=experts)
    assert [round(experts.distinct(tokens), 6) for tokens in (1, 2)] == [8, 15]
    found = work_of(made, Setting(1, 0, tensor=2))
    assert Product.DOWN not in found
    one, shared, router = 3 * 2048 * 384, 3 * 2048 * 256, 2048 * 64
    assert found[Product.EXPERTS].read == 12 * 2 * (8 * one + shared + router)
    assert found[Product.EXPERTS].operations == 12 * 2 * (8 * one + shared + router)
    # Whole experts on 4 ranks, which are two groups with tokens of their own: two tokens touch 15, 3.75 a rank.
    spread = work_of(made, Setting(1, 0, tensor=2, experts=4))[Product.EXPERTS]
    assert spread.read == 12 * 2 * (15 * 3 * 2048 * 768 // 4 + shared + router)


def test_latent_attention_reads_one_cache_on_every_rank() -> None:
    latent = Latent(q=1536, kv=512, rope=64, nope=128, v=128)
    made = replace(shape("hidden=7168,layers=61,ffn=18432,heads=128,head_dim=192,dtype=bf16"), latent=latent)
    found = read(made, Setting(sequences=4, context=1000, tensor=8))
    assert found["attention"] == 61 * 4 * 1000 * 576 * 2
    assert found["qkv"] == 61 * 2 * (1536 * (7168 + 16 * 192) + 7168 * 576 + 16 * 128 * 512)
    assert found["o"] == 61 * 2 * (7168 * 16 * 128 + 16 * 128 * 512)


def test_a_pipeline_is_the_mean_of_its_stages() -> None:
    whole, half = (work_of(shape(), Setting(1, 64, 2, stages=stages)) for stages in (1, 2))
    assert [one.read for one in half.values()] == [one.read // 2 for one in whole.values()]


def test_drafts_compute_more_and_read_the_same_cache() -> None:
    plain, drafted = (work_of(shape(), Setting(8, 100, 4, drafted=tokens)) for tokens in (0, 32))
    assert [one.read for name, one in plain.items() if name != Product.REST] == [
        one.read for name, one in drafted.items() if name != Product.REST
    ]
    assert drafted[Product.DOWN].operations == 4 * plain[Product.DOWN].operations
    assert drafted[Product.ATTENTION].operations == 4 * plain[Product.ATTENTION].operations
