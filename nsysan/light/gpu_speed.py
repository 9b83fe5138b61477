"""What a GPU can read and compute in a second (DEFINITIONS.md, section 11a)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class SpeedRow(NamedTuple):
    """One row of the table: GB/s of the memory, and 1e12 operations a second by dtype."""

    name: str
    match: re.Pattern[str]
    memory_gbps: float
    tflops: Mapping[str, float]
    source: str
    examples: tuple[str, ...]


class Achievable(NamedTuple):
    """The share of the memory's peak that decode kernels were seen to reach."""

    share: float
    source: str


class SpeedTable(NamedTuple):
    """The table of data/gpu_speeds.toml."""

    gpus: tuple[SpeedRow, ...]
    achievable: Achievable

    def find(self, name: str | None) -> SpeedRow | None:
        """The row of a GPU by the name that a trace has."""
        return next((row for row in self.gpus if name and row.match.search(name)), None)


@dataclass(frozen=True)
class GpuSpeed:
    """What the slowest GPU of a run can do.

    memory: bytes a second, by the trace or the table (memory_source). rate: operations a second in the model's dtype,
    None where the table has none (rate_source: why not).
    """

    memory: int
    memory_source: str
    rate: int | None
    rate_source: str


def speed_of(name: str | None, memory_bandwidth: int | None, dtype: str) -> GpuSpeed | None:
    """The speed of a GPU as a trace describes it; None where neither trace nor table tells its memory's."""
    row = load_speeds().find(name)
    told = memory_bandwidth if memory_bandwidth and memory_bandwidth > 0 else None
    if told is None and row is None:
        return None
    memory = told if told is not None else round(row.memory_gbps * 1e9) if row else 0
    tflops = row.tflops.get(dtype) if row else None
    return GpuSpeed(
        memory,
        "by the trace" if told is not None else f"by the table: {row.source if row else ''}",
        None if tflops is None else round(tflops * 1e12),
        f"no peak of {dtype} in the table" if tflops is None or row is None else row.source,
    )


@cache
def load_speeds() -> SpeedTable:
    """The table that comes with the package."""
    document = tomllib.loads(files("nsysan.data").joinpath("gpu_speeds.toml").read_text("utf-8"))
    rows = tuple(
        SpeedRow(**{**row, "match": re.compile(row["match"]), "examples": tuple(row["examples"])})
        for row in document["gpu"]
    )
    return SpeedTable(rows, Achievable(**document["achievable"]))
