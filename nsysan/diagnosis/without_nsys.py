"""The step as it runs without nsys, where the user tells how long that takes (DEFINITIONS.md, section 10)."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from nsysan.replay.results import LEAST_HOST
from nsysan.text import duration, pct, pct_limit


@dataclass(frozen=True)
class WithoutNsys:
    """period: ns of the step, as it was given; traced: the same with nsys, as measured.

    hosts, gaps: what is left of the hosts' time and of the gaps between operations, as shares. per_rank: the ledger of
    that step by replay, as metrics.ledger.rank_medians gives it.
    """

    period: int
    traced: int
    hosts: float
    gaps: float
    per_rank: pl.DataFrame

    @property
    def sentence(self) -> str:
        """What is of it, and what is not."""
        return (
            f"verdict, critical path, late ranks and savings are of the step without nsys, {duration(self.period)} as "
            f"given ({duration(self.traced)} as traced): hosts take {pct(self.hosts)} of their traced time, gaps "
            f"between operations {pct(self.gaps)}{self._doubt}; everything else is as traced"
        )

    @property
    def _doubt(self) -> str:
        less = (
            f" (less than {pct_limit(LEAST_HOST)} of their time was measured of no run: is it the time of such a step?)"
        )
        return less if self.hosts < LEAST_HOST else ""
