"""What each rank reads and computes in a decode step, by groups of products (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from nsysan.light.gpu_speed import GpuSpeed
from nsysan.light.model_shape import ModelShape


class Product(StrEnum):
    """A group of products of a layer, by its name in every output; attention reads the cache, no weights."""

    QKV = "qkv"
    ATTENTION = "attention"
    O = "o"  # noqa: E741
    GATE_UP = "gate_up"
    DOWN = "down"
    EXPERTS = "experts"
    LM_HEAD = "lm_head"
    REST = "rest"


class Work(NamedTuple):
    """What a rank does of one group in a step: layers that have it, bytes read and operations, of all of them."""

    layers: int
    read: int
    operations: int


class Setting(NamedTuple):
    """How the step is run. sequences: of the batch; context: tokens in the cache of each, 0 where unknown.

    tensor: ranks that share a layer's weights; experts: ranks that share out whole experts, 1 where none do; stages: of
    a pipeline. drafted: tokens that the step computes of all sequences where they are more than one each, else 0.
    """

    sequences: int
    context: int
    tensor: int
    experts: int = 1
    stages: int = 1
    drafted: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that the step computes."""
        return self.drafted or self.sequences


def work_of(shape: ModelShape, setting: Setting) -> dict[Product, Work]:
    """Bytes and operations of a rank in a step: of the rank that has most; of a pipeline the mean of its stages, and of
    ranks that share out whole experts their mean, too.

    Weights are read once, shared out as engines do: heads, inner widths and rows of the vocabulary by tensor
    parallelism, heads of keys and values copied where there are fewer than ranks, what compresses queries and keys, and
    routers, on every rank. Of the embedding only the rows of the batch are read.
    """
    tp, tokens = setting.tensor, setting.tokens
    heads, cached = -(-shape.heads // tp), max(1, -(-shape.kv_heads // tp))
    inner = -(-shape.ffn // tp)
    found: dict[Product, Work] = {}
    qkv = _projections(shape, heads, cached)
    out = shape.hidden * heads * (shape.latent.v if shape.latent else shape.head_dim)
    # What makes values of the latent cache comes after the attention, beside the product that follows.
    out += heads * shape.latent.v * shape.latent.kv if shape.latent else 0
    found[Product.QKV] = _weights(shape.layers, qkv, shape.weight_bits, tokens)
    found[Product.ATTENTION] = _attention(shape, setting, heads, cached)
    found[Product.O] = _weights(shape.layers, out, shape.weight_bits, tokens)
    if shape.dense_layers:
        gate_up, down = 2 * inner * shape.hidden, inner * shape.hidden
        found[Product.GATE_UP] = _weights(shape.dense_layers, gate_up, shape.weight_bits, tokens)
        found[Product.DOWN] = _weights(shape.dense_layers, down, shape.weight_bits, tokens)
    if shape.experts:
        found[Product.EXPERTS] = _experts(shape, setting)
    plain = Fraction(shape.dtype_bits)
    if shape.vocab:
        rows = -(-shape.vocab // tp)
        found[Product.LM_HEAD] = _weights(1, rows * shape.hidden, plain, tokens)
    # Two norms a layer and the last one; the rows of the embedding, of which each rank has its share.
    numbers = (2 * shape.layers + 1) * shape.hidden + (tokens * shape.hidden // tp if shape.vocab else 0)
    found[Product.REST] = Work(shape.layers, numbers * shape.dtype_bits // 8, 0)
    stages = setting.stages
    return {name: Work(one.layers, one.read // stages, one.operations // stages) for name, one in found.items()}


def floor_of(work: Work, speed: GpuSpeed) -> int:
    """ns that this takes at the least: reading at the memory's peak or computing at the rate's, whichever is longer."""
    computing = 0 if speed.rate is None else work.operations * 10**9 // speed.rate
    return max(work.read * 10**9 // speed.memory, computing)


def _weights(layers: int, numbers: int, bits: Fraction, tokens: int) -> Work:
    """Of one product a layer with so many weights: each is read once, and used by every token in two operations."""
    return Work(layers, layers * int(numbers * bits / 8), layers * 2 * numbers * tokens)


def _projections(shape: ModelShape, heads: int, cached: int) -> int:
    """Weights of the products that make queries and keys, and values but those of a latent cache."""
    latent = shape.latent
    if latent is None:
        return shape.hidden * (heads + 2 * cached) * shape.head_dim
    query = heads * (latent.nope + latent.rope)
    queries = latent.q * (shape.hidden + query) if latent.q else shape.hidden * query
    return queries + shape.hidden * (latent.kv + latent.rope) + heads * latent.nope * latent.kv


def _attention(shape: ModelShape, setting: Setting, heads: int, cached: int) -> Work:
    """The cache of every sequence, and two operations for each number of it and each head that it serves, twice."""
    latent = shape.latent
    seen = sum(min(window, setting.context) * layers for window, layers in shape.windows.items())
    seen += setting.context * (shape.layers - sum(shape.windows.values()))
    each = latent.kv + latent.rope if latent else 2 * cached * shape.head_dim
    operations = 2 * heads * (2 * latent.kv + latent.rope) if latent else 4 * heads * shape.head_dim
    read = setting.sequences * seen * each * shape.cache_bits // 8
    return Work(shape.layers, read, setting.tokens * seen * operations)


def _experts(shape: ModelShape, setting: Setting) -> Work:
    """Router, shared experts, and the routed ones that the batch is expected to touch."""
    experts = shape.experts
    if experts is None:
        return Work(0, 0, 0)
    own = setting.experts if setting.experts > 1 else 1
    # Ranks that share out whole experts bring their own tokens, unless they are of one tensor-parallel group.
    tokens = setting.tokens * max(1, own // setting.tensor)
    width = experts.ffn if own > 1 else -(-experts.ffn // setting.tensor)
    one = 3 * shape.hidden * width
    read = int(experts.distinct(tokens) / own * one * shape.expert_bits / 8)
    shared = 3 * shape.hidden * -(-experts.shared // setting.tensor)
    router = shape.hidden * experts.count
    read += int(shared * shape.weight_bits / 8) + router * shape.dtype_bits // 8
    routed = one * experts.per_token * tokens // own
    operations = 2 * (routed + (shared + router) * setting.tokens)
    return Work(experts.layers, experts.layers * read, experts.layers * operations)
