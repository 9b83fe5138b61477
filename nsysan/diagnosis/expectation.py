"""What the model that ran should communicate, as the user states it, and what the trace shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from nsysan.light.model_shape import DTYPE_BITS
from nsysan.light.stated import Model, stated_model

ALL_REDUCE = "all_reduce"
#: Tensor parallelism of a dense transformer: one all-reduce after attention, one after the MLP.
PER_LAYER = 2
#: An embedding that is split over the ranks by vocabulary adds one all-reduce to the step.
EMBEDDING = 1

_SHAPE = ("hidden", "batch", "dtype")


@dataclass(frozen=True)
class Expectation:
    """All-reduces a step and bytes of each, None where not stated; source: the options that state them.

    model: that of --model, None without one.
    """

    calls: int | None
    message_bytes: int | None
    source: str
    model: Model | None = None


@dataclass(frozen=True)
class Compared:
    """An expectation beside the measured.

    calls: all-reduces a step (median over the steady steps), None where none is visible. sizes: bytes that the
    trace itself tells of them, by how many calls. filled: kernels of the run whose bytes are the stated ones; by_batch:
    whether these follow from the model and the batch of each step.
    """

    expected: Expectation
    calls: int | None
    sizes: dict[int, int]
    filled: int
    by_batch: bool = False

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


def expectation(
    layers: int | None,
    model: str | None,
    message_bytes: int | None,
    *,
    batch: int | None = None,
    context: int | None = None,
) -> Expectation | None:
    """The expectation of --layers, --model and --message-bytes; ValueError where they are wrong or disagree.

    batch and context: sequences of a step and tokens in the cache of each, as far as stated beside the model.
    """
    stated = stated_model(model, batch, context) if model else None
    from_model = _layers_of(stated)
    if None not in (layers, from_model) and layers != from_model:
        raise ValueError(f"--layers {layers} and --model layers={from_model} disagree")
    layers = from_model if layers is None else layers
    of_shape = None if stated is None else _bytes_of(stated)
    if None not in (message_bytes, of_shape) and message_bytes != of_shape:
        raise ValueError(f"--message-bytes {message_bytes} and --model, which gives {of_shape}, disagree")
    options = {
        "--layers": layers if from_model is None else None,
        "--model": stated and stated.source,
        "--message-bytes": message_bytes,
    }
    source = " ".join(f"{name} {value}" for name, value in options.items() if value is not None)
    if not source:
        return None
    size = of_shape if message_bytes is None else message_bytes
    return Expectation(None if layers is None else PER_LAYER * layers, size, source, stated)


def compare_with(
    collectives: pl.DataFrame,
    steady_steps: Sequence[int],
    expected: Expectation | None,
    by_step: Mapping[int, int] | None = None,
) -> Compared | None:
    """The expectation beside what was measured; collectives: those of a run, as the trace tells their bytes.

    by_step: bytes that follow from the model and the batch of a step, where no size is stated.
    """
    if expected is None:
        return None
    all_reduces = collectives.filter(pl.col("kind") == ALL_REDUCE)
    steady = all_reduces.filter(pl.col("step").is_in(list(steady_steps)))
    calls = steady.unique(["step", "family", "call"])
    per_step = calls.group_by("step").len()["len"].median()
    sizes = calls.drop_nulls("message_bytes").group_by("message_bytes").len().sort("message_bytes")
    silent = all_reduces.filter(pl.col("message_bytes").is_null())
    untold = len(silent) if expected.message_bytes is not None else 0
    by_batch = bool(by_step) and expected.message_bytes is None
    if by_step and by_batch:
        untold = len(silent.filter(pl.col("step").is_in(list(by_step))))
        if not sizes.height and (size := next((by_step[step] for step in steady_steps if step in by_step), None)):
            expected = replace(expected, message_bytes=size)
    measured = round(per_step) if isinstance(per_step, int | float) else None
    return Compared(expected, measured, dict(sizes.iter_rows()), untold, by_batch)


def _layers_of(model: Model | None) -> int | None:
    if model is None:
        return None
    named = model.numbers.get("layers")
    return model.shape.layers if model.shape is not None else named if isinstance(named, int) else None


def _bytes_of(model: Model) -> int | None:
    """Bytes of one all-reduce, where named numbers state all that it takes: a hidden state for each sequence.

    Of a whole model only with its batch, which steps may tell; half of what a message takes is a slip.
    """
    given = [key for key in _SHAPE if key in model.numbers]
    if len(given) == len(_SHAPE):
        hidden, batch, dtype = (model.numbers[key] for key in _SHAPE)
        return int(hidden) * int(batch) * DTYPE_BITS[str(dtype)] // 8
    if given and model.shape is None:
        absent = ", ".join(key for key in _SHAPE if key not in model.numbers)
        raise ValueError(f"--model: bytes of a message need hidden, batch and dtype; {absent} is missing")
    return None
