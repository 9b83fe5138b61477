"""One finding, and what findings are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from nsysan.diagnosis.diagnosis import Diagnosis
from nsysan.diagnosis.expectation import Compared
from nsysan.metrics.link import Link
from nsysan.metrics.whatif import WhatIf
from nsysan.run.run import Run
from nsysan.text import ms

HIGH, MEDIUM, LOW = "high", "medium", "low"
SEVERITIES = (HIGH, MEDIUM, LOW)

#: A loss of this share of the period is worth dropping other work for ...
HIGH_SHARE = 0.20
#: ... of this share a change of configuration; less is a note. Steps vary by 1 to 2 % in a quiet run.
MEDIUM_SHARE = 0.05

CLOSED_FORM, ESTIMATE, AT_MOST = "closed form", "estimate", "at most"
_SAVES = {CLOSED_FORM: "{} a step", ESTIMATE: "about {} a step, an estimate", AT_MOST: "at most {} a step"}

Figures = dict[str, float | int | str | None]


@dataclass(frozen=True)
class Finding:
    """One thing to change. saving: ns a step; None where it cannot be told.

    saving_is: CLOSED_FORM (from the what-if), ESTIMATE, or AT_MOST (all of the loss, of which a fix takes a part).
    figures: what was measured, by name; thresholds: the constants of this module it was held against.
    """

    id: str
    severity: str
    title: str
    evidence: str
    fix: str
    saving: int | None = None
    ranks: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    figures: Figures = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    saving_is: str = CLOSED_FORM

    @property
    def saves(self) -> str:
        """What it saves, in words; "" where that cannot be told."""
        return "" if self.saving is None else f"saves {_SAVES[self.saving_is].format(ms(self.saving))}"


@dataclass(frozen=True)
class Case:
    """What findings are drawn from; period and idle (by rank and cause) in ns, medians over the steady steps."""

    run: Run
    diagnosis: Diagnosis
    compared: Compared | None
    link: Link | None
    period: int
    idle: dict[tuple[int, str], int]

    @property
    def what(self) -> WhatIf | None:
        return self.diagnosis.what_if

    @property
    def steady(self) -> pl.DataFrame:
        return self.run.ledger.filter(pl.col("steady"))

    def saving(self, without: int | None) -> int | None:
        """What a period without a loss saves, None where it cannot be told or is nothing."""
        return None if without is None or without >= self.period else self.period - without

    def line(self, name: str) -> int:
        """Median of a ledger line over the steps of each rank, then over the ranks."""
        per_rank = self.steady.group_by("rank").agg(pl.median(f"{name}_ns"))[f"{name}_ns"].median()
        return round(per_rank) if isinstance(per_rank, int | float) else 0

    def worst_idle(self, *causes: str) -> tuple[int, int]:
        """The rank with most idle time of these causes, and how much."""
        ranks = [rank.rank for rank in self.run.ranks]
        totals = {rank: sum(self.idle.get((rank, cause), 0) for cause in causes) for rank in ranks}
        worst = max(totals, key=lambda rank: totals[rank])
        return worst, totals[worst]


def by_share(ns: int, period: int) -> str:
    """Severity of a loss by its share of the period."""
    share = ns / period
    return HIGH if share >= HIGH_SHARE else MEDIUM if share >= MEDIUM_SHARE else LOW


def severity_limits() -> dict[str, float]:
    """The thresholds of by_share."""
    return {"high_share": HIGH_SHARE, "medium_share": MEDIUM_SHARE}
