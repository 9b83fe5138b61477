"""What a prediction knows of a run: a step of it at its number of ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from nsysan.compare.replay_told import Key
from nsysan.compare.step_work import StepWork
from nsysan.metrics.lines import Line
from nsysan.metrics.link import Link

#: Calls whose size a rank passes is its own share.
_OF_EACH = ("all_gather", "reduce_scatter")


def key_of(kind: str, size: int | None, ranks: int) -> Key:
    """What the same call has in common at any number of ranks."""
    return kind, None if size is None else size * ranks if kind in _OF_EACH else size


@dataclass(frozen=True)
class Sample:
    """One run. period, mean: ns a step. ledger: ns by line; late: of its idle time that before launches which began too
    late, and between steps. calls: as ComparedRun has them. error: replay_error.
    """

    label: str
    ranks: int
    batch: int
    period: float
    mean: float
    ledger: Mapping[Line, float]
    late: float
    calls: pl.DataFrame
    link: Link
    error: float
    work: StepWork
