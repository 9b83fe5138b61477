"""How wide the weights of a quantised model are (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from nsysan.light.model_shape import DTYPE_BITS, RATE

_SCALE_BITS = 16
#: Formats whose blocks of numbers share a scale of 8 bits: bits of a number, numbers in a block.
_BLOCKS = {"mxfp4": (4, 32), "nvfp4": (4, 16), "mxfp8": (8, 32)}
_EIGHT = ("fp8", "fbgemm_fp8", "w8a8_int8", "ptpc_fp8")
_FEW_BITS = ("gptq", "awq", "gptq_marlin", "awq_marlin", "auto-round", "hqq", "aqlm", "intel/auto-round")


class Widths(NamedTuple):
    """Bits of a weight in the layers and in an expert, scales included, and of a number in the cache.

    rate: the dtype in which products are computed: that of the weights where activations have it too.
    """

    weights: Fraction
    experts: Fraction
    cache: int
    rate: str


def widths_of(quantisation: object, dtype: str) -> Widths:
    """The widths that a quantization_config tells; ValueError where its method is not known."""
    plain = Fraction(DTYPE_BITS[dtype])
    usual = Widths(plain, plain, DTYPE_BITS[dtype], RATE.get(dtype, dtype))
    if not isinstance(quantisation, dict):
        return usual
    method = str(quantisation.get("quant_method", "")).lower()
    algorithm = str(quantisation.get("quant_algo", "")).lower()
    cache = 8 if str(quantisation.get("kv_cache_quant_algo", "")).lower() == "fp8" else usual.cache
    if method in _BLOCKS or algorithm in _BLOCKS:
        bits, block = _BLOCKS[method if method in _BLOCKS else algorithm]
        wide = Fraction(bits) + Fraction(8, block)
        # gpt-oss keeps all but its experts as they were.
        return Widths(plain if method == "mxfp4" else wide, wide, cache, "fp4" if algorithm == "nvfp4" else usual.rate)
    if method in _EIGHT or algorithm == "fp8":
        return Widths(Fraction(8), Fraction(8), cache, "int8" if "int8" in method else "fp8")
    if method == "compressed-tensors":
        return _compressed(quantisation, usual, cache)
    if method in _FEW_BITS:
        wide = _with_scales(_bits(quantisation, "bits"), quantisation.get("group_size"))
        return Widths(wide, wide, cache, usual.rate)
    if method == "bitsandbytes":
        wide = Fraction(4 if quantisation.get("load_in_4bit") is True else 8)
        return Widths(wide, wide, cache, usual.rate)
    raise ValueError("quantization_config has a method that is not known; state weight_bits by named numbers")


def _compressed(quantisation: Mapping[str, object], usual: Widths, cache: int) -> Widths:
    groups = quantisation.get("config_groups")
    group = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = group.get("weights") if isinstance(group, dict) else None
    if not isinstance(group, dict) or not isinstance(weights, dict):
        raise ValueError("quantization_config of compressed-tensors without config_groups")
    bits = _bits(weights, "num_bits")
    wide = _with_scales(bits, weights.get("group_size"))
    both = isinstance(group.get("input_activations"), dict)
    kind = "int" if str(weights.get("type")) == "int" else "fp"
    return Widths(wide, wide, cache, f"{kind}{bits}" if both and bits in (4, 8) else usual.rate)


def _bits(values: Mapping[str, object], key: str) -> int:
    bits = values.get(key)
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 32:
        raise ValueError(f"quantization_config: {key} is no number from 1 to 32")
    return bits


def _with_scales(bits: int, group: object) -> Fraction:
    """A weight with its share of the scale of its group."""
    if isinstance(group, bool) or not isinstance(group, int) or group <= 0:
        return Fraction(bits)
    return bits + Fraction(_SCALE_BITS, group)
