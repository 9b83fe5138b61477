"""NVTX ranges by which engines mark their steps, from data/engines.toml (DEFINITIONS.md, section 4)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Engine:
    """How one engine names its step ranges, and which of them decode."""

    name: str
    range: re.Pattern[str]
    decode: re.Pattern[str] | None
    source: str
    examples: tuple[str, ...]


@cache
def load_engines() -> tuple[Engine, ...]:
    """The engines of data/engines.toml, in the order they are tried."""
    document = tomllib.loads(files("nsysan.data").joinpath("engines.toml").read_text("utf-8"))
    return tuple(
        Engine(
            name=row["name"],
            range=re.compile(row["range"]),
            decode=re.compile(row["decode"]) if "decode" in row else None,
            source=row["source"],
            examples=tuple(row["examples"]),
        )
        for row in document["engine"]
    )
