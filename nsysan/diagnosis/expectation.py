"""What the model that ran should communicate, as the user states it, and what the trace shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

ALL_REDUCE = "all_reduce"
#: Tensor parallelism of a dense transformer: one all-reduce after attention, one after the MLP.
PER_LAYER = 2
#: An embedding that is split over the ranks by vocabulary adds one all-reduce to the step.
EMBEDDING = 1

DTYPE_BYTES = {
    "fp32": 4,
    "float32": 4,
    "tf32": 4,
    "fp16": 2,
    "float16": 2,
    "half": 2,
    "bf16": 2,
    "bfloat16": 2,
    "fp8": 1,
    "float8": 1,
    "int8": 1,
}
_SHAPE = ("hidden", "batch", "dtype")
_KEYS = ("layers", *_SHAPE)


@dataclass(frozen=True)
class Expectation:
    """All-reduces a step and bytes of each, None where not stated; source: the options that state them."""

    calls: int | None
    message_bytes: int | None
    source: str


@dataclass(frozen=True)
class Compared:
    """An expectation beside the measured.

    calls: all-reduces a step (median over the steady steps), None where none is visible. sizes: bytes that the
    trace itself tells of them, by how many calls. filled: kernels of the run whose bytes are the stated ones.
    """

    expected: Expectation
    calls: int | None
    sizes: dict[int, int]
    filled: int

    @property
    def calls_differ(self) -> bool:
        """Whether the count differs; one more is the embedding's."""
        wanted = self.expected.calls
        return wanted is not None and self.calls is not None and self.calls - wanted not in (0, EMBEDDING)

    @property
    def bytes_differ(self) -> bool:
        """Whether the size that most calls have is not the expected."""
        return self.expected.message_bytes is not None and self.usual_size not in (None, self.expected.message_bytes)

    @property
    def usual_size(self) -> int | None:
        """The size that most calls have."""
        return max(self.sizes, key=lambda size: (self.sizes[size], size), default=None)


def expectation(layers: int | None, model: str | None, message_bytes: int | None) -> Expectation | None:
    """The expectation of --layers, --model and --message-bytes; ValueError where they are wrong or disagree."""
    stated = _parsed(model) if model else {}
    from_model = _number("layers", stated["layers"]) if "layers" in stated else None
    if None not in (layers, from_model) and layers != from_model:
        raise ValueError(f"--layers {layers} and --model layers={from_model} disagree")
    layers = from_model if layers is None else layers
    of_shape = _bytes_of(stated)
    if None not in (message_bytes, of_shape) and message_bytes != of_shape:
        raise ValueError(f"--message-bytes {message_bytes} and --model, which gives {of_shape}, disagree")
    options = {"--layers": layers if from_model is None else None, "--model": model, "--message-bytes": message_bytes}
    source = " ".join(f"{name} {value}" for name, value in options.items() if value is not None)
    if not source:
        return None
    size = of_shape if message_bytes is None else message_bytes
    return Expectation(None if layers is None else PER_LAYER * layers, size, source)


def compare_with(
    collectives: pl.DataFrame, steady_steps: Sequence[int], expected: Expectation | None
) -> Compared | None:
    """The expectation beside what was measured; collectives: those of a run, as the trace tells their bytes."""
    if expected is None:
        return None
    all_reduces = collectives.filter(pl.col("kind") == ALL_REDUCE)
    steady = all_reduces.filter(pl.col("step").is_in(list(steady_steps)))
    calls = steady.unique(["step", "family", "call"])
    per_step = calls.group_by("step").len()["len"].median()
    sizes = calls.drop_nulls("message_bytes").group_by("message_bytes").len().sort("message_bytes")
    untold = int(all_reduces["message_bytes"].null_count()) if expected.message_bytes is not None else 0
    measured = round(per_step) if isinstance(per_step, int | float) else None
    return Compared(expected, measured, dict(sizes.iter_rows()), untold)


def _parsed(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    unknown = [name.strip() for name, equals, _ in pairs if not equals or name.strip() not in _KEYS]
    if unknown:
        raise ValueError(f"--model takes {', '.join(f'{key}=...' for key in _KEYS)}, not {unknown[0]!r}")
    names = [name.strip() for name, _, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("--model names something twice")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _bytes_of(stated: dict[str, str]) -> int | None:
    """Bytes of one all-reduce: a hidden state for every sequence of the batch."""
    given = [key for key in _SHAPE if key in stated]
    if not given:
        return None
    if len(given) < len(_SHAPE):
        absent = ", ".join(key for key in _SHAPE if key not in stated)
        raise ValueError(f"--model: bytes of a message need hidden, batch and dtype; {absent} is missing")
    dtype = stated["dtype"].lower()
    if dtype not in DTYPE_BYTES:
        raise ValueError(f"--model: dtype is one of {', '.join(DTYPE_BYTES)}, not {dtype!r}")
    return _number("hidden", stated["hidden"]) * _number("batch", stated["batch"]) * DTYPE_BYTES[dtype]


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise ValueError(f"--model: {name} is a number from 1 up, not {text!r}")
    return int(text)
