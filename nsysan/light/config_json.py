"""A model's shape from its Hugging Face config.json, which may come from anywhere (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from nsysan._errors import NsysanError
from nsysan.budgets import CONFIG_BYTES
from nsysan.file_content import content_of
from nsysan.light.model_shape import DTYPE_BITS, Experts, Latent, ModelShape
from nsysan.light.quantised import widths_of
from nsysan.text import plain

_MOST = {"layers": 10_000, "experts": 100_000, "heads": 1_000_000, "width": 1 << 24, "rows": 1 << 28}
_WINDOWED = "sliding_attention"
_FULL = "full_attention"
#: What configurations of a type leave out where it is the default of its class in transformers (configuration_*.py).
_DEFAULTS: dict[str, dict[str, object]] = {
    "gemma2": {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096},
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262_208,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
    },
    "mixtral": {"num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen2_moe": {"decoder_sparse_step": 1},
    "qwen3_moe": {"decoder_sparse_step": 1},
    "deepseek_v2": {"first_k_dense_replace": 0, "moe_layer_freq": 1},
    "deepseek_v3": {"first_k_dense_replace": 3, "moe_layer_freq": 1},
}
#: Of those that have a window, every so many layers one sees all, where no list tells it.
_PATTERN = {"gemma2": 2, "gemma3_text": 6}
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_PER_TOKEN = ("num_experts_per_tok", "num_experts_per_token")
_SHARED = ("n_shared_experts", "num_shared_experts")
#: Experts that lie otherwise (Llama 4's beside dense layers, Granite's shared ones, Ernie's by other names).
_UNREAD = ("interleave_moe_layer_step", "intermediate_size_mlp", "shared_intermediate_size", "moe_num_experts")


def read_config(path: Path) -> ModelShape:
    """The shape that a config.json, or the one in a folder, describes; ValueError says what is wrong with it."""
    name = plain(path.name, 80)
    try:
        file = path / "config.json" if path.is_dir() else path
        name = plain(file.name, 80)
        # Of a pipe, too, as a shell makes one of <(...).
        data = content_of(file, CONFIG_BYTES)
    except NsysanError as error:
        raise ValueError(f"{name}: {str(error).removeprefix(f'{file}: ')}") from error
    except OSError as error:
        raise ValueError(f"{name}: cannot be read: {error.strerror or 'unknown error'}") from error
    if len(data) > CONFIG_BYTES:
        raise ValueError(f"{name}: is larger than a config.json is ({CONFIG_BYTES >> 20} MiB)")
    try:
        values = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: is no JSON") from error
    if not isinstance(values, dict):
        raise ValueError(f"{name}: is no configuration, which is an object")
    try:
        return shape_of(values, name)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def shape_of(values: Mapping[str, object], source: str) -> ModelShape:
    """The shape that the values of a config.json describe."""
    nested = values.get("text_config")
    own = {**values, **nested} if isinstance(nested, dict) else dict(values)
    type_ = own.get("model_type")
    usual = _DEFAULTS.get(type_ if isinstance(type_, str) else "", {})
    own = {**usual, **{key: value for key, value in own.items() if value is not None}}
    config = _Config(own)
    dtype = config.dtype()
    widths = widths_of(own.get("quantization_config"), dtype)
    hidden, layers = config.whole("hidden_size", "width"), config.whole("num_hidden_layers", "layers")
    heads = config.whole("num_attention_heads", "heads")
    experts = _experts(config, layers)
    latent = _latent(config)
    dense = layers - (experts.layers if experts else 0)
    ffn = config.whole("intermediate_size", "width") if dense else 0
    parted = latent.nope + latent.rope if latent else 0 if hidden % heads else hidden // heads
    head_dim = config.whole("head_dim", "width", parted)
    return ModelShape(
        source=source,
        hidden=hidden,
        layers=layers,
        ffn=ffn,
        heads=heads,
        kv_heads=config.whole("num_key_value_heads", "heads", heads),
        head_dim=head_dim,
        vocab=config.whole("vocab_size", "rows"),
        dtype=dtype,
        weight_bits=widths.weights,
        expert_bits=widths.experts,
        cache_bits=widths.cache,
        rate=widths.rate,
        windows=_windows(config, layers),
        latent=latent,
        experts=experts,
    )


class _Config:
    """Values by key, each within its bounds."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values

    def whole(self, key: str, bound: str, default: int | None = None) -> int:
        """A number from 1 to its bound; the default (0: there has to be one) where there is none."""
        value = self.values.get(key)
        if value is None and default:
            return default
        if value is None:
            raise ValueError(f"{key} is missing")
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST[bound]:
            raise ValueError(f"{key} is no number from 1 to {_MOST[bound]:,}")
        return value

    def count(self, key: str, bound: str) -> int:
        """A number from 0 to its bound, 0 where there is none."""
        return 0 if self.values.get(key) in (None, 0) else self.whole(key, bound)

    def first(self, keys: tuple[str, ...], bound: str) -> int | None:
        """The first of these keys that there is."""
        there = next((key for key in keys if self.values.get(key) is not None), None)
        return None if there is None else self.whole(there, bound)

    def dtype(self) -> str:
        """Of what is computed: bf16 where nothing tells, as checkpoints are."""
        told = self.values.get("torch_dtype") or self.values.get("dtype") or "bfloat16"
        if not isinstance(told, str) or told not in DTYPE_BITS:
            raise ValueError(f"torch_dtype is none of {', '.join(DTYPE_BITS)}")
        return told


def _latent(config: _Config) -> Latent | None:
    if config.values.get("kv_lora_rank") is None:
        return None
    return Latent(
        q=config.count("q_lora_rank", "width"),
        kv=config.whole("kv_lora_rank", "width"),
        rope=config.whole("qk_rope_head_dim", "width"),
        nope=config.whole("qk_nope_head_dim", "width"),
        v=config.whole("v_head_dim", "width"),
    )


def _experts(config: _Config, layers: int) -> Experts | None:
    count = config.first(_EXPERTS, "experts")
    if unread := next((key for key in _UNREAD if config.values.get(key)), None):
        raise ValueError(f"{unread}: experts that lie in a way that is not known; state named numbers")
    if count is None or count == 1:
        return None
    per_token = config.first(_PER_TOKEN, "experts")
    if per_token is None or per_token > count:
        raise ValueError(f"{_PER_TOKEN[0]} is missing, or more than there are experts")
    ffn = config.whole("moe_intermediate_size", "width", config.count("intermediate_size", "width"))
    shared = config.count("shared_expert_intermediate_size", "width")
    shared = shared or max(config.count(key, "experts") for key in _SHARED) * ffn
    with_experts = sum(_has_experts(config, layer) for layer in range(layers))
    return Experts(count, per_token, ffn, shared, with_experts)


def _has_experts(config: _Config, layer: int) -> bool:
    """Whether a layer has experts: Qwen lists those without and strides, DeepSeek begins with dense ones."""
    without = config.values.get("mlp_only_layers")
    if isinstance(without, list) and layer in without:
        return False
    step = config.count("decoder_sparse_step", "layers") or 1
    freq = config.count("moe_layer_freq", "layers") if isinstance(config.values.get("moe_layer_freq"), int) else 1
    first = config.count("first_k_dense_replace", "layers")
    return (layer + 1) % step == 0 and layer >= first and layer % (freq or 1) == 0


def _windows(config: _Config, layers: int) -> dict[int, int]:
    """How many layers see no more than a window of tokens."""
    types = config.values.get("layer_types")
    if isinstance(types, list):
        if set(map(str, types)) - {_WINDOWED, _FULL} or len(types) != layers:
            raise ValueError("layer_types has others than full_attention and sliding_attention, one a layer")
        windowed = types.count(_WINDOWED)
    elif config.values.get("sliding_window") is None or config.values.get("use_sliding_window") is False:
        return {}
    else:
        windowed = _windowed_by_rule(config, layers)
    return {config.whole("sliding_window", "rows"): windowed} if windowed else {}


def _windowed_by_rule(config: _Config, layers: int) -> int:
    type_ = config.values.get("model_type")
    usual = _PATTERN.get(type_ if isinstance(type_, str) else "", 0)
    pattern = config.count("sliding_window_pattern", "layers") or usual
    if pattern:
        return layers - layers // pattern
    if "use_sliding_window" in config.values:
        return max(0, layers - config.count("max_window_layers", "layers"))
    return layers
