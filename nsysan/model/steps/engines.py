"""NVTX ranges by which engines mark their steps, from data/engines.toml (DEFINITIONS.md, section 4)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from nsysan.model.steps.kinds import StepKind

#: Larger numbers in a range's name are no batch.
_MOST_DIGITS = 9


@dataclass(frozen=True)
class Engine:
    """How one engine names its step ranges, which of them decode, and with which batch.

    decode: finds ranges that decode and do nothing else; prefill: those that do not decode, by default all others.
    batch: its first group that is there is the number of sequences that decode.
    """

    name: str
    range: re.Pattern[str]
    decode: re.Pattern[str] | None
    prefill: re.Pattern[str] | None
    batch: re.Pattern[str] | None
    source: str
    examples: tuple[str, ...]

    def kind_of(self, label: str) -> StepKind | None:
        """What a step of this name does, None where its name does not tell."""
        if self.decode is None:
            return None
        if self.decode.search(label):
            return StepKind.DECODE
        return StepKind.PREFILL if self.prefill is None or self.prefill.search(label) else StepKind.MIXED

    def batch_of(self, label: str) -> int | None:
        """Sequences that decode in a step of this name, None where its name does not tell."""
        found = self.batch.search(label) if self.batch else None
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
        )
        for row in document["engine"]
    )
