"""NVTX ranges by which engines mark their steps, from data/engines.toml (DEFINITIONS.md, section 4)."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from nsysan.model.steps.step_kind import StepKind

#: Larger numbers in a range's name are no batch.
_MOST_DIGITS = 9


class Engine(NamedTuple):
    """How one engine names its step ranges, which of them decode, and with which batch.

    decode: finds ranges that decode and do nothing else; prefill: those that do not decode, by default all others.
    batch: its first group that is there is the number of sequences that decode. tokens: its first group is how many
    tokens these have in the step, where drafts are among them.
    """

    name: str
    range: re.Pattern[str]
    decode: re.Pattern[str] | None
    prefill: re.Pattern[str] | None
    batch: re.Pattern[str] | None
    source: str
    examples: tuple[str, ...]
    tokens: re.Pattern[str] | None = None

    def kind_of(self, label: str) -> StepKind | None:
        """What a step of this name does, None where its name does not tell."""
        if self.decode is None:
            return None
        if self.decode.search(label):
            return StepKind.DECODE
        return StepKind.PREFILL if self.prefill is None or self.prefill.search(label) else StepKind.MIXED

    def batch_of(self, label: str) -> int | None:
        """Sequences that decode in a step of this name, None where its name does not tell."""
        return _number(self.batch, label)

    def tokens_of(self, label: str) -> int | None:
        """Tokens of the sequences that decode in a step of this name, None where its name does not tell."""
        return _number(self.tokens, label)


def _number(pattern: re.Pattern[str] | None, label: str) -> int | None:
    """The first group of the pattern that is there, as a number."""
    found = pattern.search(label) if pattern else None
    number = next((group for group in found.groups() if group), "") if found else ""
    return int(number) if 0 < len(number) <= _MOST_DIGITS else None


def _compiled(row: dict[str, Any], name: str) -> re.Pattern[str] | None:
    return re.compile(row[name]) if name in row else None


@cache
def load_engines() -> tuple[Engine, ...]:
    """The engines of data/engines.toml, in the order they are tried."""
    document = tomllib.loads(files("nsysan.data").joinpath("engines.toml").read_text("utf-8"))
    return tuple(
        Engine(
            name=row["name"],
            range=re.compile(row["range"]),
            decode=_compiled(row, "decode"),
            prefill=_compiled(row, "prefill"),
            batch=_compiled(row, "batch"),
            source=row["source"],
            examples=tuple(row["examples"]),
            tokens=_compiled(row, "tokens"),
        )
        for row in document["engine"]
    )
