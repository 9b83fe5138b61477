"""A model's shape from named numbers: `hidden=4096,layers=16,...` (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from nsysan.light.model_shape import DTYPE_BITS, RATE, Experts, ModelShape

#: All names that --model takes, and the most that each may be.
MOST = {
    "hidden": 1 << 24,
    "layers": 10_000,
    "ffn": 1 << 24,
    "heads": 1_000_000,
    "kv_heads": 1_000_000,
    "head_dim": 1 << 24,
    "vocab": 1 << 28,
    "experts": 100_000,
    "experts_per_token": 100_000,
    "expert_ffn": 1 << 24,
    "shared_ffn": 1 << 24,
    "window": 1 << 28,
    "weight_bits": 32,
    "kv_bits": 32,
    "batch": 1 << 24,
}
KEYS = (*MOST, "dtype")
_NEEDED = ("hidden", "layers", "heads", "dtype")
_OF_EXPERTS = ("experts", "experts_per_token", "expert_ffn")


def parsed(text: str) -> dict[str, int | str]:
    """The numbers by name, dtype a text; ValueError says what is wrong."""
    pairs = [part.partition("=") for part in text.split(",")]
    unknown = [name.strip() for name, equals, _ in pairs if not equals or name.strip() not in KEYS]
    if unknown:
        shown = ", ".join(f"{key}=..." for key in ("hidden", "layers", "ffn", "heads", "kv_heads", "vocab", "dtype"))
        raise ValueError(f"--model takes a config.json, or {shown}, not {unknown[0]!r}")
    names = [name.strip() for name, _, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("--model names something twice")
    return {name.strip(): _value(name.strip(), value.strip()) for name, _, value in pairs}


def _value(name: str, text: str) -> int | str:
    if name == "dtype":
        if text.lower() not in DTYPE_BITS:
            raise ValueError(f"--model: dtype is one of {', '.join(DTYPE_BITS)}, not {text!r}")
        return text.lower()
    if not text.isascii() or not text.isdigit() or int(text[:12]) == 0:
        raise ValueError(f"--model: {name} is a number from 1 up, not {text!r}")
    if len(text) > 12 or int(text) > MOST[name]:
        raise ValueError(f"--model: {name} is at most {MOST[name]:,}")
    return int(text)


def lacking(stated: Mapping[str, int | str]) -> list[str]:
    """The names that are missing for a shape."""
    missing = [name for name in _NEEDED if name not in stated]
    if any(name in stated for name in _OF_EXPERTS):
        missing += [name for name in _OF_EXPERTS if name not in stated]
    elif "ffn" not in stated:
        missing.append("ffn")
    return missing


def shape_of(stated: Mapping[str, int | str], source: str) -> ModelShape | None:
    """The shape that they are, None where some are missing; ValueError where they contradict one another."""
    if lacking(stated):
        return None
    whole = {name: value for name, value in stated.items() if isinstance(value, int)}
    dtype = str(stated["dtype"])
    bits = whole.get("weight_bits", DTYPE_BITS[dtype])
    if "head_dim" not in whole and whole["hidden"] % whole["heads"]:
        raise ValueError("--model: hidden does not divide by heads; state head_dim")
    experts = None
    if "experts" in whole:
        if whole["experts_per_token"] > whole["experts"]:
            raise ValueError("--model: experts_per_token is more than experts")
        shared = whole.get("shared_ffn", 0)
        experts = Experts(whole["experts"], whole["experts_per_token"], whole["expert_ffn"], shared, whole["layers"])
    return ModelShape(
        source=source,
        hidden=whole["hidden"],
        layers=whole["layers"],
        ffn=whole.get("ffn", 0),
        heads=whole["heads"],
        kv_heads=whole.get("kv_heads", whole["heads"]),
        head_dim=whole.get("head_dim", whole["hidden"] // whole["heads"]),
        vocab=whole.get("vocab"),
        dtype=dtype,
        weight_bits=Fraction(bits),
        expert_bits=Fraction(bits),
        cache_bits=whole.get("kv_bits", DTYPE_BITS[dtype]),
        rate=RATE.get(dtype, dtype),
        windows={whole["window"]: whole["layers"]} if "window" in whole else {},
        experts=experts,
    )
