"""What the user states of the model that ran: a config.json or named numbers, batch and context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nsysan.light import named
from nsysan.light.config_json import read_config
from nsysan.light.model_shape import ModelShape
from nsysan.model.steps.engines import load_engines
from nsysan.model.steps.populations import Population
from nsysan.model.steps.step_kind import StepKind


class Model(NamedTuple):
    """shape: None where `lacking` names what is missing of it. numbers: those stated by name. batch: sequences of a
    step; context: tokens in the cache of each; None where not stated. source: in few words, without a path."""

    shape: ModelShape | None
    numbers: Mapping[str, int | str]
    batch: int | None
    context: int | None
    lacking: tuple[str, ...]
    source: str

    @property
    def is_of_light(self) -> bool:
        """Whether more is stated than the size and number of messages take."""
        return self.shape is not None or bool(self.numbers.keys() - {"hidden", "layers", "batch", "dtype"})


def stated_model(text: str, batch: int | None = None, context: int | None = None) -> Model:
    """The model of --model; ValueError says what is wrong with it."""
    path = Path(text)
    if text.endswith(".json") or ("=" not in text and path.exists()):
        shape = read_config(path)
        return Model(shape, {}, batch, context, (), shape.source)
    numbers = named.parsed(text)
    own = numbers.get("batch")
    if isinstance(own, int) and batch not in (None, own):
        raise ValueError(f"--batch {batch} and --model batch={own} disagree")
    stated = own if isinstance(own, int) else batch
    shape_ = named.shape_of(numbers, text)
    return Model(shape_, numbers, stated, context, tuple(named.lacking(numbers)), text)


def batch_of(population: Population | None, model: Model) -> int | None:
    """Sequences that a step of the population decodes: what the trace tells goes before what the user states."""
    told = population.batch if population is not None else None
    return model.batch if told is None else told


def tokens_by_step(labels: Mapping[int, str | None]) -> dict[int, int]:
    """Tokens that each step decodes, drafts included, where an engine's range tells it; labels: names of ranges."""
    found = {}
    for step, label in labels.items():
        engine = next((one for one in load_engines() if label and one.range.search(label)), None)
        tokens = engine.tokens_of(label) if engine is not None and label else None
        if tokens:
            found[step] = tokens
    return found


def message_sizes(
    populations: Sequence[Population],
    model: Model | None,
    tokens: Mapping[int, int] | None = None,
    padded: Mapping[int, int] | None = None,
) -> dict[int, int]:
    """Bytes of an all-reduce in each decode step whose batch is known: a hidden state of every token.

    The batch that the user states is that of the first population, where no step tells its own. tokens: of steps, where
    they are more than one a sequence; padded: with what a graph pads them by, as far as that is told.
    """
    if model is None or model.shape is None:
        return {}
    told = any(one.batch is not None for one in populations)
    decoding = [one for one in populations if one.kind is StepKind.DECODE]
    known = [one for one in decoding if one.batch is not None] if told else decoding[:1]
    return {
        step: model.shape.message_bytes(_padded(max(batch, (tokens or {}).get(step, 0)), (padded or {}).get(step)))
        for one in known
        if (batch := batch_of(one, model))
        for step in one.steps
    }


def _padded(tokens: int, rows: int | None) -> int:
    """So many rows, where a graph can have padded the tokens to them: less than twice as many."""
    return rows if rows is not None and tokens < rows < 2 * tokens else tokens
