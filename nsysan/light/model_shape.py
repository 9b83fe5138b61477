"""The shape of a model, as far as a decode step's reads and operations follow from it (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

#: Bits of a number, by the names that configurations and people use.
DTYPE_BITS = {
    "fp32": 32,
    "float32": 32,
    "tf32": 32,
    "fp16": 16,
    "float16": 16,
    "half": 16,
    "bf16": 16,
    "bfloat16": 16,
    "fp8": 8,
    "float8": 8,
    "int8": 8,
}
#: By which name the table of GPUs has the rate of operations of a dtype.
RATE = {
    "fp16": "bf16",
    "float16": "bf16",
    "half": "bf16",
    "bf16": "bf16",
    "bfloat16": "bf16",
    "int8": "int8",
} | dict.fromkeys(("fp8", "float8"), "fp8")


class Latent(NamedTuple):
    """Multi-head latent attention (DeepSeek): widths of what queries and keys are compressed to, and of a head's parts.

    q: 0 where queries are not compressed. kv and rope are what the cache holds of a token.
    """

    q: int
    kv: int
    rope: int
    nope: int
    v: int


@dataclass(frozen=True)
class Experts:
    """A mixture of experts. count: routed ones in a layer, of which each token has per_token; ffn: inner width of one.

    shared: inner width of all that every token passes. layers: how many layers have experts; the others are dense.
    """

    count: int
    per_token: int
    ffn: int
    shared: int
    layers: int

    def distinct(self, tokens: int) -> float:
        """How many experts of a layer so many tokens touch if they choose alike, expected: E (1 - (1 - k/E)^t)."""
        return self.count * (1.0 - (1.0 - self.per_token / self.count) ** tokens)


@dataclass(frozen=True)
class ModelShape:
    """A decoder of gated feed-forward layers.

    ffn: inner width of its dense layers. vocab: rows of the last product, None where there is none. dtype: of what is
    computed. weight_bits: of a weight in the layers, scales included; expert_bits: of one in an expert; cache_bits: of
    a number in the KV cache. rate: the dtype in which products of the layers are computed. windows: how many layers
    see no more than so many tokens; the rest see all. source: where it is from, in words.
    """

    source: str
    hidden: int
    layers: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int | None
    dtype: str
    weight_bits: Fraction
    expert_bits: Fraction
    cache_bits: int
    rate: str
    windows: Mapping[int, int] = field(default_factory=dict)
    latent: Latent | None = None
    experts: Experts | None = None

    @property
    def dtype_bits(self) -> int:
        """Bits of a number of what is computed."""
        return DTYPE_BITS[self.dtype]

    @property
    def dense_layers(self) -> int:
        """Layers without experts."""
        return self.layers - (self.experts.layers if self.experts else 0)

    def message_bytes(self, tokens: int) -> int:
        """Bytes of an all-reduce: a hidden state of each token."""
        return tokens * self.hidden * self.dtype_bits // 8
