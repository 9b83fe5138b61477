"""What engines' own all-reduce kernels were measured to take, from data/custom_allreduces.toml."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class CustomSpeed:
    """A row of the table: wire_us is from the last rank's arrival to the end, the median, up to so many bytes."""

    engine: str
    kernel: str
    gpus: re.Pattern[str]
    ranks: int
    bytes: int
    wire_us: float
    source: str

    @property
    def ns(self) -> int:
        """The same in ns."""
        return round(1_000 * self.wire_us)


@cache
def load_speeds() -> tuple[CustomSpeed, ...]:
    """The rows of the table."""
    document = tomllib.loads(files("nsysan.data").joinpath("custom_allreduces.toml").read_text("utf-8"))
    return tuple(CustomSpeed(**(row | {"gpus": re.compile(row["gpus"])})) for row in document["kernel"])


def custom_speed(engine: str, models: set[str], ranks: int, message_bytes: int) -> CustomSpeed | None:
    """Of messages of up to so many bytes over so many ranks on these GPUs; None where nobody measured it."""
    known = (row for row in load_speeds() if (row.engine, row.ranks) == (engine, ranks) and message_bytes <= row.bytes)
    return next((row for row in known if models and all(map(row.gpus.search, models))), None)
